"""Histograms of weights and activations."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from converters import checks
from converters.network.request import LayerRequest
from converters.signatures import checked
from converters.stack_level import stack_level
from lucid_port.attribution.pictures import PhotoLike
from lucid_port.logs.pictures import load_pictures
from lucid_port.misc.event_writers import check_log_dir, open_writer, register_writer
from lucid_port.modelzoo.vision_base import Model

__all__ = ["log_activations", "log_weights"]

BATCH = 16
"""Pictures in a batch."""


class HistogramWriter(Protocol):
    """The method that histograms need of a writer."""

    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: int,
        sum: float,
        sum_squares: float,
        bucket_limits: Sequence[float],
        bucket_counts: Sequence[int],
        step: int,
        /,
    ) -> object:
        """Writes a histogram."""


METHODS = ("add_histogram_raw",)

HistogramDir: TypeAlias = str | os.PathLike[str] | HistogramWriter
"""A folder, or a writer, which stays open."""


register_writer(HistogramWriter, METHODS)


# Histograms --------------------------------------------------------------------------------------


@functools.cache
def _edges() -> np.ndarray:
    """Returns the edges of TensorFlow's bins: from 1e-12 to 1e20, each 1.1 times the last, and their negatives."""
    positive = 1e-12 * 1.1 ** np.arange(775)
    return np.concatenate([[-np.finfo(np.float64).max], -positive[::-1], [0.0], positive, [np.finfo(np.float64).max]])


class Histogram:
    """A histogram with TensorFlow's bins to which values are added part by part.

    Attributes:
        left_out: Number of values that are NaN or infinite, which it leaves out.

    Example:
        >>> histogram = Histogram()
        >>> histogram.add(np.array([1.0, 2.0, np.nan]))
        >>> histogram.num, histogram.sum, histogram.left_out
        (2, 3.0, 1)
    """

    def __init__(self) -> None:
        self.counts = np.zeros(len(_edges()) - 1, np.int64)
        self.num = self.left_out = 0
        self.sum = self.squares = 0.0
        self.low, self.high = np.inf, -np.inf

    def add(self, values: np.ndarray) -> None:
        """Adds values of any shape."""
        flat = values.ravel().astype(np.float64)
        finite = flat[np.isfinite(flat)]
        self.left_out += len(flat) - len(finite)
        if len(finite):
            self.counts += np.histogram(finite, _edges())[0]
            self.num += len(finite)
            self.sum += float(finite.sum())
            self.squares += float(finite @ finite)
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))

    def write(self, writer: HistogramWriter, tag: str, step: int) -> None:
        """Writes the histogram, without empty bins at both ends. Warns about values that were left out."""
        if self.left_out:
            count = "all" if not self.num else f"{self.left_out:,}"
            warnings.warn(
                f"The histogram {tag} leaves out {count} of its values, which are NaN or infinite.",
                RuntimeWarning,
                stacklevel=stack_level(),
            )
        if not self.num:
            return
        filled = np.flatnonzero(self.counts)
        first, last = max(0, filled[0] - 1), filled[-1] + 1  # an empty bin on the left shows where the first begins
        counts, limits = self.counts[first:last].tolist(), _edges()[first + 1 : last + 1].tolist()
        writer.add_histogram_raw(tag, self.low, self.high, self.num, self.sum, self.squares, limits, counts, step)


# Weights -----------------------------------------------------------------------------------------


@checked
def log_weights(model: Model, log_dir: HistogramDir, step: int = 0) -> None:
    """Writes a histogram of each parameter and buffer of numbers, `weights/LAYER/TENSOR`.

    Args:
        model: The model.
        log_dir: Folder, which gets an event file, or a writer with `add_histogram_raw`.
        step: Step of the log, such as the number of an epoch of training.

    Raises:
        TypeError: `log_dir` is no writer.
        OSError: The folder cannot be written to.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> log_weights(TinyInceptionV1(), "runs/tiny")
    """
    step = checks.whole(step, "step", 0)
    check_log_dir(log_dir, METHODS)
    network: Any = model.network
    names = {info.module: name for name, info in reversed(list(network.layers.items())) if info.module}
    with contextlib.closing(open_writer(log_dir)) as writer:
        for path, tensor in network.state_dict().items():
            if tensor.numel() and not tensor.is_complex():
                histogram = Histogram()
                histogram.add(_array(tensor))
                histogram.write(writer, f"weights/{_layer_path(path, names)}", step)


def _layer_path(path: str, names: dict[str, str]) -> str:
    """Returns the name of a tensor: that of its layer, and its own; its path if it belongs to no layer."""
    module, _, own = path.rpartition(".")
    for prefix in ("", "module."):  # traced networks hold their code in a submodule
        if module.removeprefix(prefix) in names:
            return f"{names[module.removeprefix(prefix)]}/{own}"
    return path.replace(".", "/")


def _array(value: torch.Tensor) -> np.ndarray:
    value = value.detach()
    return (value.float() if value.is_floating_point() and value.dtype != torch.float64 else value).cpu().numpy()


# Activations -------------------------------------------------------------------------------------


@checked
def log_activations(
    model: Model,
    pictures: PhotoLike,
    log_dir: HistogramDir,
    layers: str | Sequence[str] | None = None,
    step: int = 0,
    batch_size: int = BATCH,
) -> None:
    """Writes a histogram of the activations of each layer for pictures, `activations/LAYER`.

    Args:
        model: The model.
        pictures: A folder of pictures, with a subfolder for each class or without, a path or several, Pillow's image,
            an array [N, H, W, C] or [H, W, C] or a tensor (N, C, H, W) in [0, 1]. Files are resized and cropped as in
            the network's evaluation.
        log_dir: Folder, which gets an event file, or a writer with `add_histogram_raw`.
        layers: Names of layers; `model.layers` by default.
        step: Step of the log.
        batch_size: Number of pictures in a pass.

    Raises:
        converters.LayerNotFoundError: A layer does not exist.
        FileNotFoundError: A picture does not exist.
        TypeError, ValueError: A file is no picture, an array has other axes, or `log_dir` is no writer.
        OSError: The folder cannot be written to.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> log_activations(TinyInceptionV1(), np.zeros((2, 32, 32, 3), np.float32), "runs/tiny", "mixed4a")
    """
    step, size = checks.whole(step, "step", 0), checks.whole(batch_size, "batch_size", 1)
    check_log_dir(log_dir, METHODS)
    wanted = named_layers(model, layers)
    images = load_pictures(model, pictures).images
    found = {name: Histogram() for name in wanted}
    for start in range(0, len(images), size):
        with torch.no_grad():
            values = model.compute(images[start : start + size].to(model.device), LayerRequest(wanted))
        for name, value in values.items():
            found[name].add(_array(value))
    with contextlib.closing(open_writer(log_dir)) as writer:
        for name, histogram in found.items():
            histogram.write(writer, f"activations/{name}", step)


def named_layers(model: Model, layers: str | Sequence[str] | None) -> tuple[str, ...]:
    """Returns names of layers; None stands for `model.layers`.

    Raises:
        converters.LayerNotFoundError: A layer does not exist.
        ValueError: No layer is named.
    """
    if layers is None:
        names = [layer.name for layer in model.layers]
    else:
        names = [layers] if isinstance(layers, str) else checks.items(layers, "layers", "a list of names of layers")
    if not names:
        raise ValueError("layers names no layer: give one of the model's, as in layers=['mixed4a'].")
    for name in names:
        _ = model.network.layers[name]
    return tuple(dict.fromkeys(names))
