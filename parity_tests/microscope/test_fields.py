"""Effective receptive fields: equal to known geometry and to gradients, and boxes equal to the inverse preparation."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lucid_port.microscope.fields import Fields, effective_fields, inside, original_box, some_images
from lucid_port.microscope.pictures import Pictures
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.preprocessing import Preprocessing

SIZE = (37, 51)


class Net(nn.Module):
    """Two convolutions with strides 2 and 1, a pool, and a linear layer; unit 0 of `second` is dead."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 5, stride=2, padding=2)
        self.second = nn.Conv2d(4, 5, (3, 5), padding=(1, 2))
        self.pool = nn.MaxPool2d(3, 2)
        self.head = nn.Linear(5, 6)
        with torch.no_grad():
            self.second.weight[0], self.second.bias[0] = 0, -1
            self.first.weight[1, :, [0, 1, 3, 4]] = 0
            self.first.weight[1, :, :, [0, 1, 3, 4]] = 0

    def forward(self, x):
        x = self.pool(self.second(self.first(x).relu()).relu())
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return from_torch(Net(), (-1, 1), image_shape=(*SIZE, 3))


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(1).random((3, 3, *SIZE), np.float32))


@pytest.fixture(scope="module")
def found(model, images):
    return effective_fields(model, ["first", "second", "pool", "head"], images, batch_size=7)


def test_places_lie_where_the_geometry_says(found):
    assert (found["first"].stride, found["first"].offset, found["first"].grid) == ((2, 2), (0.5, 0.5), (19, 26))
    assert (found["second"].stride, found["second"].offset) == ((2, 2), (0.5, 0.5))
    assert (found["pool"].stride, found["pool"].offset, found["pool"].grid) == ((4, 4), (2.5, 2.5), (9, 12))


def test_a_field_is_no_larger_than_the_theoretical_one(found):
    assert found["first"].sizes.max() == 5
    assert found["first"].sizes[1] == 2  # one pixel, and no less than the stride
    assert found["second"].sizes.max() <= 13
    assert found["pool"].sizes.max() <= 17


def test_fields_hold_their_share_of_the_gradient(model, images, found):
    inputs = images.clone().requires_grad_()
    values = model.activations(inputs, ["second"])["second"]
    rows, columns = values.shape[2] // 2, values.shape[3] // 2
    measured = found["second"]
    shares, outer = [], []
    for unit in range(1, 5):
        (gradient,) = torch.autograd.grad(values[:, unit, rows, columns].sum(), inputs, retain_graph=True)
        mass = gradient.square().sum(1).sqrt().sum(0).numpy()
        if not mass.any():
            continue
        left, top, right, bottom = measured.box(unit, rows * measured.grid[1] + columns)
        y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        within = (x > left) & (x < right) & (y > top) & (y < bottom)
        shares.append(mass[within].sum() / mass.sum())
        closer = (x > left + 3) & (x < right - 3) & (y > top + 3) & (y < bottom - 3)
        outer.append(mass[closer].sum() / mass.sum())
    assert shares, "no unit has a gradient"
    assert min(shares) > 0.85, shares  # 95 % along rows and along columns
    assert max(outer) < 0.9, outer


def test_changes_elsewhere_leave_the_cell_as_it_is(model, images, found):
    """Occlusion: pixels outside of the theoretical field, whose middle is the box's, do not change the unit."""
    field, place = found["second"], 9 * 26 + 13
    box = Fields(*list(vars(field).values())[:-1], np.full(5, 13, np.float32)).box(2, place)
    left, top, right, bottom = (round(edge) for edge in box)
    outside, within = torch.rand(1, 3, *SIZE), images[:1].clone()
    outside[..., top:bottom, left:right] = images[:1, :, top:bottom, left:right]
    before, after = (model.activations(one, ["second"])["second"][0, :, 9, 13] for one in (within, outside))
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-6)
    outside[..., top + 2 : bottom - 2, left + 2 : right - 2] = 0
    assert (model.activations(outside, ["second"])["second"][0, :, 9, 13] - before).abs().max() > 1e-3


def test_a_dead_unit_has_the_median_field(found):
    others = np.sort(found["second"].sizes[1:])
    assert others[0] <= found["second"].sizes[0] <= others[-1]


def test_a_fully_connected_unit_sees_the_whole_image(found):
    assert found["head"].kind == "whole"
    assert found["head"].box(3, 0) == (0, 0, 51, 37)
    assert found["head"].cell(0) is None


