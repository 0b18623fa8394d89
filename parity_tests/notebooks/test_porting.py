"""docs/porting.md says what is so."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from converters.frozen.writer import GraphWriter
from lucid_port.misc import io
from lucid_port.modelzoo import vision_models
from lucid_port.optvis import objectives, overrides, param, render, style, transform
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.sampling import RandomSource

TEXT = Path(__file__).parents[2].joinpath("docs", "porting.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_code_blocks_run(capsys):
    namespace: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/porting.md", "exec"), namespace)
    assert len(BLOCKS) == 6
    assert capsys.readouterr().out.startswith("0 ")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"lucid_port(?:\.\w+)+", TEXT))))
def test_the_modules_exist(name):
    importlib.import_module(name)


PUBLIC = {
    "objectives": objectives,
    "overrides": overrides,
    "param": param,
    "render": render,
    "style": style,
    "transform": transform,
}
OURS = {
    "Op",
    "Parameterization",
    "Compose",
    "Transform",
    "VisT",
    "Renders",
    "as_parameterization",
    "as_transform",
    "token",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_listed(module):
    """What is not in Lucid (base classes and converters) need not be."""
    names = set(PUBLIC[module].__all__) - OURS
    missing = {name for name in names if not re.search(rf"\b{re.escape(name)}\b", TEXT)}
    if module == "param":
        missing -= {"parameterization"}
    assert not missing


LUCIDS_PLACES = {
    "optvis.param.spatial": "fft_image pixel_image laplacian_pyramid_image bilinearly_sampled_image rfft2d_freqs "
    "naive laplacian_pyramid sample_bilinear",
    "optvis.param.color": "color_correlation_svd_sqrt color_mean to_valid_rgb",
    "optvis.param.unit_balls": "unit_ball_L2 unit_ball_L_inf constrain_L2 constrain_L_inf",
    "optvis.param": "image grayscale_image_rgb lowres_tensor to_valid_rgb naive fft_image laplacian_pyramid cppn "
    "image_sample",
    "optvis.overrides": "gradient_override_map use_gradient relu_overrides pooling_overrides default_overrides "
    "linearization_overrides",
    "optvis.style": "StyleLoss gram_style mean_l1_loss mean_l2_loss",
    "misc.io": "load save show batch_save CaptureSaveContext io_scope scope_url",
    "misc.io.reading": "read read_handle local_cache_path",
    "misc.io.writing": "write write_handle",
    "misc.io.scoping": "io_scope scope_url current_io_scopes set_io_scopes",
    "misc.gl.glrenderer": "MeshRenderer",
    "misc.gl.meshutil": "perspective lookat sample_view homotrans anorm normalize load_obj normalize_mesh",
    "misc.io.showing": "image images show textured_mesh image_url _display_html _image_html _normalize_array",
    "misc.io.serialize_array": "serialize_array",
    "misc.channel_reducer": "ChannelReducer",
    "misc.gradient_override": "gradient_override_map use_gradient",
    "misc.redirected_relu_grad": "redirected_relu_grad redirected_relu6_grad",
    "misc.stimuli": "rounded_corner sample_binary_image rmin",
    "misc.ndimage_utils": "resize composite soft_alpha_blend",
    "misc.convert_matplotlib": "matplotlib_to_numpy",
    "misc.environment": "is_notebook_environment",
    "misc.iter_nd_utils": "recursive_enumerate_nd dict_to_ndarray batch_iter",
    "optvis.overrides.identity_grad": "identity_grad",
    "recipes.caricature": "caricature feature_inversion dot_compare make_caricature",
    "recipes.image_activations": "image_activations manifest_image_activations",
    "modelzoo.caffe_models": "VGG16_caffe InceptionV1_caffe_Places365",
    "modelzoo.slim_models": "InceptionV4_slim MobilenetV2_14_slim",
    "modelzoo.other_models": "AlexNet InceptionV1",
    "modelzoo.util": "load_text_labels load_graphdef infuse_metadata extract_metadata GraphDefHelper",
    "modelzoo.nets_factory": "get_model models_map",
    "modelzoo.vision_base": "Model Layer IMAGENET_MEAN IMAGENET_MEAN_BGR",
}


@pytest.mark.parametrize("module", LUCIDS_PLACES)
def test_lucids_names_are_in_lucids_places(module):
    loaded = importlib.import_module(f"lucid_port.{module}")
    for name in LUCIDS_PLACES[module].split():
        assert hasattr(loaded, name), name


# Statements of the tables that no step of the notebooks shows ----------------------------------


def test_layers_are_nchw_unless_asked_otherwise(model):
    seen = {}

    def look(order):
        def f(layer):
            def inner(T):
                seen[order, layer] = tuple(T(layer).shape)
                return T(layer).mean()

            return inner

        return f

    nchw = objectives.wrap_objective(look("NCHW"))
    nhwc = objectives.wrap_objective(require_format="NHWC")(look("NHWC"))
    obj = nchw("mixed3a") + nhwc("mixed3a") + nchw("input") + nhwc("softmax2_pre_activation")
    T = render.make_vis_T(model, obj, lambda: param.image(224), transforms=[])
    T.value_and_gradients()
    assert seen == {
        ("NCHW", "mixed3a"): (1, 256, 28, 28),
        ("NHWC", "mixed3a"): (1, 28, 28, 256),
        ("NCHW", "input"): (1, 3, 224, 224),
        ("NHWC", "softmax2_pre_activation"): (1, 1, 1, 1008),
    }


def test_parameterizations_work_as_tensors():
    p, q = param.image(6, 4), param.image(6, 4)
    assert (p + 0.5 * q)[..., :2].shape == (1, 4, 6, 2)
    assert sum([p, q]).reshape(4, 6, 3).shape == (4, 6, 3)
    assert param.stack([p[0], q[0]]).shape == (2, 4, 6, 3)
    assert param.concat([p, q], axis=0).shape == (2, 4, 6, 3)
    assert p().shape == (1, 3, 4, 6)
    assert p.nhwc().shape == (1, 4, 6, 3)
    assert torch.equal(p.map(torch.sqrt)(), p().sqrt())
    before = p().detach().clone()
    assert not torch.equal(p.reset(RandomSource(7))(), before)


@pytest.mark.parametrize(
    "optimizer",
    [lambda parameters: TFAdam(parameters, lr=0.03), lambda parameters: torch.optim.SGD(parameters, lr=1.0)],
)
def test_optimizers_are_functions_of_parameters(model, optimizer):
    T = render.make_vis_T(model, "conv2d0_pre_relu:3", lambda: param.image(16), optimizer=optimizer, transforms=[])
    before = T.image()
    T.step()
    assert T.steps == 1
    assert np.abs(T.image() - before).max() > 0


def test_heads_exist_at_the_models_size(model):
    from converters import InputSizeError

    unit = "softmax0_pre_activation:3"
    with pytest.raises(InputSizeError, match=r"softmax0|head0"):
        render.make_vis_T(model, unit, lambda: param.image(64), transforms=[]).step()
    cropped = [transform.crop_or_pad_to(224, 224)]
    T = render.make_vis_T(model, objectives.class_logit("softmax0_pre_activation", 3), transforms=cropped)
    assert torch.isfinite(T.step())


def test_overrides_surround_calls_of_the_model(model):
    image = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    gradients = []
    for context in (overrides.gradient_override_map({}), overrides.linearization_overrides()):
        with context:
            value = model.activations(image, ["mixed3a"])["mixed3a"].sum()
        gradients.append(torch.autograd.grad(value, image)[0])
    assert not torch.equal(*gradients)


@pytest.mark.parametrize("name", ["relu", "pooling", "default"])
def test_lucids_maps_of_overrides_are_the_contexts(name):
    image = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8).requires_grad_()  # the first image is negative
    gradients = []
    stated = getattr(overrides, f"{name}_overrides_map")
    for context in (overrides.gradient_override_map(stated), getattr(overrides, f"{name}_overrides")()):
        with context:
            value = torch.max_pool2d(torch.relu(image), 2).sum()
        gradients.append(torch.autograd.grad(-value, image)[0])
    assert torch.equal(*gradients)
    assert not torch.equal(gradients[0], torch.autograd.grad(-torch.max_pool2d(torch.relu(image), 2).sum(), image)[0])


def test_a_style_objective_is_minus_the_loss(model):
    layers = ["conv2d2", "mixed3a"]
    loss = style.StyleLoss(layers)
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    loss.set_style(model.activations(picture, layers))
    T = render.make_vis_T(model, loss.objective(), lambda: param.image(32), transforms=[])
    first = float(T.step())
    for _ in range(5):
        T.step()
    assert first < float(T("loss")) < 0


def test_an_input_is_prepared_as_one_image(model):
    assert model.create_input(torch.zeros(3, 4, 5)).shape == (1, 3, 4, 5)


def test_a_graph_with_lucids_metadata_needs_no_more(tmp_path):
    writer = GraphWriter()
    writer.op("same", "Identity", [writer.placeholder("in", [None, None, None, 3])])
    graph_def = writer.graph_def()
    node = graph_def.node.add(name="lucid_metadata_json", op="Const")
    node.attr["dtype"].type = 7  # string
    node.attr["value"].tensor.dtype = 7
    text = json.dumps({"input_name": "in", "image_shape": [16, 16, 3], "image_value_range": [0, 255]})
    node.attr["value"].tensor.string_val.append(text.encode())
    (tmp_path / "own.pb").write_bytes(graph_def.SerializeToString())
    made = vision_models.Model(tmp_path / "own.pb")
    assert float(made(torch.ones(1, 3, 1, 1)).max()) == 255
    other = vision_models.Model(tmp_path / "own.pb", image_value_range=(-1, 1))
    assert float(other(torch.zeros(1, 3, 1, 1)).min()) == -1


def test_names_may_keep_their_output_number(model):
    image = torch.zeros(1, 3, 32, 32)
    found = model.activations(image, ["mixed3a", "mixed3a:0"])
    assert torch.equal(found["mixed3a"], found["mixed3a:0"])
    assert objectives.as_objective("mixed3a:0:7").description == "Channel [mixed3a:0, 7, None]"


def test_a_gradient_between_layers(model):
    @objectives.wrap_objective
    def attribution(layer, target):
        def inner(T):
            t = T(layer)
            y = T(target)[:, 3].mean()
            return (t * (t * torch.autograd.grad(y, t, retain_graph=True)[0]).detach()).sum()

        return inner

    T = render.make_vis_T(model, attribution("mixed3a", "mixed4a"), lambda: param.image(32), transforms=[])
    assert torch.isfinite(T.step())
    assert torch.isfinite(T.step())


def test_a_transform_on_its_own_draws_from_a_source():
    image = torch.rand(1, 3, 20, 20)
    jitter, source = transform.jitter(8), RandomSource(3)
    assert torch.equal(jitter(image), jitter(image))
    drawn = [jitter(image, source) for _ in range(4)]
    assert any(not torch.equal(drawn[0], other) for other in drawn[1:])


def test_tensorflows_functions_in_torch():
    t = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    unit = t * (t * t).sum(1, keepdim=True).clamp(min=1e-12).rsqrt()
    torch.testing.assert_close(unit.detach(), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    norms = torch.linalg.vector_norm(t, dim=1).sum()
    assert torch.autograd.grad(norms, t)[0].tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


def test_graphs_and_unknown_files_are_not_loaded(tmp_path):
    for name in ("graph.pb", "unknown.abc"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ValueError, match="known extensions"):
            io.load(tmp_path / name)


@pytest.mark.gpu
def test_the_image_follows_the_model():
    moved = vision_models.InceptionV1_seeded().cuda()
    T = render.make_vis_T(moved, "mixed3a:3", lambda: param.image(32))
    T.step()
    assert T("input").is_cuda
    assert T.image().shape == (1, 32, 32, 3)
