"""The transform from textures to views of a mesh."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.misc.gl.glrenderer import MeshRenderer
from lucid_port.misc.gl.meshutil import save_mesh, torus, view_from
from lucid_port.optvis import param, serialization
from lucid_port.optvis.mesh_view import MeshView, as_mesh, mesh_view
from lucid_port.optvis.sampling import RandomSource

SIZE = (23, 37)


def textures(count=1, channels=3, height=9, width=14):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, channels, height, width, generator=generator, dtype=torch.float64)


def test_a_view_is_the_texture_at_the_coordinates_of_the_renderer():
    """As the notebook writes it: the bilinear sample, times the coverage."""
    view, source = mesh_view("torus", SIZE, 10, 12, "torch"), RandomSource(3)
    image = textures(2)
    frames = view(image, source)
    own = RandomSource(3).scope("mesh_view")
    distance, eye = 10 + 2 * own.uniform("distance"), own.normal("eye", 3)
    ring = torus()
    coordinates = MeshRenderer(SIZE[::-1], "torch").render_mesh(
        ring["position"], ring["uv"], ring["face"], modelview=view_from(eye, float(distance))
    )
    for number in range(2):
        samples = param.bilinearly_sampled_image(image[number].movedim(0, -1), coordinates[..., :2])
        expected = (samples * torch.from_numpy(coordinates[..., 3:])).movedim(-1, 0)
        torch.testing.assert_close(frames[number], expected, atol=1e-12, rtol=0)
    assert view.output_shape(tuple(image.shape), None) == tuple(frames.shape) == (2, 3, *SIZE)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_gradient_of_the_texture(channels):
    """Views are linear in the texture: <T(x), y> = <x, T'(y)>; and against differences for some pixels."""
    view = mesh_view(torus(9, 7), (11, 13), 12, 12, "torch")
    image = textures(1, channels).requires_grad_()
    weights = torch.rand(1, channels, 11, 13, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def value(texture):
        return (view(texture, RandomSource(1)) * weights).sum()

    (gradient,) = torch.autograd.grad(value(image), image)
    assert (gradient != 0).any()
    torch.testing.assert_close((gradient * image).sum(), value(image), atol=1e-9, rtol=0)
    strongest = gradient.abs().flatten().topk(3).indices
    for index in strongest.tolist():
        moved = image.detach().clone().flatten()
        moved[index] += 0.5
        difference = (value(moved.reshape(image.shape)) - value(image)) / 0.5
        torch.testing.assert_close(difference, gradient.flatten()[index], atol=1e-9, rtol=0)


def test_equal_seeds_make_equal_bits_and_steps_differ():
    view, image = mesh_view("torus", 24, backend="torch"), textures()
    one, other = (RandomSource(4), RandomSource(4))
    first = [view(image, one) for _ in range(3)]
    second = [view(image, other) for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])


def test_images_share_a_view_unless_each_draws():
    image = textures().expand(3, -1, -1, -1)
    view = mesh_view("torus", 24, backend="torch")
    shared = view(image, RandomSource(4))
    assert torch.equal(shared[0], shared[2])
    apart = view(image, RandomSource(4, per_image=True))
    assert not torch.equal(apart[0], apart[2])
    assert torch.equal(apart[:1], view(image[:1], RandomSource(4, per_image=True)))


@pytest.mark.parametrize("mesh", ["torus", torus(5, 4)])
def test_plain_data_make_the_same_view(mesh):
    view = mesh_view(mesh, SIZE, 11, 12.5, "torch")
    data = serialization.to_data(view)
    assert data["transform"] == "mesh_view"
    assert data["args"]["backend"] == "torch"
    assert (data["args"]["mesh"] == "torus") == (mesh == "torus")
    again = serialization.from_data(data)
    assert isinstance(again, MeshView)
    assert serialization.to_data(again) == data
    assert torch.equal(again(textures(), RandomSource(8)), view(textures(), RandomSource(8)))


def test_the_mesh_of_a_file_is_normalized_and_kept(tmp_path):
    ring = torus(6, 5)
    path = save_mesh({**ring, "position": 7 * ring["position"] + np.float32([1, 2, 3])}, tmp_path / "ring.obj")
    mesh = as_mesh(path)
    np.testing.assert_allclose(abs(mesh["position"]).max(0), abs(ring["position"]).max(0), atol=1e-6)
    view = mesh_view(str(path), 16, backend="torch")
    path.unlink()
    frames = view(textures())
    assert torch.equal(serialization.from_data(serialization.to_data(view))(textures()), frames)


def test_it_leaves_texture_and_mesh_as_they_are():
    ring, image = torus(5, 4), textures()
    kept, pixels = {key: array.copy() for key, array in ring.items()}, image.clone()
    mesh_view(ring, 16, backend="torch")(image)
    assert torch.equal(image, pixels)
    for key, array in kept.items():
        np.testing.assert_array_equal(ring[key], array)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"mesh": "tours"}, ValueError, "mesh is 'torus', or a file that ends in .glb"),
        ({"mesh": "nothing.obj"}, FileNotFoundError, "nothing.obj"),
        ({"mesh": {"position": np.eye(3)}}, ValueError, "no texture coordinates"),
        ({"mesh": 3}, TypeError, "mesh"),
        ({"size": 0}, ValueError, "size"),
        ({"size": (3, 4, 5)}, ValueError, "size"),
        ({"min_dist": 13, "max_dist": 11}, ValueError, "below the least"),
        ({"min_dist": -1}, ValueError, "above 0"),
        ({"max_dist": 400}, ValueError, "not in view at a distance of 400"),
        ({"mesh": {**torus(5, 4), "position": torus(5, 4)["position"] + 40}}, ValueError, "not in view"),
        ({"backend": "vulkan"}, ValueError, "backend is one of"),
    ],
)
def test_arguments_that_make_no_sense(options, error, words):
    with pytest.raises(error, match=words):
        mesh_view(**{"mesh": "torus", "size": 16, "backend": "torch", **options})


def test_a_view_that_is_empty():
    """The mesh is in view from the sides that are tried, but not from all."""
    ring = torus(8, 6)
    view = MeshView({**ring, "position": ring["position"] + 30}, (8, 8), 12.0, 12.0, "torch")
    with pytest.raises(ValueError, match="shows no part of the mesh"):
        view(textures())
