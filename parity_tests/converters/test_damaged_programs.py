"""Layers of saved models whose arguments fit no value: the error names the layer, in one sentence."""

from __future__ import annotations

import pytest
import torch

import converters
from converters.frozen.graph import Output
from converters.network.model import ConvertedModel
from converters.program.program import Metadata, Program, Step

X = torch.zeros(2, 6, 9, 14)
CONV = {"in_channels": 5, "out_channels": 4, "kernel_size": (3, 3), "stride": (1, 1), "padding": "VALID"}
NORM = {"weight": torch.ones(5), "bias": torch.ones(5), "mean": torch.ones(5), "variance": torch.ones(5)}
NO_SIZE = ("floordiv", 3, ("sub", ("size", 0, 2), ("size", 0, 2)))
AXIS = ("slice", None, None, 1)

# layer, arguments, tensors, number of inputs
DAMAGED = [
    ("Reduce", {"function": "prod", "dims": (2, 4), "keepdim": True}, {}, 1),
    ("Reduce", {"function": "max", "dims": (5,)}, {}, 1),
    ("Mean", {"dims": (7,)}, {}, 1),
    ("Concat", {"dim": 6}, {}, 2),
    ("Stack", {"dim": 6}, {}, 2),
    ("Index", {"items": (AXIS, AXIS, AXIS, AXIS, AXIS)}, {}, 1),
    ("Index", {"items": (AXIS, AXIS, AXIS, AXIS, ("at", 0))}, {}, 1),
    ("Take", {"positions": (0, 1), "dim": 5}, {}, 1),
    ("Unbind", {"dim": 4, "count": 2}, {}, 1),
    ("Squeeze", {"dims": (4,)}, {}, 1),
    ("Unsqueeze", {"dim": 7}, {}, 1),
    ("ArgMax", {"dim": 4}, {}, 1),
    ("Softmax", {"dim": 4}, {}, 1),
    ("Conv2d", CONV, {"weight": torch.ones(4, 5, 3, 3)}, 1),
    ("Bias", {"channels": 5}, {"bias": torch.ones(5)}, 1),
    ("BatchNorm", {"channels": 5, "epsilon": 0.1}, NORM, 1),
    ("Fill", {"shape": (NO_SIZE, 2), "value": 1.0}, {}, 1),
    ("Tile", {"times": (1, 1, NO_SIZE, 1)}, {}, 1),
]


def damaged(layer: str, arguments: dict, tensors: dict[str, torch.Tensor], inputs: int) -> ConvertedModel:
    first = Step("first", "Relu", "Relu", inputs=(Output("x"),), module="first")
    outputs = len(range(arguments["count"])) if layer == "Unbind" else 1
    step = Step("a/y", "Any", layer, arguments, (Output("first"),) * inputs, module="a_y", outputs=outputs)
    program = Program(Metadata("x"), 6, (first, step), ("a/y",), "0")
    return ConvertedModel(program, {f"a_y.{key}": value for key, value in tensors.items()})


@pytest.mark.parametrize(("layer", "arguments", "tensors", "inputs"), DAMAGED)
def test_a_layer_that_fits_no_value_is_named(layer, arguments, tensors, inputs):
    model = damaged(layer, arguments, tensors, inputs)
    with pytest.raises(converters.InputSizeError) as caught:
        model(X)
    assert str(caught.value).startswith("Layer 'a/y' cannot be computed for images of 9x14: ")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert model.activations(X, "first")["first"].shape == X.shape


def test_errors_of_hooks_and_of_other_layers_are_kept():
    def fail(*_: object) -> None:
        raise IndexError("of the hook")

    model = damaged("Relu6", {}, {}, 1)
    handle = model.first.register_forward_hook(fail)
    with pytest.raises(IndexError, match="of the hook"):
        model(X)
    handle.remove()
    model.first = torch.nn.Conv2d(3, 6, 1)
    with pytest.raises(RuntimeError, match="to have 3 channels") as caught:
        model(X)
    assert not isinstance(caught.value, converters.InputSizeError)


def test_torchs_error_for_another_dtype_is_kept():
    model = damaged("Conv2d", {**CONV, "in_channels": 6}, {"weight": torch.ones(4, 6, 3, 3)}, 1)
    with pytest.raises(RuntimeError, match=r"(?i)type|dtype") as caught:
        model(X.double())
    assert not isinstance(caught.value, converters.InputSizeError)
