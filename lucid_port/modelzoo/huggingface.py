"""Vision networks of Hugging Face's transformers as models, with the preprocessing and labels of their configurations.

transformers is an optional dependency: `pip install -e '.[huggingface]'`.
"""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from converters import checks
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.libraries import import_library, opened_from, seeded
from lucid_port.modelzoo.preprocessing import Preprocessing, known_interpolation
from lucid_port.modelzoo.vision_base import Model

_TOWERS = ("vision_model", "vision_tower", "visual")  # names of the image network beside a text network
_BASE = "preprocessor_config.json"
_PROCESSING = (
    *("image_mean", "image_std", "size", "crop_size", "resample", "do_center_crop", "rescale_factor", "crop_pct"),
    *("do_normalize", "do_rescale", "do_flip_channel_order"),
)


class VisionTower(nn.Module):
    """The image network of a network for images and text, under its name there.

    Args:
        name: the name, for example "vision_model".
        tower: the image network.
    """

    def __init__(self, name: str, tower: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, tower)

    def forward(self, pixel_values: Tensor) -> Any:
        """Returns the output of the image network."""
        return self.get_submodule(self.name)(pixel_values)


@checked
def huggingface(
    name_or_folder: str | os.PathLike[str],
    weights: str | None = "DEFAULT",
    *,
    seed: int = 0,
    trace: bool = True,
    **options: Any,
) -> Model:
    """Opens a vision network of Hugging Face's transformers.

    Args:
        name_or_folder: the name on Hugging Face's hub ("google/vit-base-patch16-224"), or a folder written by
            `save_pretrained`.
        weights: "DEFAULT" for the saved weights, or None for random weights of the same configuration.
        seed: seed of random weights, also of a head that the saved weights lack.
        trace: whether the values of functions between modules are layers, too; see `from_torch`.
        **options: further options of `from_pretrained`, for example `revision`.

    Returns:
        A model. Its network is of the first class in `architectures` of the configuration. Of a network for images
        and text, such as CLIP, it is the image network. The value range, channel order and preprocessing are those of
        the image processor's configuration; labels are `id2label`, if the classes have names.

    Raises:
        ModuleNotFoundError: transformers is not installed.
        FileNotFoundError: the folder has no configuration.
        ConnectionError: the name does not exist on the hub, or the download failed.
        ValueError: the network takes no images alone, or the configuration has no known architecture.

    Warns:
        UserWarning: there is no configuration of the image processor; the defaults of the network's kind are used.

    Example, with transformers::

        model = huggingface("google/vit-base-patch16-224")
        model.image_shape, model.labels[0]  # ((224, 224, 3), 'tench, Tinca tinca')
    """
    if weights not in ("DEFAULT", None):
        raise ValueError(
            f"weights is 'DEFAULT' for the saved weights, or None for random ones, not {checks.shown(weights)}: to "
            "choose a version on the hub, give revision=."
        )
    library = import_library("transformers", "huggingface")
    place = str(user_path(name_or_folder)) if os.fspath(name_or_folder).startswith("~") else os.fspath(name_or_folder)
    if os.path.isdir(place) and not os.path.isfile(os.path.join(place, "config.json")):
        raise FileNotFoundError(f"{place} has no config.json: give a folder that save_pretrained wrote.")
    config = _downloaded(place, lambda: library.AutoConfig.from_pretrained(place, **options))
    kind = _class_of(library, config)
    with seeded(seed):
        if weights is None:
            network = kind(config)
        else:
            network = _downloaded(place, lambda: kind.from_pretrained(place, **options))
    processor = _processor(library, place, config, options)
    vision = getattr(config, "vision_config", config)
    size = _size(vision, processor)
    low, high = _value_range(processor)
    model = from_torch(
        _takes_pixels(network),
        (low, high),
        is_BGR=bool(processor.get("do_flip_channel_order")),
        image_shape=(*size, getattr(vision, "num_channels", 3)),
        labels=_labels(config),
        trace=trace,
    )
    model.preprocessing = _preprocessing(size, processor)
    stated = {"weights": weights, "seed": seed, "trace": trace}
    defaults = {"weights": "DEFAULT", "seed": 0, "trace": True}
    changed = {key: value for key, value in stated.items() if value != defaults[key]}
    return opened_from(model, "huggingface", place, {**changed, **options})


def _downloaded(place: str, read: Any) -> Any:
    """Reads a configuration or weights.

    Raises:
        FileNotFoundError: the folder lacks a file.
        ConnectionError: the name does not exist on the hub, or the download failed.
    """
    try:
        return read()
    except OSError as error:
        reason = " ".join(str(error).split())[:250]
        if os.path.isdir(place):
            raise FileNotFoundError(f"{place} cannot be read ({reason}).") from error
        raise ConnectionError(
            f"{place!r} is no folder, and cannot be downloaded from Hugging Face's hub ({reason}): check the name, or "
            "download the repository by hand and give its folder. For random weights of a configuration, give a folder "
            "with its config.json, and weights=None."
        ) from error


