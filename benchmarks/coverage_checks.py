"""The checks of `coverage.py` on one network. They compare with plain forward hooks on the untouched network."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, TypeVar

import torch
from coverage_networks import Entry
from torch import Tensor, nn

from converters import LayerInfo
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, render

UNIT = 5
LARGEST = 512  # pixels; larger images would not fit into the memory of a process
SAMPLED = 4  # layers whose unit is also read by an objective
FEATURES = ("out_channels", "out_features", "num_features", "normalized_shape", "embed_dim", "embedding_dim")


Kept = TypeVar("Kept")


def hooked(network: nn.Module, x: Tensor, keep: Callable[[Tensor], Kept]) -> dict[str, Kept]:
    """Returns something of the first output of each module that returns a tensor, as plain forward hooks see it."""
    found: dict[str, Kept] = {}
    handles = []
    for name, part in network.named_modules():

        def read(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            if isinstance(output, Tensor) and name and name not in found:
                found[name] = keep(output.detach())

        handles.append(part.register_forward_hook(read))
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    return found


def shape_of(value: Tensor) -> torch.Size:
    """Returns the shape of a value."""
    return value.shape


def fingerprint(value: Tensor) -> float:
    """Returns a number that differs for different values."""
    return float(value.double().sum()) if value.is_floating_point() else float(value.sum())


def feature_sizes(module: nn.Module) -> set[int]:
    """Returns the numbers of features that a module and its parts state."""
    found: set[int] = set()
    for part in module.modules():
        for name in FEATURES:
            value = getattr(part, name, None)
            value = value[-1] if isinstance(value, (tuple, list)) and value else value
            if isinstance(value, int):
                found.add(value)
    return found


def stated_axis(module: nn.Module, rank: int) -> int | None:
    """Returns the channel axis that the type of a module of torch tells; None for other types."""
    if isinstance(module, (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)):
        return 1
    if type(module) in (nn.Linear, nn.LayerNorm, nn.Embedding):  # subclasses may move the channels to axis 1
        return rank - 1
    return None


class Oracle:
    """The channel axis of values, found without the code under test.

    The type of a module tells it, or the sizes do: the channel axis keeps its size when the batch and the image change.

    Args:
        network: the untouched network.
        x: (1, C, H, W).
        adapt: makes the network's input of images.
    """

    def __init__(self, network: nn.Module, x: Tensor, adapt: Callable[[Tensor], Tensor]) -> None:
        self._modules = dict(network.named_modules())
        self._shapes = [hooked(network, adapt(x.repeat(2, 1, 1, 1)), shape_of)]
        height, width = x.shape[-2] + 64, x.shape[-1] + 32
        if height > LARGEST:
            return
        try:
            self._shapes.append(hooked(network, adapt(torch.rand(1, x.shape[1], height, width)), shape_of))
        except Exception:  # a network of one size may raise any error
            return

    def axis(self, name: str, value: Tensor) -> int | None:
        """Returns the channel axis of a module's value; None if it cannot be told."""
        module = self._modules[name]
        stated = stated_axis(module, value.ndim)
        if stated is not None:
            return stated
        axes = [axis for axis in range(value.ndim) if value.shape[axis] > 1]
        for shapes in self._shapes:
            other = shapes.get(name)
            if other is not None and len(other) == value.ndim:
                axes = [axis for axis in axes if other[axis] == value.shape[axis]]
        if len(axes) != 1 or len(self._shapes) < 2:
            sizes = feature_sizes(module)
            axes = [axis for axis in axes if value.shape[axis] in sizes]
        return axes[0] if len(axes) == 1 else None