def test_the_cell_lies_in_the_middle_of_the_field(found):
    field = found["pool"]
    place = 4 * 12 + 7
    assert field.cell(place) == (2.5 + 28 - 2, 2.5 + 16 - 2, 2.5 + 28 + 2, 2.5 + 16 + 2)
    for low, high in zip(field.box(1, place)[:2], field.box(1, place)[2:], strict=True):
        assert high - low == field.sizes[1]
    assert np.add(*np.split(np.array(field.box(1, place)), 2)) / 2 == pytest.approx((30.5, 18.5))
    assert field.cell(0) == (0.5, 0.5, 4.5, 4.5)


def test_batches_do_not_change_the_fields(model, images, found):
    again = effective_fields(model, ["second"], images, batch_size=64)["second"]
    np.testing.assert_array_equal(again.sizes, found["second"].sizes)


def test_a_gray_model_gets_gray_images():
    model = from_torch(nn.Sequential(nn.Conv2d(1, 2, 3)), (-1, 1), image_shape=(9, 11, 1))
    found = effective_fields(model, ["0"])["0"]
    assert (found.grid, found.offset, found.sizes.tolist()) == ((7, 9), (1.5, 1.5), [3, 3])


def test_the_cell_of_a_token_is_its_patch():
    network = VisionTransformer(img_size=(12, 20), patch_size=4, embed_dim=8, depth=1, num_heads=2, num_classes=3)
    found = effective_fields(from_torch(network, (-1, 1), image_shape=(12, 20, 3)), ["blocks.0"])["blocks.0"]
    assert (found.kind, found.grid, len(found.sizes)) == ("patches", (3, 5), 8)
    assert found.cell(7) == (8, 4, 12, 8)
    assert found.box(0, 7) == (4, 0, 16, 12)


def test_fields_are_kept_as_json(found):
    for one in found.values():
        again = Fields.from_data(json.loads(json.dumps(one.to_data())))
        assert again.to_data() == one.to_data()
        np.testing.assert_array_equal(again.sizes, one.sizes)
    with pytest.raises(ValueError, match="no receptive fields"):
        Fields.from_data({"layer": "a"})


# The preparation --------------------------------------------------------------------------------

PREPARATIONS = [
    Preprocessing((33, 47), resize=40),
    Preprocessing((33, 47), resize=60),
    Preprocessing((20, 30), resize=(50, 41)),
    Preprocessing((21, 35)),
]


@pytest.mark.parametrize("prepare", PREPARATIONS)
@pytest.mark.parametrize("size", [(64, 91), (120, 57), (31, 31)])
def test_a_box_is_mapped_to_the_pixels_that_it_shows(prepare, size):
    """A white spot of the picture appears in the prepared image in the box that maps to the spot."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    cx, cy = width // 2 - 4, height // 2 + 3
    pixels[cy - 2 : cy + 3, cx - 2 : cx + 3] = 255
    prepared = prepare(Image.fromarray(pixels))[0].numpy()
    rows, columns = (prepared.sum(axis) for axis in (1, 0))
    y, x = (float((profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum()) for profile in (rows, columns))
    left, top, right, bottom = original_box(prepare, (x - 1, y - 1, x + 1, y + 1), size)
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((cx + 0.5, cy + 0.5), abs=0.25)


def test_another_preparation_states_no_box():
    assert original_box(lambda picture: torch.zeros(3, 4, 4), (0, 0, 1, 1), (5, 5)) is None


def test_the_black_border_lies_outside_of_the_picture():
    assert original_box(Preprocessing((40, 60), resize=20), (0, 0, 60, 40), (40, 40)) == (-40, -20, 80, 60)


def test_a_box_is_moved_into_the_picture():
    assert inside((25.0, -3.0, 35.0, 7.0), (30, 20)) == (20, 0, 30, 10)
    assert inside((-5.0, -5.0, 50.0, 50.0), (30, 20)) == (0, 0, 30, 20)


def test_some_images_leave_out_unreadable_pictures(tmp_path):
    for number in range(5):
        Image.fromarray(np.full((9, 9, 3), 50 * number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"")
    images = some_images(Pictures(tmp_path, Preprocessing((6, 8))), 3)
    assert images.shape == (2, 3, 6, 8)
    assert images[1].max() == pytest.approx(200 / 255)
