"""Ops of ONNX against the standard's own examples, and the attributes that each op computes."""

from __future__ import annotations

import copy
import functools
import pkgutil
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnx.backend.test.case import node as standards_cases

import converters
from converters.onnx.reading.building import build, settings_of, torch_constant
from converters.onnx.reading.casting import to_float32
from converters.onnx.reading.ops import OPS, find_operation
from converters.onnx.reading.ops.registry import ON_HOST
from converters.onnx.reading.partial import check_ops, raise_refused
from converters.onnx.reading.rewriting import drop_unused_outputs, sizes_of
from converters.onnx.reading.validation import check_integers, opset_of

BOUND = 1e-5  # of the greatest value
HALF_BOUND = 5e-3  # examples in float16 and bfloat16, which are computed in float32

# Examples that are not computed as the standard's file says, with the reason.
OTHERWISE = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": "the example has four digits",
    "test_resize_downsample_scales_linear_align_corners": "the example divides by a length that is no whole number",
    "test_resize_downsample_scales_cubic_align_corners": "the example divides by a length that is no whole number",
}
# Parts of names of examples of behaviour that is refused, or that needs types that torch lacks.
REFUSED = (
    "_expanded", "training", "FLOAT8", "no_saturate", "INT2", "INT4", "float8", "e4m3", "e5m2", "e8m0", "4E2M1",
    "uint2", "int2", "float4", "dropout_random", "empty_set", "string",
)  # fmt: skip
FIRST_OUTPUT = ("BatchNormalization", "Dropout", "LayerNormalization", "MaxPool")  # further outputs are refused
AT_LEAST = 640


@functools.cache
def examples() -> dict[str, list[object]]:
    """The standard's examples of supported ops, by op."""
    found: dict[str, list[object]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the examples divide by zero
        cases = standards_cases.collect_testcases(None)
    for case in cases:
        if any(part in case.name for part in (*REFUSED, *OTHERWISE)) or len(case.model.graph.node) != 1:
            continue
        node = case.model.graph.node[0]
        if node.op_type in OPS and not node.domain:
            found.setdefault(node.op_type, []).append(case)
    return found


def as_array(value: object) -> np.ndarray:
    array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
    return array.astype(np.float32) if array.dtype.itemsize in (2, 8) and array.dtype.kind not in "iub" else array


def computed(case, all_computed: bool) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs of an example as the reader computes them, and as they should be.

    Args:
        case: the example.
        all_computed: the graph computes all inputs; otherwise only the first, and the others are constants.
    """
    inputs, outputs = case.data_sets[0]
    model = copy.deepcopy(case.model)
    names = [value.name for value in model.graph.input]
    to_float32(model)
    check_ops(model)
    model = onnx.shape_inference.infer_shapes(model)
    refused = check_integers(model.graph)
    if model.graph.node[0].op_type in FIRST_OUTPUT:
        del model.graph.output[1:]
    refused |= drop_unused_outputs(model.graph, opset_of(model))
    if refused:
        raise_refused(refused)
    arrays = {name: as_array(value) for name, value in zip(names, inputs, strict=True)}
    live = names if all_computed else names[:1]
    sizes = {value.name: sizes_of(value) for value in (*model.graph.input, *model.graph.output)}
    network = build(
        model.graph.node, live, [value.name for value in model.graph.output], opset_of(model),
        {name: array for name, array in arrays.items() if name not in live}, sizes,
        {node.output[0]: "example" for node in model.graph.node},
    )  # fmt: skip
    if network.refused:
        raise_refused(network.refused)
    found = network.module.eval()(*(torch_constant(arrays[name]) for name in live))
    found = found if isinstance(found, (list, tuple)) else [found]
    given = [np.asarray(value.detach() if isinstance(value, torch.Tensor) else value) for value in found]
    return given, [as_array(value) for value in outputs[: len(given)]]


def with_example() -> list[str]:
    """The ops that have examples, by the names of the standard's modules: to make the examples takes ten seconds."""
    modules = {module.name.replace("_", "") for module in pkgutil.iter_modules(standards_cases.__path__)}
    return sorted(op for op in OPS if op.lower() in modules)


@pytest.mark.parametrize("op", with_example())
def test_the_standards_examples(op):
    """Each example is right with constants and with computed inputs, or is refused with a sentence."""
    right = 0
    for case in examples()[op]:
        for all_computed in (False, True)[: len(case.model.graph.input)]:
            try:
                found, expected = computed(case, all_computed)
            except converters.GraphError:
                continue
            right += 1
            halves = any("float16" in str(np.asarray(one).dtype) for one in case.data_sets[0][0])
            bound = HALF_BOUND if halves or "FLOAT16" in case.name or "bf16" in case.name else BOUND
            for one, other in zip(found, expected, strict=True):
                assert one.shape == other.shape, case.name
                scale = np.abs(other[np.isfinite(other)].astype(np.float64)).max(initial=1e-30)
                np.testing.assert_allclose(
                    one.astype(np.float64), other.astype(np.float64), rtol=0, atol=bound * scale, err_msg=case.name
                )
    assert right, "no example of this op converts"


def test_most_examples_are_computed():
    assert sorted(examples()) == with_example()
    assert sum(len(cases) for cases in examples().values()) >= AT_LEAST


def other_value(attribute: onnx.defs.OpSchema.Attribute) -> object:
    """A value that is not the default of an attribute."""
    kinds = onnx.defs.OpSchema.AttrType
    default = onnx.helper.get_attribute_value(attribute.default_value) if attribute.default_value.name else None
    if attribute.type == kinds.INT:
        return 1 if default != 1 else 2
    if attribute.type == kinds.FLOAT:
        return 0.25
    return {kinds.INTS: [3, 1], kinds.FLOATS: [0.25], kinds.STRING: "other"}.get(attribute.type)


@pytest.mark.parametrize("op", sorted(OPS))
def test_no_attribute_is_ignored(op):
    """Every attribute of every opset is computed, or values other than its default are refused."""
    audited, stated = 0, 0
    for opset in range(7, onnx.defs.onnx_opset_version() + 1):
        try:
            schema = onnx.defs.get_schema(op, opset, "")
        except onnx.defs.SchemaError:
            continue
        operations = [found for builds in (True, False) if (found := find_operation(op, opset, builds)) is not None]
        if schema.deprecated or not operations:
            continue
        required = {name: other_value(attribute) for name, attribute in schema.attributes.items() if attribute.required}
        stated += len(schema.attributes)
        for name, attribute in schema.attributes.items():
            value = other_value(attribute)
            node = onnx.helper.make_node(op, ["x"], ["y"], name="n", **{**required, name: value})
            for operation in operations:
                audited += 1
                if name in operation.attributes:
                    assert settings_of(node, operation, opset)[name] == value
                else:
                    with pytest.raises(converters.GraphError, match=f"'n' .* has {name} "):
                        settings_of(node, operation, opset)
    assert audited >= stated


def test_the_documentation_lists_every_op():
    text = (Path(__file__).parents[2] / "docs" / "converting.md").read_text("utf-8")
    table = text[text.index("| Group | Ops |") : text.index("Everything else is refused")]
    listed = set(re.findall(r"(?<![A-Za-z])[A-Z][A-Za-z0-9]+", table)) - {"Group", "Ops"}
    assert listed == {*OPS, *ON_HOST}
