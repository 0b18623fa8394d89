"""timm's networks as models, with the preprocessing and class names of their weights.

timm is an optional dependency: `pip install -e '.[timm]'`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from torch import nn

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.libraries import (
    check_download,
    check_name,
    import_library,
    opened_from,
    seeded,
    time_limit,
)
from lucid_port.modelzoo.preprocessing import Preprocessing, known_interpolation
from lucid_port.modelzoo.vision_base import Model

_HUB = ("hf-hub:", "hf_hub:", "local-dir:")  # prefixes of names that timm does not list


@checked
def timm(name: str, weights: str | None = "DEFAULT", *, seed: int = 0, trace: bool = True, **options: Any) -> Model:
    """Opens one of timm's networks.

    Args:
        name: timm's name, for example "resnet50" or "vit_base_patch16_224.augreg_in21k".
        weights: "DEFAULT" for the weights of the name, the tag of other weights ("a1_in1k"), or None for random
            weights. Weights are downloaded to the cache of Hugging Face on first use.
        seed: seed of random weights.
        trace: whether the values of functions between modules are layers, too; see `from_torch`.
        **options: further options of `timm.create_model`, for example `num_classes`, `in_chans` or `img_size`.

    Returns:
        A model with the value range, image size and preprocessing of timm's data configuration. With weights for
        ImageNet it has labels. If `in_chans` is not 3, each channel has the average of the configured means and
        standard deviations.

    Raises:
        ModuleNotFoundError: timm is not installed.
        ValueError: timm has no network or weights of this name.
        ConnectionError: the download failed.

    Example, with timm::

        model = timm("convnext_tiny")
        model.activations(torch.rand(1, 3, 224, 224), "stages.3")["stages.3"].shape  # (1, 768, 7, 7)
    """
    library = import_library("timm", "timm")
    full = name if weights in (None, "DEFAULT") else f"{str(name).partition('.')[0]}.{weights}"
    _check(library, name, full, weights)
    network = _built(library, full, weights is not None, seed, options)
    data = import_library("timm.data", "timm")
    config = data.resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    channels = options.get("in_chans", channels)  # timm's configuration states the channels of the weights
    if "img_size" in options:
        height, width = _pair(options["img_size"])
    model = from_torch(
        network,
        mean=_of_channels(config["mean"], channels),
        std=_of_channels(config["std"], channels),
        image_shape=(height, width, channels),
        labels=_labels(data, network) if weights is not None else None,
        trace=trace,
    )
    model.preprocessing = _preprocessing((height, width), config)
    stated = {"weights": weights, "seed": seed, "trace": trace}
    defaults = {"weights": "DEFAULT", "seed": 0, "trace": True}
    changed = {key: value for key, value in stated.items() if value != defaults[key]}
    return opened_from(model, "timm", name, {**changed, **options})


def _check(library: ModuleType, name: str, full: str, weights: str | None) -> None:
    """Checks the names of the network and of its weights.

    Raises:
        ValueError: timm has no network or no weights of this name.
    """
    if isinstance(name, str) and name.startswith(_HUB):
        return
    base, _, tag = (name if isinstance(name, str) else "").partition(".")
    check_name("timm", base or name, library.list_models())
    tags = [one.partition(".")[2] for one in library.list_pretrained(f"{base}.*")] if tag or weights else []
    offered = f"it has {', '.join(tags)}" if tags else "it has none"
    advice = "None gives random ones (weights=None)."
    if not (weights is None or isinstance(weights, str)):
        raise ValueError(f"timm's {base} has no weights {checks.shown(weights)}; {offered}. {advice}")
    wanted = full.partition(".")[2]
    if (wanted and wanted not in tags) or (weights is not None and not library.is_model_pretrained(full)):
        raise ValueError(f"timm's {base} has no weights {checks.shown(wanted or weights)}; {offered}. {advice}")


def _built(library: ModuleType, name: str, pretrained: bool, seed: int, options: Mapping[str, Any]) -> nn.Module:
    """Builds the network.

    Raises:
        ConnectionError: the download of its weights failed.
    """
    with seeded(seed), time_limit():
        try:
            if pretrained and library.is_model(name.partition(".")[0]):
                known = library.get_pretrained_cfg(name)
                check_download(None if known.hf_hub_id else known.url)
            network: nn.Module = library.create_model(name, pretrained=pretrained, **options)
        except (OSError, RuntimeError) as error:
            if not pretrained or not _is_download(error):
                raise
            raise ConnectionError(
                f"The weights of timm's {name} cannot be downloaded ({' '.join(str(error).split())[:200]}): use random "
                "weights with weights=None (timm's pretrained=False), or give a file of weights with checkpoint_path=."
            ) from error
    return network


def _is_download(error: BaseException | None) -> bool:
    """Whether an error, or its cause, comes from the network or from the cache of downloads."""
    while error is not None:
        if isinstance(error, OSError) or type(error).__module__.split(".")[0] in ("huggingface_hub", "httpx"):
            return True
        error = error.__cause__ or error.__context__
    return False


def _labels(data: ModuleType, network: nn.Module) -> list[str] | None:
    """Returns the names of ImageNet's classes if the head has them; None for other heads."""
    subset = data.infer_imagenet_subset(network)
    if not subset:
        return None
    info = data.ImageNetInfo(subset)
    return [info.index_to_description(index) for index in range(info.num_classes())]


def _of_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _preprocessing(size: tuple[int, int], config: Mapping[str, Any]) -> Preprocessing | None:
    """Returns timm's resizing and cropping; None if borders are added, or the image is not square."""
    mode, share = config.get("crop_mode", "center"), config["crop_pct"]
    interpolation = known_interpolation(config["interpolation"])
    height, width = (math.floor(side / share) for side in size)
    if mode == "squash":
        return Preprocessing(size, (height, width), interpolation)
    return Preprocessing(size, height, interpolation) if mode == "center" and height == width else None
