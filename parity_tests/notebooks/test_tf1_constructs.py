"""Each row of "TensorFlow 1's constructs" in docs/porting.md: the idiom runs, and computes the same as its parts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.optvis import objectives, overrides, param, render, transform

TEXT = Path(__file__).parents[2].joinpath("docs", "porting.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## TensorFlow 1's constructs")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| .* \| .* \| (\w+) \|$", TABLE, re.MULTILINE)[1:]  # without the head


@pytest.fixture(scope="module")
def tiny():
    return get_model("TinyInceptionV1")


def picture(side=32):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_every_row_has_its_test():
    assert len(ROWS) == 10
    assert {f"test_{name}" for name in ROWS} <= set(globals())


def test_session(tiny):
    T = render.make_vis_T(tiny, "mixed3a:3", lambda: param.image(24), transforms=[])
    before = T.image()
    assert torch.isfinite(T.step())
    assert not np.array_equal(T.image(), before)


def test_import(tiny):
    value = tiny.activations(picture(), ["mixed3a"])["mixed3a"]
    assert value.shape == (1, 64, 4, 4)


def test_fed_layer(tiny):
    names = ["mixed3a", "mixed4a"]
    own = tiny.activations(picture(), names)
    fed = tiny.activations(picture(), "mixed4a", given={"mixed3a": 2 * own["mixed3a"]})["mixed4a"]
    same = tiny.activations(picture(), "mixed4a", given={"mixed3a": own["mixed3a"]})["mixed4a"]
    assert torch.equal(same, own["mixed4a"])
    assert not torch.equal(fed, same)


def test_losses(tiny):
    first, second = objectives.channel("mixed3a", 3), objectives.channel("mixed3a", 4)
    T = render.make_vis_T(tiny, first + second, lambda: param.image(24), transforms=[])
    values = T.evaluate([first, second])
    torch.testing.assert_close(values[0] + values[1], T.step())


def test_attributes():
    seen = {}

    def rule(op, grad):
        seen.update(op.attributes)
        return torch.zeros_like(op.inputs[0])

    x = torch.rand(1, 2, 6, 6, requires_grad=True)
    with overrides.gradient_override_map({"MaxPool": rule}):
        torch.autograd.grad(torch.max_pool2d(x, 3, 2).sum(), x)
    assert {key: seen[key] for key in ("kernel_size", "stride")} == {"kernel_size": 3, "stride": 2}


def test_smooth_pool():
    x = torch.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
    with overrides.gradient_override_map({"MaxPool": overrides.make_smoothed_maxpool_grad("avg")}):
        pooled = torch.max_pool2d(x, 2)
    assert torch.autograd.grad(pooled.sum(), x)[0].unique().tolist() == [0.25]


def test_moved(tiny):
    T = render.make_vis_T(tiny, "mixed3a:3", lambda: transform.jitter(4)(param.image(28)), transforms=[])
    inputs = []
    for _ in range(5):
        inputs.append(T("input"))
    assert inputs[0].shape == (1, 3, 24, 24)
    assert any(not torch.equal(inputs[0], other) for other in inputs[1:])


class Window(torch.nn.Module):
    """A part of a large picture; the loop sets its place."""

    def __init__(self, large, size):
        super().__init__()
        self.large, self.size, self.place = large, size, (0, 0)

    def forward(self):
        y, x = self.place
        return self.large()[:, :, y : y + self.size, x : x + self.size]


def test_window(tiny):
    window = Window(param.pixel_image((1, 40, 48, 3)), 24)
    T = render.make_vis_T(tiny, "mixed3a:3", window, optimizer=lambda p: torch.optim.SGD(p, lr=1.0), transforms=[])
    before = window.large().detach().clone()
    window.place = (10, 20)
    T.step()
    changed = (window.large() - before).abs().sum(1)[0] > 0
    assert changed[10:34, 20:44].any()
    changed[10:34, 20:44] = False
    assert not changed.any()


def test_gather():
    rows, columns = torch.tensor([0, 2, 5]), torch.tensor([1, 3, 4])
    p = param.image(6)
    gathered = p.map(lambda image: image[:, :, rows, columns][..., None, :])
    np.testing.assert_array_equal(gathered.nhwc().detach()[0, 0], np.asarray(p)[0, rows, columns])


def test_collection(tiny):
    collected = [objectives.channel("mixed3a", 3)]
    collected.append(-0.5 * objectives.total_variation("input"))
    T = render.make_vis_T(tiny, objectives.Objective.sum(collected), lambda: param.image(24), transforms=[])
    torch.testing.assert_close(sum(T.evaluate(collected)), T("loss"))
