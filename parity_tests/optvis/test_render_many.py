"""Many units at a time: each picture is that of its unit alone, whatever is killed, split or shared."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import re
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import converters
from converters.errors import LayerNotFoundError
from lucid_port.misc import locking
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.many import memory, picture_folder, setup, unit_spec, workers
from lucid_port.optvis.progress import ManyProgress
from lucid_port.optvis.render_many import make_many_T, render_many
from lucid_port.optvis.sampling import RandomSource
from parity_tests.optvis.tiny import TinyModel

SHAPE_KEEPING = [transform.pad(6), transform.jitter(5), transform.random_rotate([-3, 0, 8])]
QUICK = {"size": 12, "steps": 3, "verbose": False}
LIVE = "mixed:1-4,6-7"
"""Channels that are not dead at first: of others Adam gets gradients as small as rounding, and makes steps of them."""
ROUNDING = 1e-5
"""Pictures in [0, 1] of tiny networks whose sums are taken in another order: 1/400 of a grey level. Measured: 1e-7."""


def many(asked="mixed:1,4,6,7", model=None, **kwargs):
    return render_many(model or TinyModel(), asked, **{**QUICK, **kwargs})


def alone(name, model=None, size=12, steps=3, **kwargs):
    options = {"param_f": lambda: param.image(size), "thresholds": (steps - 1,), "verbose": False, **kwargs}
    return render.render_vis(model or TinyModel(), name, **options)


def assert_alike(renders, others, tolerance=ROUNDING):
    assert [one.name for one in renders] == [one.name for one in others]
    for one, other in zip(renders, others, strict=True):
        np.testing.assert_allclose(one.image, other.image, atol=tolerance)
        np.testing.assert_allclose(one.losses, other.losses, rtol=1e-4, atol=1e-6)


# As if alone ----------------------------------------------------------------------------------

STEPS = 8
FACTOR = 10
"""As for a free render against Lucid's: no further from the unit alone than this many times what that is from itself
when its initial parameters are multiplied by 1 +- 1e-6 (3 draws of signs)."""
SMOOTH_BOUND = 5e-6
"""Where no decision can flip, in [0, 1] (mean over pixels); measured 1e-6 after 8 steps."""
UNITS = [3, 100, 250, 400]


@functools.cache
def inception(smooth):
    if not smooth:
        return vision_models.InceptionV1_seeded()
    return Model(network=converters.convert(seeded_inceptionv1(smooth=True)), image_value_range=(-117, 138))


def path_of(vis, index=0):
    pictures = []
    for _ in range(STEPS):
        vis.step()
        pictures.append(vis.image()[index])
    return np.stack(pictures)


def path_alone(model, unit, disturbance=None):
    image = param.image(40).reset(RandomSource(0).scope("param"))
    if disturbance is not None:
        generator = torch.Generator().manual_seed(disturbance)
        with torch.no_grad():
            for parameter in image.parameters():
                signs = 2 * torch.randint(0, 2, parameter.shape, generator=generator) - 1
                parameter.mul_(1 + 1e-6 * signs)
    return path_of(render.make_vis_T(model, f"mixed4a_pre_relu:{unit}", image, relu_gradient_override=True))


def distances(path, other):
    return np.abs(path - other).mean((1, 2, 3))


@pytest.mark.parametrize("asked", ["channels", "objectives"])
@pytest.mark.parametrize("smooth", [True, False])
def test_first_steps_of_each_image_are_those_of_its_unit_alone(smooth, asked):
    model = inception(smooth)
    wanted = {
        "channels": [("mixed4a_pre_relu", unit) for unit in UNITS],
        "objectives": [objectives.channel("mixed4a_pre_relu", unit) for unit in UNITS],
    }[asked]
    vis = make_many_T(model, wanted, size=40, relu_gradient_override=True)
    pictures = []
    for _ in range(STEPS):
        assert vis.step().shape == (len(UNITS),)
        pictures.append(vis.image())
    for index, unit in enumerate(UNITS):
        reference = path_alone(model, unit)
        found = distances(np.stack(pictures)[:, index], reference)
        own = np.max([distances(path_alone(model, unit, draw), reference) for draw in range(3)], 0)
        bound = np.full(STEPS, SMOOTH_BOUND) if smooth else np.maximum(FACTOR * own, 1e-5)
        assert (found <= bound).all(), f"unit {unit}: {found} {own}"


def test_batch_sizes_and_devices_do_not_matter():
    asked = [LIVE, "conva:0-2", objectives.channel("mixed", 1) - 0.01 * objectives.L2()]
    one = many(asked, batch_size=1)
    assert [(r.layer, r.unit) for r in one] == [
        *(("mixed", k) for k in (1, 2, 3, 4, 6, 7)),
        *(("conva", k) for k in range(3)),
        ("mixed", None),
    ]
    assert_alike(many(asked, batch_size=4), one)
    assert_alike(many(asked), one)
    assert_alike(many(asked, batch_size=2, devices=["cpu", "cpu", "cpu"]), one)


def test_all_kinds_of_objectives_see_one_image():
    """Also those that are no mean over the batch: a norm of everything, one value for each image, a dense layer."""
    wanted = [
        objectives.channel("mixed", 1) - 0.1 * objectives.L2(),
        objectives.channel("mixed", 1) - 0.01 * objectives.total_variation(),
        objectives.channel("mixed", 1) - 0.1 * objectives.blur_input_each_step(),
        objectives.class_logit("head", "some"),
        objectives.direction("mixed", np.arange(9) - 3, cossim_pow=2),
    ]
    for found, objective in zip(many(wanted), wanted, strict=True):
        expected = alone(objective)
        np.testing.assert_allclose(found.image, expected[0][0], atol=ROUNDING)
        np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-4)
        assert found.value == found.losses[-1]
        assert found.image.dtype == np.float32


def test_channels_of_dense_layers():
    found = many("head:*")
    assert [r.unit for r in found] == list(range(4))
    np.testing.assert_allclose(found[1].image, alone("head:1")[0][0], atol=ROUNDING)


def test_layers_with_several_rows_for_each_image():
    """A dense layer on an image larger than it was made for has a row for each position."""

    class Rows(TinyModel):
        def activations(self, image, names):
            conva = super().activations(image, ["conva"])["conva"][:, :, ::4, ::3]
            return dict.fromkeys(names, conva.permute(0, 2, 3, 1).flatten(0, 2))

    found = many([("rows", 1), ("rows", 3)], Rows())
    by_objective = many([objectives.channel("rows", 1), objectives.channel("rows", 3)], Rows())
    for one, other, channel in zip(found, by_objective, (1, 3), strict=True):
        expected = alone(f"rows:{channel}", Rows())[0][0]
        np.testing.assert_allclose(one.image, expected, atol=ROUNDING)
        np.testing.assert_allclose(other.image, expected, atol=ROUNDING)


def test_gradients_between_layers_need_a_batch_of_one():
    def attribution(T):
        mixed, conva = T("mixed"), T("conva")
        return torch.autograd.grad(mixed[:, 1].sum(), conva, create_graph=True)[0].mul(conva).sum()

    asked = [attribution, functools.partial(attribution)]
    with pytest.raises(ValueError, match="batch_size=1"):
        many(asked, batch_size=2)
    np.testing.assert_allclose(many(asked, batch_size=1)[0].image, alone(attribution)[0][0], atol=ROUNDING)


@pytest.mark.parametrize(
    "factory",
    [
        lambda: param.image(12),
        lambda count: param.image(12, batch=count),
        functools.partial(param.image, 12),
        lambda: param.image(12) * 0.5 + param.pixel_image((1, 12, 12, 3), sd=0.1) * 0.1,
    ],
)
def test_images_however_they_are_made(factory):
    expected = (
        factory if "count" not in str(factory.__code__.co_varnames if hasattr(factory, "__code__") else "") else None
    )
    found = many(size=None, param_f=factory)
    reference = alone("mixed:4", param_f=expected or (lambda: param.image(12)))
    np.testing.assert_allclose(found[1].image, reference[0][0], atol=ROUNDING)


def test_images_that_would_share_their_parameters_are_made_one_by_one():
    found = many(size=None, param_f=lambda batch: param.cppn(12, batch, num_layers=2))
    reference = alone("mixed:6", param_f=lambda: param.cppn(12, num_layers=2))
    np.testing.assert_allclose(found[2].image, reference[0][0], atol=1e-4)  # measured 2e-6: Adam of tiny gradients


def test_each_image_has_its_own_seed():
    seeds = [5, 0, 5, 9]
    found = many(seeds=seeds, seed=2, batch_size=2)
    assert [r.seed for r in found] == seeds
    for one in found:
        source = RandomSource(seeds=[one.seed], shared=2)
        np.testing.assert_allclose(one.image, alone(one.name, seed=source)[0][0], atol=ROUNDING)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_image_has_its_own_transforms(batch_size):
    found = many(seeds=[5, 0, 5, 9], per_image=True, transforms=SHAPE_KEEPING, batch_size=batch_size)
    for one in found:
        expected = alone(one.name, seed=one.seed, transforms=SHAPE_KEEPING)
        np.testing.assert_allclose(one.image, expected[0][0], atol=ROUNDING)


def test_own_transforms_have_seeds_that_differ():
    assert [r.seed for r in many(per_image=True, seed=7)] == [7, 8, 9, 10]
    assert [r.seed for r in many(seed=7)] == [7, 7, 7, 7]


def test_images_of_one_seed_have_the_same_draws():
    drawn = RandomSource(seeds=[3, 8, 3]).normal("n", 4, images=3)
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[1], RandomSource(8).normal("n", 4))


# What is asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("conva:*", [0, 1, 2, 3]),
        ("conva:1-2", [1, 2]),
        ("conva: 3, 0-1,3", [3, 0, 1]),
        (("conva", 2), [2]),
        ([("conva", np.int64(2)), "conva:0"], [2, 0]),
    ],
)
def test_expressions(asked, expected):
    assert [r.unit for r in many(asked, steps=1)] == expected


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("mixed:9", "no unit 9: layer 'mixed' has channels 0..8"),
        ("mixed:3-12", "no unit 12: layer 'mixed' has channels 0..8"),
        ("mixed", "'mixed' names no units"),
        ("mixed:", "'' in 'mixed:'"),
        ("mixed:5-2", "ends before it begins"),
        ("mixed:-1", "'-1' in 'mixed:-1'"),
        ("mixed:1,x", "'x' in 'mixed:1,x'"),
        ([], "No units"),
        (["mixed:1", "mixed:0-3"], "mixed:1 is named twice"),
    ],
)
def test_expressions_that_make_no_sense(asked, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        many(asked)


@pytest.mark.parametrize("asked", [3, None, [3], ("mixed", 1.5), {"mixed": 1}])
def test_what_is_no_unit(asked):
    with pytest.raises((TypeError, ValueError)):
        many(asked)


def test_a_layer_that_does_not_exist():
    with pytest.raises(LayerNotFoundError, match="Did you mean mixed4"):
        many("mixed4q:*", inception(False))
    with pytest.raises(ValueError, match=re.escape("layer 'mixed4a' has channels 0..507")):
        many("mixed4a:508", inception(False))


def test_arguments_that_make_no_sense(tmp_path):
    for words, kwargs in {
        "param_f is a function": {"param_f": param.image(12), "size": None},
        "either size or param_f": {"param_f": lambda: param.image(12)},
        "one for each": {"seeds": [1, 2]},
        "steps": {"steps": 0},
        "batch_size": {"batch_size": 0},
        "devices is empty": {"devices": []},
        "no device": {"devices": ["abacus"]},
        "give output": {"sheet": True},
        "1 to 4 channels": {
            "asked": lambda T: T("input").mean(),
            "param_f": lambda batch: param.image(9, batch=batch, channels=6),
            "size": None,
            "transforms": [lambda image: image[:, :3]],
            "output": tmp_path,
        },
        "for a batch of 1": {"param_f": lambda batch: param.image(12, batch=2 * batch), "size": None},
        "gives the same image again": {"param_f": functools.cache(lambda: param.image(12)), "size": None},
    }.items():
        with pytest.raises((TypeError, ValueError), match=words):
            many(**kwargs)
    assert list(tmp_path.iterdir()) == []


# Memory ---------------------------------------------------------------------------------------


def fail_above(monkeypatch, most, error):
    """Steps of more images than this fail for want of memory."""
    step = render.VisT.step
    sizes = []

    def limited(vis):
        sizes.append(vis.param.shape[0])
        if sizes[-1] > most:
            raise error
        return step(vis)

    monkeypatch.setattr(render.VisT, "step", limited)
    return sizes


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "numpy", "cpu"])
def test_a_batch_that_does_not_fit_is_halved(monkeypatch, error):
    expected = many(LIVE)
    sizes = fail_above(monkeypatch, 3, error)
    with pytest.warns(RuntimeWarning, match=r"6 images .* at most 3"):
        found = many(LIVE, batch_size=6)
    assert sizes == [6, 3, 3, 3, 3, 3, 3]
    assert_alike(found, expected)


def test_finished_units_are_kept_when_memory_runs_out_later(monkeypatch, tmp_path):
    sizes = fail_above(monkeypatch, 4, MemoryError())
    with pytest.warns(RuntimeWarning):
        found = many(["conva:*", "mixed:0-5", "head:*"], batch_size=6, output=tmp_path)
    assert len(found) == 14
    assert sizes == [4] * 3 + [6] + [3] * 6 + [2] * 6


def test_one_image_that_does_not_fit(monkeypatch):
    fail_above(monkeypatch, 0, MemoryError())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MemoryError, match="A single image does not fit into the memory of cpu"):
            many()


def test_other_errors_are_not_taken_for_want_of_memory(monkeypatch):
    sizes = fail_above(monkeypatch, 0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        many()
    assert len(sizes) == 1


def test_an_error_in_the_middle_has_what_was_finished(monkeypatch):
    fail_above(monkeypatch, 2, RuntimeError("too many"))
    with pytest.raises(RuntimeError) as caught:
        many(["conva:0-1", "mixed:1,4,6"])
    assert [one.name for one in caught.value.renders] == ["conva:0", "conva:1"]


def test_the_networks_precision():
    exact, rounded = many(), many(precision="bf16")
    assert not np.array_equal(exact[0].image, rounded[0].image)
    assert many(precision="float32")[0].losses[0] == pytest.approx(rounded[0].losses[0], rel=0.02)


def test_the_size_of_a_batch_follows_the_free_memory(monkeypatch):
    vis = make_many_T(TinyModel(), "mixed:0", size=12, transforms=[])
    needed = memory.saved_bytes(lambda: vis("loss"))
    assert needed > 2 * 4 * 9 * 12 * 12  # at least what goes into and out of the ReLUs
    forward = functools.partial(vis, "loss")
    for free, expected in ((None, 16), (10**15, 16), (0, 1), (3 * 2 * needed * 5.5, 5)):
        monkeypatch.setattr(memory, "free_host_memory", lambda free=free: free)
        assert memory.host_batch_size(forward) == expected


def test_batches_are_even():
    assert [len(b) for b in workers.split_evenly(range(130), 128)] == [65, 65]
    assert [k for batch in workers.split_evenly(range(11), 4) for k in batch] == list(range(11))
    assert workers.split_evenly([], 4) == []


@pytest.mark.gpu
def test_batches_fit_on_a_gpu():
    model = vision_models.InceptionV1_seeded().to("cuda")
    found = many("mixed4a_pre_relu:0-39", model, size=64)
    assert len(found) == 40
    np.testing.assert_allclose(found[3].image, many("mixed4a_pre_relu:3", model, size=64)[0].image, atol=1e-3)


# Folders and sheets ---------------------------------------------------------------------------


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_pictures(tmp_path):
    found = many("mixed:1,4", output=tmp_path)
    assert files(tmp_path) == ["manifest.json", "mixed_0001.png", "mixed_0004.png"]
    assert all(one.image is None for one in found)
    expected = many("mixed:1,4")
    for one, other, entry in zip(found, expected, manifest(tmp_path)["units"], strict=True):
        with Image.open(one.path) as picture:
            assert np.array_equal(np.asarray(picture), (other.image * 255).astype(np.uint8))
        assert (entry["layer"], entry["unit"], entry["seed"]) == ("mixed", one.unit, 0)
        assert entry["value"] == one.value
        assert tmp_path / entry["file"] == one.path
    assert manifest(tmp_path)["settings"]["steps"] == 3
    assert manifest(tmp_path)["versions"]["torch"] == torch.__version__
    assert many("mixed:0", output=tmp_path, keep=True)[0].image.shape == (12, 12, 3)


class Killed(BaseException):
    pass


def killed_after(monkeypatch, steps):
    """A run that dies in the middle of a step, as a killed one does."""
    step, made = render.VisT.step, []

    def dying(vis):
        made.append(vis)
        if len(made) > steps:
            raise Killed
        return step(vis)

    monkeypatch.setattr(render.VisT, "step", dying)
    return made


@pytest.mark.parametrize("sheet", [False, True])
def test_a_killed_run_goes_on_where_it_stopped(monkeypatch, tmp_path, sheet):
    options = {"batch_size": 2, "sheet": sheet, "output": tmp_path / "killed"}
    whole = many("mixed:0-5", **{**options, "output": tmp_path / "whole"})
    with monkeypatch.context() as patch:
        killed_after(patch, 8)
        with pytest.raises(Killed):
            many("mixed:0-5", **options)
    assert len(manifest(tmp_path / "killed")["units"]) == 4
    with monkeypatch.context() as patch:
        made = killed_after(patch, 3)
        found = many("mixed:0-5", **options)
    assert len(made) == 3
    assert (found.asked, found.reused, len(found)) == (6, 4, 6)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    for one, other in zip(found, whole, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
        assert one.value == other.value
    assert many("mixed:0-5", **options).reused == 6


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_picture_that_is_gone_is_made_again(tmp_path):
    found = many("mixed:0-3", output=tmp_path)
    before = pixels(found[2].path)
    found[2].path.unlink()
    assert many("mixed:0-3", output=tmp_path).reused == 3
    np.testing.assert_array_equal(pixels(found[2].path), before)


def test_a_damaged_picture_is_made_again(tmp_path):
    made = many("mixed:0-3", output=tmp_path)
    made[2].path.write_bytes(b"")
    assert many("mixed:0-3", output=tmp_path).reused == 3
    assert np.asarray(Image.open(made[2].path)).shape == (12, 12, 3)


def test_pictures_of_a_users_own_objectives_are_made_again(tmp_path):
    first = many([lambda t: t("mixed")[:, 1].mean()], output=tmp_path)
    second = many([lambda t: t("mixed")[:, 4].mean()], output=tmp_path)
    assert second.reused == 0
    assert second[0].value != first[0].value


def test_a_users_own_transforms_need_a_new_folder(tmp_path):
    many("mixed:1", output=tmp_path, transforms=[lambda x: 0.5 * x])
    with pytest.raises(ValueError, match=r"transforms is .*own code"):
        many("mixed:1", output=tmp_path, transforms=[lambda x: 0.1 * x])


def test_a_changed_network_needs_a_new_folder(tmp_path):
    network = converters.convert(seeded_inceptionv1(width=0.1))
    model = Model(network=network, image_value_range=(-117, 138))
    unit = "conv2d0_pre_relu:1"
    many(unit, model, output=tmp_path / "replaced")
    many(unit, model, output=tmp_path / "hooked")
    handle = network.conv2d0_pre_relu.register_forward_hook(lambda module, args, result: 2 * result)
    with pytest.raises(ValueError, match="model is"):
        many(unit, model, output=tmp_path / "hooked")
    handle.remove()
    network.conv2d0_pre_relu = torch.nn.Identity()
    with pytest.raises(ValueError, match="model is"):
        many(unit, model, output=tmp_path / "replaced")


@pytest.mark.skipif(locking.fcntl is None, reason="this system has no file locks of this kind")
def test_two_runs_do_not_write_to_one_folder(tmp_path):
    first = picture_folder.PictureFolder(tmp_path, {}, sheet=False, overwrite=False)
    with contextlib.closing(first), pytest.raises(BlockingIOError, match="is being written by another run"):
        many("mixed:1", output=tmp_path)
    assert len(many("mixed:1", output=tmp_path)) == 1


def test_other_settings_are_refused(tmp_path):
    many("mixed:1", output=tmp_path)
    before = files(tmp_path)
    for words, kwargs in {
        "steps is 3 there and 4 now": {"steps": 4},
        "seed is 0 there and 1 now": {"seed": 1},
        "size is": {"size": 13},
        "transforms is": {"transforms": []},
        "optimizer is": {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1)},
        "sheet is False there and True now": {"sheet": True},
        "model is": {"model": inception(False), "asked": "mixed4a:1", "size": 32},
    }.items():
        with pytest.raises(ValueError, match=f"(?s){words}.*choose another folder, or pass overwrite=True"):
            many(**{"asked": "mixed:1", "output": tmp_path, **kwargs})
    assert files(tmp_path) == before
    (tmp_path / "mine.png").write_bytes(b"mine")
    many("mixed:2", output=tmp_path, steps=4, overwrite=True)
    assert files(tmp_path) == ["manifest.json", "mine.png", "mixed_0002.png"]


def test_a_manifest_that_is_none(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="choose another folder"):
        many("mixed:1", output=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        many("mixed:1", output=tmp_path / "file" / "folder")


def test_a_sheet(tmp_path):
    found = many("mixed:0-4", output=tmp_path, sheet=True, batch_size=2)
    assert files(tmp_path) == ["manifest.json", "sheet.png"]
    assert [one.tile for one in found] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    with Image.open(tmp_path / "sheet.png") as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (24, 36, 3)
    for one, entry in zip(many("mixed:0-4"), manifest(tmp_path)["units"], strict=True):
        row, column = entry["tile"]
        tile = sheet[12 * row : 12 * row + 12, 12 * column : 12 * column + 12]
        assert np.array_equal(tile, (one.image * 255).astype(np.uint8))


def test_a_sheet_grows(monkeypatch, tmp_path):
    whole = many("mixed:*", output=tmp_path / "whole", sheet=True)
    many("mixed:3-5", output=tmp_path / "grown", sheet=True)
    with monkeypatch.context() as patch:
        killed_after(patch, 2)
        with pytest.raises(Killed):
            many("mixed:*", output=tmp_path / "grown", sheet=True)
    grown = many("mixed:*", output=tmp_path / "grown", sheet=True)
    assert grown.reused == 3
    assert [one.tile for one in grown] == [one.tile for one in whole]
    sheets = [np.asarray(Image.open(tmp_path / name / "sheet.png"), int) for name in ("grown", "whole")]
    assert np.abs(sheets[0] - sheets[1]).max() <= 1  # other batches, rounded elsewhere
    assert files(tmp_path / "grown") == ["manifest.json", "sheet.png"]


def test_names_that_would_be_one_file(tmp_path):
    class Slashes(TinyModel):
        def activations(self, image, names):
            values = super().activations(image, ["conva"])["conva"]
            return {name: values if name == "a/b" else -values for name in names}

    found = many(["a/b:0", "a_b:0"], Slashes(), output=tmp_path)
    assert len({one.path for one in found}) == 2
    seeds = many(["a/b:1"], Slashes(), output=tmp_path, seeds=[4]) + many(["a/b:1"], Slashes(), output=tmp_path)
    assert [one.path.name for one in seeds] == ["a_b_0001.png", "a_b_0001_seed0.png"]


def test_a_picture_of_nan_does_not_end_the_run(tmp_path):
    def broken(T):
        return T("mixed").mean() * float("nan")

    with pytest.warns(RuntimeWarning, match="The objective of broken became NaN"):
        found = many([broken, objectives.channel("mixed", 1)], output=tmp_path, size=None, param_f=_pixels)
    assert np.isnan(found[0].value)
    assert manifest(tmp_path)["units"][0]["value"] is None
    assert np.isfinite(found[1].value)


def _pixels(batch):
    return param.image(12, batch=batch, fft=False)


# Interruption, devices, progress --------------------------------------------------------------


@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"]])
def test_ctrl_c_keeps_what_is_finished(monkeypatch, tmp_path, devices):
    main, made = picture_folder.PictureFolder.add, []

    def interrupting(folder, finished, recipe):
        paths = main(folder, finished, recipe)
        made.append(paths)
        if len(made) == 2 and len(devices) == 1:
            raise KeyboardInterrupt
        return paths

    monkeypatch.setattr(picture_folder.PictureFolder, "add", interrupting)
    if len(devices) > 1:  # Ctrl-C reaches the thread that waits
        wait = workers.threading.Thread.join

        def waiting(thread, timeout=None):
            wait(thread, timeout)
            if made and timeout is not None:
                raise KeyboardInterrupt

        monkeypatch.setattr(workers.threading.Thread, "join", waiting)
    found = many("mixed:*", batch_size=1, output=tmp_path, devices=devices, steps=20)
    assert found.interrupted
    assert 0 < len(found) < 9
    assert [one.path.name for one in found] == sorted(entry["file"] for entry in manifest(tmp_path)["units"])
    monkeypatch.undo()
    again = many("mixed:*", batch_size=1, output=tmp_path, steps=20)
    assert (again.interrupted, again.reused, len(again)) == (False, len(found), 9)


def test_an_error_in_one_thread_ends_all(monkeypatch):
    sizes = fail_above(monkeypatch, 0, ArithmeticError("in a thread"))
    with pytest.raises(ArithmeticError, match="in a thread"):
        many("mixed:*", batch_size=1, devices=["cpu", "cpu"])
    assert len(sizes) <= 2


def test_each_device_has_its_own_model():
    model, used = TinyModel(), set()
    vis = setup.Setup.vis

    def noting(self, model, *args):
        used.add(id(model))
        return vis(self, model, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup.Setup, "vis", noting)
        many("mixed:*", model, batch_size=1, devices=["cpu", "cpu"])
    assert len(used) == 2
    assert id(model) in used


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_for_terminals(capsys):
    for stream, enabled, shown in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        with ManyProgress(4, 10, enabled, stream) as progress:
            for _ in range(10):
                progress.stepped(2)
            progress.done(2)
        assert ("2/4 units" in stream.getvalue()) == shown
    many("mixed:0-1", verbose=True)
    assert capsys.readouterr() == ("", "")


def test_units_of_a_layer_stop_the_network_there():
    model = TinyModel()
    many(["conva:0", "mixed:1", "conva:2"], model, steps=1)
    assert model.calls[-2:] == [["conva"], ["mixed"]]


def test_nothing_is_rendered_before_all_is_checked(tmp_path):
    with contextlib.suppress(ValueError):
        many(["mixed:1", "mixed:40"], output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_units_know_what_they_are():
    asked = unit_spec.parse_units(["a:1", objectives.L2("b")])
    found = unit_spec.find_units(asked, lambda name: (name, 5), lambda objective: ["b", "c"], lambda count: [0] * count)
    assert [(unit.layer, unit.channel) for unit in found] == [("a", 1), ("b, c", None)]
    assert unit_spec.identity(found[1], 0) == unit_spec.identity(found[1], 7)
