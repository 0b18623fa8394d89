"""Runs ONNX models in tests: onnxruntime and the standard's reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


class LRN(OpRun):
    """The standard's LRN. onnx's own evaluator (1.23) sums squares over as many channels as there are images."""

    op_domain = ""

    def _run(self, x: np.ndarray, alpha: float, beta: float, bias: float, size: int) -> tuple[np.ndarray]:
        squares = np.stack([
            np.sum(x[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1] ** 2, axis=1) for c in range(x.shape[1])
        ], axis=1)  # fmt: skip
        return ((x / (bias + alpha / size * squares) ** beta).astype(x.dtype),)


def _reference(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return ReferenceEvaluator(model, new_ops=[LRN]).run(None, dict(inputs))


def _onnxruntime(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(inputs))


RUNTIMES = {"reference": _reference, "onnxruntime": _onnxruntime}


def run(runtime: str, model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A model's outputs by name."""
    values = RUNTIMES[runtime](model, inputs)
    return dict(zip([output.name for output in model.graph.output], values, strict=True))