def _class_of(library: ModuleType, config: Any) -> Any:
    """Returns the class of the network.

    Raises:
        ValueError: transformers has no class for the configuration.
    """
    for name in getattr(config, "architectures", None) or ():
        if hasattr(library, name):
            return getattr(library, name)
    mapping = import_library("transformers.models.auto.modeling_auto", "huggingface")
    for auto in ("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING", "MODEL_MAPPING"):
        found = getattr(mapping, auto).get(type(config), None)
        if found is not None:
            return found[0] if isinstance(found, tuple) else found
    raise ValueError(
        f"transformers {library.__version__} has no network for the configuration {type(config).__name__} "
        f"(architectures: {getattr(config, 'architectures', None)})."
    )


def _takes_pixels(network: nn.Module) -> nn.Module:
    """Returns a network that takes an image as its first argument: the network itself, or its vision tower.

    Raises:
        ValueError: the network takes no images, or takes them only beside other values.
    """
    tower = next((name for name in _TOWERS if isinstance(getattr(network, name, None), nn.Module)), None)
    parameters = list(inspect.signature(network.forward).parameters)
    if "pixel_values" in parameters[1:] and tower is not None:
        return VisionTower(tower, getattr(network, tower))
    if parameters[0] in ("pixel_values", "inputs"):
        return network
    takes = "pixel_values beside other values" if "pixel_values" in parameters else f"{parameters[0]}, no images"
    raise ValueError(
        f"{type(network).__name__}.forward takes {takes}: open it with transformers, and give a module whose "
        "forward(self, image) calls it to from_torch."
    )


def _processor(library: ModuleType, place: str, config: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration of the image processor; missing keys have the defaults of the processor's class."""
    base = import_library("transformers.image_processing_base", "huggingface").ImageProcessingMixin
    known = _class_defaults(config)
    try:
        stated, _ = base.get_image_processor_dict(place, **options)
    except OSError:
        warnings.warn(
            f"{place} has no {_BASE}: the values of black and white are the defaults of "
            f"{type(config).__name__}'s image processor. If the network was trained with others, build it with "
            "transformers and give mean and std to from_torch.",
            stacklevel=3,
        )
        stated = {}
    return {**known, **{key: value for key, value in stated.items() if value is not None}}


def _class_defaults(config: Any) -> dict[str, Any]:
    """Returns the class-wide defaults of the image processor of a configuration; those of ViT if it has none."""
    fallback = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True, "do_rescale": True}
    auto = import_library("transformers.models.auto.image_processing_auto", "huggingface")
    vision = getattr(config, "vision_config", None)
    for one in (config, vision):
        found = auto.IMAGE_PROCESSOR_MAPPING.get(type(one), None) if one is not None else None
        kinds = list(found.values()) if isinstance(found, dict) else list(found or ())
        kind = next((kind for kind in kinds if getattr(kind, "image_mean", None) is not None), None)
        if kind is not None:
            stated = {key: getattr(kind, key, None) for key in _PROCESSING}
            return {**fallback, **{key: value for key, value in stated.items() if value is not None}}
    return fallback


def _value_range(processor: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the network's values for black and white, one number per channel.

    The processor computes (pixel * rescale_factor - mean) / std of pixels from 0 to 255.
    """
    white = 255 * processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 255.0
    mean, std = processor["image_mean"], processor["image_std"]
    if not processor.get("do_normalize", True):
        mean, std = [0.0] * len(mean), [1.0] * len(std)
    pairs = list(zip(mean, std, strict=True))
    return tuple((0 - m) / s for m, s in pairs), tuple((white - m) / s for m, s in pairs)


def _size(vision: Any, processor: Mapping[str, Any]) -> tuple[int, int]:
    """Returns the height and width of the network's images: of the configuration, or of the processor's result."""
    result = processor.get("crop_size") if processor.get("do_center_crop") else None
    for stated in (getattr(vision, "image_size", None), result, processor.get("size")):
        if isinstance(stated, int):
            return stated, stated
        if isinstance(stated, Mapping):
            shorter = stated.get("shortest_edge")
            size = (stated.get("height", shorter), stated.get("width", shorter))
            if None not in size:
                return size
        if isinstance(stated, (list, tuple)) and len(stated) == 2:
            return int(stated[0]), int(stated[1])
    return 224, 224


def _preprocessing(size: tuple[int, int], processor: Mapping[str, Any]) -> Preprocessing | None:
    """Returns the resizing of the processor; None if it does not give pictures of the network's size."""
    interpolation = known_interpolation(processor.get("resample", 2))
    stated = processor.get("size")
    shorter = stated.get("shortest_edge") if isinstance(stated, Mapping) else None
    if processor.get("crop_pct") is not None and shorter is not None:
        return Preprocessing(size, int(shorter / processor["crop_pct"]), interpolation) if shorter < 384 else None
    if shorter is not None:
        return Preprocessing(size, int(shorter), interpolation) if processor.get("do_center_crop") else None
    exact = (stated.get("height"), stated.get("width")) if isinstance(stated, Mapping) else (stated, stated)
    return Preprocessing(size, None, interpolation) if exact == size else None


def _labels(config: Any) -> list[str] | None:
    """Returns the names of the classes; None if the network has no head for classes, or the classes have no names."""
    heads = [name for name in getattr(config, "architectures", None) or () if re.search("Classif|Segment|Detect", name)]
    names = getattr(config, "id2label", None) or {}
    if not heads or all(name == f"LABEL_{index}" for index, name in names.items()):
        return None
    return [names.get(index, str(index)) for index in range(max(names) + 1)]