def check(entry: Entry) -> dict[str, Any]:
    """Returns the results of one network."""
    torch.manual_seed(0)
    # Frozen, as from_torch documents: torch multiplies by weights with gradients in another order of sums.
    network = entry.build().eval().requires_grad_(False)
    height, width, channels = entry.shape
    found: dict[str, Any] = {"name": entry.name, "parameters": sum(p.numel() for p in network.parameters())}
    image = torch.rand(1, channels, height, width)
    x = -1 + image * 2
    adapt = (entry.options or {}).get("adapter", lambda images: images)
    sums, others = (hooked(network, adapt(images), fingerprint) for images in (x, torch.rand_like(x)))
    constants = {name for name, value in sums.items() if value == others[name]}
    plain = hooked(network, adapt(x), torch.clone)  # before the network becomes a model
    oracle = Oracle(network, x, adapt)
    start = time.perf_counter()
    model = entry.model(network)
    found["wrap_seconds"] = time.perf_counter() - start
    start = time.perf_counter()
    layers: Mapping[str, LayerInfo] = dict(model.network.layers)
    found["describe_seconds"] = time.perf_counter() - start
    found["untraced"] = getattr(model.network, "untraced", None)
    checks: dict[str, Callable[[], dict[str, Any]]] = {
        "values": lambda: _values(model, x, plain, constants, layers),
        "functions": lambda: _functions(model, x, layers),
        "units": lambda: _units(model, image, plain, layers, oracle),
        "start": lambda: _start(model, layers),
    }
    for name, run in checks.items():
        if name == "start":
            plain.clear()
        try:
            found |= run()
        except Exception as error:  # the table says which check failed, and why
            found[f"{name}_error"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return found


def _values(
    model: Model, x: Tensor, plain: Mapping[str, Tensor], constants: Container[str], layers: Mapping[str, LayerInfo]
) -> dict[str, Any]:
    """Compares the values of modules with plain hooks. Modules whose value is a constant need not be listed."""
    names = [name for name in plain if name in layers]
    missing = [name for name in plain if name not in layers and name not in constants]
    with torch.no_grad():
        values = model.network.activations(x, names)
    different = [name for name in names if not torch.equal(values[name], plain[name])]
    return {"modules": len(plain), "not_listed": missing, "different": different}


def _functions(model: Model, x: Tensor, layers: Mapping[str, LayerInfo]) -> dict[str, Any]:
    """Reads all functions between modules."""
    names = [name for name, info in layers.items() if not info.module]
    with torch.no_grad():
        values = model.network.activations(x, names) if names else {}
    return {"functions": len(values)}


def _units(
    model: Model, image: Tensor, plain: Mapping[str, Tensor], layers: Mapping[str, LayerInfo], oracle: Oracle
) -> dict[str, Any]:
    """Compares unit 5 of each layer with feature 5 of the plain hook's value."""
    wrong, refused, untold, right = [], [], [], []
    for name, value in plain.items():
        info = layers.get(name)
        if info is None or value.ndim < 2:
            continue
        if info.unknown:
            refused.append(f"{name}: {info.unknown}")
            continue
        axis = oracle.axis(name, value)
        if axis is None:
            untold.append(name)
        elif value.shape[axis] > UNIT:
            first = info.channels_first(value)
            found = first[:, UNIT].flatten() if first.shape[1] > UNIT else first.new_zeros(0)
            (right if torch.equal(found, _feature(value, axis)) else wrong).append(name)
    functions = [info for info in layers.values() if not info.module]
    refused += [f"{info.name}: {info.unknown}" for info in functions if info.unknown]
    for name in right[:: max(1, len(right) // SAMPLED)][:SAMPLED]:
        axis = oracle.axis(name, plain[name])
        value = _by_objective(model, image, name)
        want = float(plain[name].select(axis, UNIT).mean()) if axis is not None else float("nan")
        if not abs(value - want) <= 1e-5 * max(1.0, abs(want)):
            wrong.append(f"{name}: an objective reads {value}, the hook {want}")
    return {"units_right": len(right), "units_wrong": wrong, "units_refused": refused, "units_untold": len(untold)}


def _feature(value: Tensor, axis: int) -> Tensor:
    return value.select(axis, UNIT).flatten()


def _by_objective(model: Model, image: Tensor, name: str) -> float:
    vis = render.make_vis_T(
        model, objectives.channel(name, UNIT), lambda: image.clone().requires_grad_(), transforms=[]
    )
    return float(vis.evaluate([objectives.channel(name, UNIT)])[0])


def _start(model: Model, layers: Mapping[str, LayerInfo]) -> dict[str, Any]:
    """Renders a unit as a newcomer does, with all defaults."""
    deep = [info for info in layers.values() if info.module and not info.unknown and (info.channels or 0) > UNIT]
    layer = deep[int(len(deep) * 0.6)].name
    start = time.perf_counter()
    made = render.render_vis(model, f"{layer}:{UNIT}", thresholds=(2,), verbose=False)
    pictures = made[-1]
    return {
        "start_layer": layer,
        "start_shape": list(pictures.shape),
        "start_finite": bool(torch.isfinite(torch.as_tensor(pictures)).all()),
        "start_seconds": time.perf_counter() - start,
    }


def passes(result: Mapping[str, Any]) -> dict[str, bool]:
    """Returns the checks of a network's results: check -> whether it passed."""
    return {
        "wrapped": "wrap_seconds" in result,
        "values": result.get("different") == [] and result.get("not_listed") == [],
        "functions": bool(result.get("functions")) or result.get("untraced", "") is None,
        "units": result.get("units_wrong") == [] and "units_right" in result,
        "start": bool(result.get("start_finite")),
    }


def share(results: Iterable[Mapping[str, Any]], check_name: str) -> tuple[int, int]:
    """Returns (networks that passed a check, all networks)."""
    passed = [passes(result)[check_name] for result in results]
    return sum(passed), len(passed)
