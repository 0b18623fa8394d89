"""The number of images that fit into memory together."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from converters.memory import is_out_of_memory

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["batch_size", "out_of_memory", "release"]

MOST_ON_CPU = 16
"""Maximum batch size on a CPU. Larger batches are not faster, and pictures are saved batch by batch."""
MOST_ON_CUDA = 128
"""Maximum batch size on a GPU, for the same reasons."""
SHARE_OF_HOST = 0.5
"""Share of the machine's free memory that a batch may use; other programs need memory, too."""
SHARE_OF_CUDA = 0.7
"""Share of a GPU's free memory: Lucid's transforms enlarge images by up to a quarter, and memory fragments."""
BYTES_PER_SAVED = 3
"""Peak memory of a step as a multiple of the tensors that are saved for its gradients."""

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
"""Files with a group's limit and usage, and the part of its usage in `memory.stat` that the system frees on demand."""

T = TypeVar("T")


def free_host_memory() -> int | None:
    """Returns the memory in bytes that this process can still get, or None if it is unknown.

    This is the least of the machine's available memory and of what the process's control groups (containers) may use:
    beyond these limits, Linux ends a process instead of refusing the memory.
    """
    found = [_available(), *_left_in_groups()]
    return min((one for one in found if one is not None), default=None)


def _available() -> int | None:
    for line in _lines(PROC / "meminfo"):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no such function (Windows), no such name (macOS)
        return None


def _left_in_groups() -> Iterator[int]:
    """Yields what each limited control group of this process may still use, of versions 1 and 2."""
    for line in _lines(PROC / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, names = (CGROUPS / "memory", _VERSION_1) if controllers else (CGROUPS, _VERSION_2)
        place = root / path.strip("/")
        # In a container, the path is often that outside of it, and the group itself is at the root.
        for group in (place, *place.parents) if place.is_dir() else (root,):
            yield from _left(group, *names)
            if group == root:
                break


def _left(group: Path, limit_file: str, usage_file: str, cache: str) -> Iterator[int]:
    limits, usages = ([line for line in _lines(group / name) if line.isdigit()] for name in (limit_file, usage_file))
    if limits and usages:
        cached = [line.split()[1] for line in _lines(group / "memory.stat") if line.split()[0] == cache]
        yield max(0, int(limits[0]) - int(usages[0]) + (int(cached[0]) if cached else 0))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().split("\n")[:-1]
    except (OSError, ValueError):
        return []


def saved_bytes(forward: Callable[[], object]) -> int:
    """Returns the size in bytes of the distinct tensors that a forward pass saves for its gradients."""
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(sizes.values())


def batch_size(make: Callable[[int], VisT], most: int) -> int:
    """Returns how many images of a render fit into the free memory of its device.

    Args:
        make: Returns the render of a number of images.
        most: Number of all images.
    """
    if most < 2:
        return 1
    device = make(1).device
    if device.type == "cuda":
        return cuda_batch_size(lambda count: make(count).step(), device, most)
    return host_batch_size(lambda: make(1)("loss"))


def host_batch_size(forward: Callable[[], object]) -> int:
    """Returns the batch size for a CPU, or for a device whose free memory is unknown.

    Args:
        forward: Computes the objective of one image.
    """
    free = free_host_memory()
    if free is None:
        return MOST_ON_CPU
    needed = BYTES_PER_SAVED * saved_bytes(forward)
    return max(1, min(MOST_ON_CPU, int(SHARE_OF_HOST * free) // max(needed, 1)))


def cuda_batch_size(step: Callable[[int], object], device: torch.device, most: int) -> int:
    """Returns the batch size for a GPU, from the peak memory of two steps.

    Args:
        step: Makes one step of a batch with the given number of images.
        device: The GPU.
        most: Number of all images, at least 2.
    """
    few, more = 1, min(4, most)
    peaks: list[int] = []
    for count in (few, more):
        if out_of_memory(lambda images: peaks.append(_peak(step, device, images)), count) is not None:
            release(device)
            return 1
    peak_few, peak_more = peaks
    each = max((peak_more - peak_few) / (more - few), 1.0)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + unused
    fitting = (SHARE_OF_CUDA * free - max(peak_few - each, 0.0)) / each
    return max(1, min(MOST_ON_CUDA, int(fitting)))


def _peak(step: Callable[[int], object], device: torch.device, count: int) -> int:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step(count)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def release(device: torch.device) -> None:
    """Returns cached memory to a device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def out_of_memory(function: Callable[[T], object], argument: T) -> str | None:
    """Calls a function. Returns the first line of an out-of-memory error, or None."""
    try:
        function(argument)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None
