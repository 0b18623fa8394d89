"""The folder of kept files, and the two ways to compare with them: bit for bit, and within rounding.

Rounding depends on the processor, on the kernels that torch chooses for it, and on the number of threads. Values are
therefore compared bit for bit only on the machine that wrote them (`same_machine`), and within measured bounds
everywhere. `arithmetic` tells machines apart that have one name: it hashes the results of torch's own operations, so
no change to this project can alter it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

from lucid_port.modelzoo.vision_base import Model
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis.recipe import describe_model, made_here
from lucid_port.optvis.sampling import RandomSource

FOLDER = Path(__file__).resolve().parents[2] / "reference_outputs" / "compatibility"
MACHINE = "machine.json"
DECIDES_BITS = ("torch", "numpy", "pillow", "device", "processor", "threads")
"""Keys of `machine` that decide the last bits; Pillow draws the text in figures."""

SAMPLED = 12
"""Values that are kept of an array."""


@functools.cache
def tiny() -> TinyInceptionV1:
    """The model of most fixtures, opened once."""
    return TinyInceptionV1()


def read_json(name: str) -> Any:
    """A JSON file of the folder."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


# The machine -------------------------------------------------------------------------------------


@torch.enable_grad()
def arithmetic() -> str:
    """Returns a hash of torch's results on this machine, for the operations of renders."""
    random = np.random.RandomState(0)
    image = torch.from_numpy(random.standard_normal((2, 16, 33, 37)).astype(np.float32))
    image = image.to(memory_format=torch.channels_last).requires_grad_()
    kernels = [torch.from_numpy(random.standard_normal((24, 16, k, k)).astype(np.float32)) for k in (1, 3, 7)]
    maps = torch.cat([torch.nn.functional.conv2d(image, k, padding=k.shape[-1] // 2) for k in kernels], 1)
    pooled = torch.nn.functional.max_pool2d(maps, 3, 2)
    parts = [maps, pooled, pooled.mean((2, 3)) @ maps[:, :, 0].mean(2).T, torch.fft.irfft2(torch.fft.rfft2(image))]
    parts += [torch.sigmoid(image), torch.tanh(image), image.abs().pow(0.75), torch.softmax(image, 1)]
    (gradient,) = torch.autograd.grad(sum(part.square().sum() for part in parts), image)
    digest = hashlib.sha256()
    for part in (*parts, gradient):
        digest.update(part.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def machine() -> dict[str, Any]:
    """Versions and machine, as far as they decide the last bits."""
    return {"made_with": {**made_here(), "pillow": PIL.__version__}, "arithmetic": arithmetic()}


@functools.cache
def other_machine() -> list[str]:
    """Returns a sentence for each difference from the fixtures' machine; empty if bits are comparable."""
    kept, here = read_json(MACHINE), machine()
    found = [
        f"{key} was {kept['made_with'][key]} and is {here['made_with'][key]} here"
        for key in DECIDES_BITS
        if kept["made_with"][key] != here["made_with"][key]
    ]
    same = kept["arithmetic"] == here["arithmetic"]
    return found if same or found else ["torch rounds in another way than on the fixtures' machine"]


def needs_same_machine() -> None:
    """Skips a comparison of bits on a machine that rounds in another way; the test beside it compares numbers."""
    if other_machine():
        pytest.skip(f"Bits are not comparable: {'; '.join(other_machine())}.")


# Numbers -----------------------------------------------------------------------------------------


def sha256(array: np.ndarray) -> str:
    """Returns the SHA-256 hash of an array's shape, dtype and bytes."""
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.shape} {array.dtype};".encode() + array.tobytes()).hexdigest()


def _places(size: int) -> np.ndarray:
    return np.unique(np.linspace(0, size - 1, SAMPLED).astype(int)) if size else np.zeros(0, int)


def summary(array: Any) -> dict[str, Any]:
    """Returns a summary of an array: its hash, shape, sum, largest value, and some of its values."""
    array = np.asarray(array)
    flat = array.astype(np.float64).ravel()
    return {
        "sha256": sha256(array),
        "shape": list(array.shape),
        "sum": float(flat.sum()),
        "largest": float(np.abs(flat).max(initial=0)),
        "values": flat[_places(flat.size)].tolist(),
    }


def assert_close(array: Any, kept: dict[str, Any], bound: float, what: str) -> None:
    """Compares an array with the summary of an earlier one; `bound` is relative to the earlier one's largest value."""
    array = np.asarray(array)
    assert list(array.shape) == kept["shape"], f"{what}: shape {list(array.shape)}, was {kept['shape']}"
    flat = array.astype(np.float64).ravel()
    scale = kept["largest"] or 1.0
    error = np.abs(flat[_places(flat.size)] - kept["values"]).max(initial=0) / scale
    error = max(error, abs(flat.sum() - kept["sum"]) / max(flat.size, 1) / scale)
    assert error <= bound, f"{what}: error {error:.2e} of the largest value, bound {bound:.0e}"


def pixels(path: Path) -> np.ndarray:
    """A picture's values, uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def network_fingerprint(network: torch.nn.Module) -> str:
    """The fingerprint that a recipe holds of a network."""
    return str(describe_model(Model(network=network, image_value_range=(0, 1)))["fingerprint"])


def streams(source: RandomSource) -> list[list[Any]]:
    """Where each stream of a source's draws is: its seed, its name, and a hash of its generator's state."""
    found = source.state()["streams"]
    return [[seed, name, hashlib.sha256(json.dumps(one).encode()).hexdigest()[:16]] for seed, name, one in found]
