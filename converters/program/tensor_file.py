"""Writes safetensors files one tensor at a time.

The function of safetensors takes all tensors at once and requires them to be contiguous. The weights of converted
models are in channels-last format, so all of them would have to be copied first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from converters.progress import Progress, silent

# Names of dtypes in safetensors files (github.com/huggingface/safetensors, "Format").
DTYPES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
ALIGNMENT = 8  # alignment of the tensors' data, in bytes


def write_tensors(tensors: Mapping[str, Tensor], path: Path, progress: Progress = silent) -> None:
    """Writes a safetensors file; at most one tensor is copied at a time.

    Tensors with wide dtypes come first, so that each tensor is aligned to the size of its elements.

    Args:
        tensors: by name; of any memory format and on any device.
        path: file to write.
        progress: called with the fraction written.

    Raises:
        TypeError: safetensors files do not support the dtype of a tensor.
        OSError: the file cannot be written.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, object] = {}
    position = 0
    for name in names:
        tensor = tensors[name]
        if tensor.dtype not in DTYPES:
            raise TypeError(f"Tensor {name!r} is of type {tensor.dtype}, which safetensors files do not hold.")
        end = position + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in names:
            progress("writing", file.tell() / max(position, 1))
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)
