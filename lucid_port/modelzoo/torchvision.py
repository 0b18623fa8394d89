"""torchvision's networks as models, with the preprocessing and class names of their weights.

torchvision is an optional dependency: `pip install -e '.[torchvision]'`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import ModuleType
from typing import Any

from torch import nn

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.libraries import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    check_download,
    check_name,
    downloads_folder,
    import_library,
    opened_from,
    seeded,
    time_limit,
)
from lucid_port.modelzoo.preprocessing import Preprocessing, known_interpolation
from lucid_port.modelzoo.vision_base import Model

# Options of builders for random weights. These two networks warn unless `init_weights` is given (True is torchvision's
# default); segmentation networks would download the weights of their backbone.
_DRAWN: Mapping[str, Any] = {"init_weights": True}
_RANDOM: Mapping[str, Mapping[str, Any]] = {"googlenet": _DRAWN, "inception_v3": _DRAWN}
_RANDOM_SEGMENTATION: Mapping[str, Any] = {"weights_backbone": None}


@checked
def torchvision(
    name: str, weights: str | Enum | None = "DEFAULT", *, seed: int = 0, trace: bool = True, **options: Any
) -> Model:
    """Opens one of torchvision's networks for classification or segmentation.

    Args:
        name: torchvision's name, for example "resnet50".
        weights: "DEFAULT" for the best weights, another name ("IMAGENET1K_V1"), a member of torchvision's enumeration,
            or None for random weights. Weights are downloaded to torch's cache on first use.
        seed: seed of random weights.
        trace: whether the values of functions between modules are layers, too; see `from_torch`.
        **options: further options of torchvision's builder, for example `num_classes`.

    Returns:
        A model with the value range, image size and labels of the weights. With random weights it has no labels,
        ImageNet's normalization, and the image size of the best weights.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
        ImportError: torchvision does not match the installed torch.
        ValueError: torchvision has no network or weights of this name.
        ConnectionError: the download failed.

    Example, with torchvision::

        model = torchvision("resnet18")
        model.activations(torch.rand(1, 3, 224, 224), "layer4")["layer4"].shape  # (1, 512, 7, 7)
    """
    models = import_library("torchvision.models", "torchvision")
    segmenting = models.list_models(module=models.segmentation)
    known = [*models.list_models(module=models), *segmenting]
    check_name("torchvision", name, known, " for classification or segmentation of images")
    kinds = models.get_model_weights(name)
    chosen = _chosen(name, weights, kinds)
    built = dict(options)
    if chosen is None:
        built = {**(_RANDOM_SEGMENTATION if name in segmenting else _RANDOM.get(name, {})), **options}
    preset = (kinds.DEFAULT if chosen is None else chosen).transforms()
    crop = getattr(preset, "crop_size", None)
    size = options.get("image_size", max(crop or preset.resize_size))
    model = from_torch(
        _built(name, chosen, seed, built, models),
        mean=IMAGENET_MEAN if chosen is None else preset.mean,
        std=IMAGENET_STD if chosen is None else preset.std,
        image_shape=(size, size, 3),
        labels=None if chosen is None else chosen.meta.get("categories"),
        trace=trace,
    )
    if crop is not None and size == crop[0]:
        model.preprocessing = Preprocessing(
            (size, size), preset.resize_size[0], known_interpolation(preset.interpolation)
        )
    stated = {} if chosen is kinds.DEFAULT else {"weights": getattr(chosen, "name", None)}
    stated |= {"seed": seed} if seed else {}
    stated |= {} if trace else {"trace": trace}
    return opened_from(model, "torchvision", name, {**stated, **options})


def _chosen(name: str, weights: str | Enum | None, kinds: Any) -> Any:
    """Returns the member of torchvision's enumeration of weights; None for random weights.

    Raises:
        ValueError: the network has no weights of this name.
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
    """Builds the network.

    Raises:
        ConnectionError: the download of its weights failed.
    """
    with seeded(seed), time_limit():
        try:
            check_download(getattr(weights, "url", None))
            network: nn.Module = models.get_model(name, weights=weights, **options)
        except OSError as error:  # the base of urllib's errors and of ConnectionError
            file = weights.url.rsplit("/", 1)[-1] if weights is not None else ""
            raise ConnectionError(
                f"The weights {weights} cannot be downloaded from {getattr(weights, 'url', '')} ({error}): put the "
                f"file {file} into {downloads_folder()}, or use random weights with weights=None."
            ) from error
    return network
