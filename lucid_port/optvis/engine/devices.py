"""Finds devices by name, and chooses devices for a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import torch

from converters import checks
from lucid_port.optvis.engine.coerce import Model

__all__ = ["DevicesLike", "choose_devices", "find_device", "own_device"]

DevicesLike: TypeAlias = str | torch.device | Iterable[str | torch.device] | None
"""One or more devices or their names; None for the default."""


def find_device(device: torch.device | str) -> torch.device:
    """Returns a device by its name.

    Raises:
        TypeError: `device` is not a name.
        ValueError: There is no such device, or it is not on this machine.
    """
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"device is a name such as 'cpu' or 'cuda:0', not {checks.shown(device)}.")
    try:
        found = torch.device(device)
    except RuntimeError:  # raised for every unknown name
        raise ValueError(f"There is no device {checks.shown(device)}: use 'cpu', 'cuda', 'cuda:1' or 'mps'.") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        seen = f"{count} CUDA device{'s' * (count != 1)}" if torch.cuda.is_available() else "no CUDA device"
        raise ValueError(
            f"Device {str(device)!r} cannot be used: torch finds {seen} here. Use 'cpu' or another device."
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("Device 'mps' cannot be used: torch finds no Metal device here. Use 'cpu'.")
    return found


def own_device(model: Model) -> torch.device:
    """Returns the device of a model's weights; the CPU if it has none."""
    network = getattr(model, "network", None)
    tensors = (*network.parameters(), *network.buffers()) if isinstance(network, torch.nn.Module) else ()
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def choose_devices(devices: DevicesLike, own: torch.device) -> list[torch.device]:
    """Returns the devices that share the work.

    Args:
        devices: Devices or their names, one for each copy of the model; None for all CUDA devices if the model is on
            one, otherwise for the model's own.
        own: Device of the model.

    Raises:
        TypeError, ValueError: `devices` is empty, or has an item that is not a device of this machine.
    """
    if devices is None:
        count = torch.cuda.device_count() if own.type == "cuda" else 0
        others = [torch.device("cuda", index) for index in range(count)]
        return [own, *(device for device in others if device != _indexed(own))] if count else [own]
    if isinstance(devices, (str, torch.device)):
        devices = [devices]
    chosen = [find_device(device) for device in checks.items(devices, "devices", "a list of devices, as in ['cuda:0']")]
    if not chosen:
        raise ValueError("devices is empty: name at least one, as in ['cuda:0'], or leave it out.")
    return chosen


def _indexed(device: torch.device) -> torch.device:
    """Adds the index of the current device to `cuda`."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device
