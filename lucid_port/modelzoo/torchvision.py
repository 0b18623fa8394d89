"""torchvision's networks as models, with the preprocessing and the class names that their weights state.

torchvision is an optional dependency: `pip install lucid_port[torchvision]`.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import nn

from lucid_port.misc import checks
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.vision_base import Model

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision's classification weights are normalised with."""

# What builders are told for random weights: these two warn unless they hear how to draw them (in torchvision's own
# way), and networks for segmentation would download a part of theirs.
_DRAWN: Mapping[str, Any] = {"init_weights": True}
_RANDOM: Mapping[str, Mapping[str, Any]] = {"googlenet": _DRAWN, "inception_v3": _DRAWN}
_RANDOM_SEGMENTATION: Mapping[str, Any] = {"weights_backbone": None}


def torchvision(name: str, weights: Any = "DEFAULT", *, seed: int = 0, trace: bool = True, **options: Any) -> Model:
    """One of torchvision's networks for classification or segmentation.

    Args:
        name: torchvision's, such as "resnet50".
        weights: "DEFAULT" for the best ones, the name of others ("IMAGENET1K_V1"), a member of torchvision's
            enumeration, or None for random ones. Weights are downloaded into torch's cache when they are first used.
        seed: of random weights.
        trace: whether functions between the modules are layers, too (see `from_torch`).
        options: what torchvision's builder takes besides, such as `num_classes`.

    Returns:
        A model whose value range, image size and labels are those of the weights. Random weights have no labels; they
        get ImageNet's normalisation and the size that the network's best weights were trained on.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
        ImportError: it does not fit the installed torch.
        ValueError: there is no such network, or there are no such weights.
        ConnectionError: the weights could not be downloaded.
    """
    models = _library()
    segmenting = models.list_models(module=models.segmentation)
    _check_name(name, [*models.list_models(module=models), *segmenting])
    kinds = models.get_model_weights(name)
    chosen = _chosen(name, weights, kinds)
    if chosen is None:
        options = {**(_RANDOM_SEGMENTATION if name in segmenting else _RANDOM.get(name, {})), **options}
    preset = (kinds.DEFAULT if chosen is None else chosen).transforms()
    size = max(getattr(preset, "crop_size", None) or preset.resize_size)
    return from_torch(
        _built(name, chosen, seed, options, models),
        mean=IMAGENET_MEAN if chosen is None else preset.mean,
        std=IMAGENET_STD if chosen is None else preset.std,
        image_shape=(size, size, 3),
        labels=None if chosen is None else chosen.meta.get("categories"),
        trace=trace,
    )


def _library() -> ModuleType:
    """`torchvision.models`.

    Raises:
        ModuleNotFoundError, ImportError: it cannot be imported.
    """
    try:
        return importlib.import_module("torchvision.models")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise ModuleNotFoundError(
            "torchvision is not installed: pip install 'lucid_port[torchvision]'.", name="torchvision"
        ) from None
    except (ImportError, RuntimeError, OSError) as error:  # a torchvision built for another torch fails in many ways
        raise ImportError(
            f"torchvision cannot be imported beside torch {torch.__version__}, to which its version has to belong "
            f"({' '.join(str(error).split())}): install both together, pip install torch torchvision."
        ) from error


def _check_name(name: str, known: Sequence[str]) -> None:
    """Refuses names of no network.

    Raises:
        ValueError: `known` does not hold it.
    """
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=3)
        offer = f" Did you mean {', '.join(close)}?" if close else ""
        raise ValueError(
            f"torchvision has no network {checks.shown(name)} that takes one image to its features.{offer}"
        )


def _chosen(name: str, weights: Any, kinds: Any) -> Any:
    """The member of torchvision's enumeration that is meant; None for random weights.

    Raises:
        ValueError: there is none.
    """
    if weights is None or isinstance(weights, kinds):
        return weights
    members = {spelling: member for member in kinds for spelling in (member.name, str(member))}
    found = {**members, "DEFAULT": kinds.DEFAULT}.get(weights) if isinstance(weights, str) else None
    if found is None:
        names = ", ".join(member.name for member in kinds)
        raise ValueError(
            f"torchvision's {name} has no weights {checks.shown(weights)}; it has {names}. None gives random ones."
        )
    return found


def _built(name: str, weights: Any, seed: int, options: Mapping[str, Any], models: ModuleType) -> nn.Module:
    """The network.

    Raises:
        ConnectionError: its weights could not be downloaded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network: nn.Module = models.get_model(name, weights=weights, **options)
        except OSError as error:  # urllib's errors are such, and what a broken connection gives
            folder = os.path.join(torch.hub.get_dir(), "checkpoints")
            file = weights.url.rsplit("/", 1)[-1] if weights is not None else ""
            raise ConnectionError(
                f"The weights {weights} cannot be had from {getattr(weights, 'url', '')} ({error}): put the file "
                f"{file} into {folder}, or take random weights with weights=None."
            ) from error
    return network
