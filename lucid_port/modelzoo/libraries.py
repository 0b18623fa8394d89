"""Networks of other libraries as models: parts that torchvision, timm and transformers share."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import socket
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import torch

from converters import checks
from converters.errors import nearest_names
from lucid_port.misc.offline import check_online, is_offline
from lucid_port.modelzoo.library_sources import library_source
from lucid_port.modelzoo.vision_base import Model

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation that normalize the input of most networks for ImageNet."""

Option: TypeAlias = "bool | int | float | str | list[int] | list[float] | None"

# Options whose value may be a text. Other texts could name files or addresses, which a recipe must not choose.
_TEXTS = ("weights", "revision")


def import_library(module: str, extra: str) -> ModuleType:
    """Imports a module of an optional library.

    Args:
        module: the module, for example "torchvision.models".
        extra: the extra of `lucid_port` that installs the library.

    Raises:
        ModuleNotFoundError: the library is not installed.
        ImportError: the library does not match the installed torch.
    """
    package = module.split(".", 1)[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ModuleNotFoundError(f"{package} is not installed: pip install -e '.[{extra}]'.", name=package) from None
    except (ImportError, RuntimeError, OSError) as error:  # raised by a library that was built for another torch
        raise ImportError(
            f"{package} cannot be imported, because it does not match torch {torch.__version__} "
            f"({' '.join(str(error).split())}): install both together with pip install torch {package}."
        ) from error


def check_name(library: str, name: str, known: Sequence[str], purpose: str = "") -> None:
    """Checks the name of a network.

    Raises:
        ValueError: `known` does not contain it; the error suggests similar names.
    """
    if name not in known:
        offer = nearest_names(str(name), known, 3)
        raise ValueError(f"{library} has no network {checks.shown(name)}{purpose}.{offer}")


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A context in which torch draws random weights from a seed. torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


TIMEOUT = 30.0
"""Seconds to wait for the next bytes of a library's download, unless the process has a limit of its own."""


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """A context in which connections without a time limit, such as those of torch.hub, get one."""
    if socket.getdefaulttimeout() is not None:
        yield
        return
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(None)


def opened_from(model: Model, library: str, name: str, options: Mapping[str, object]) -> Model:
    """Records in `model.source` how to open the model again, and returns the model.

    Args:
        model: the model.
        library: one of `library_sources.LIBRARIES`.
        name: the network's name, or a folder.
        options: options that differ from the defaults. If plain data cannot state one, the model has no source.
    """
    if all(_is_plain(key, value) for key, value in options.items()):
        model.source = library_source(library, name, options)
    return model


def open_library_model(source: str) -> Model:
    """Opens a network of a library by its source.

    Args:
        source: library, name and options, as in "timm:resnet18?weights=null&num_classes=7". The values of options are
            JSON; `weights` and `revision` also take a text.

    Raises:
        ValueError: an option has another form, or the library has no network of this name.
        ModuleNotFoundError: the library is not installed.
    """
    library, _, rest = source.partition(":")
    name, _, query = rest.partition("?")
    options = dict(_option(key, value) for key, value in urllib.parse.parse_qsl(query, keep_blank_values=True))
    function: Callable[..., Model] = getattr(importlib.import_module("lucid_port.modelzoo"), library)
    with _hub_as_stated():
        return function(urllib.parse.unquote(name), **options)


def downloads_folder() -> str:
    """Returns the folder of the weights that torch has downloaded."""
    return os.path.join(torch.hub.get_dir(), "checkpoints")


def check_download(url: str | None) -> None:
    """Checks that torch needs no download if none is allowed, before it makes a folder for the file.

    Args:
        url: address of the weights; None if there are none.

    Raises:
        lucid_port.misc.offline.NetworkRefusedError: the network is not used, and the file is not on this machine.
    """
    if url and is_offline() and not os.path.exists(os.path.join(downloads_folder(), url.rsplit("/", 1)[-1])):
        check_online(url)


@contextlib.contextmanager
def _hub_as_stated() -> Iterator[None]:
    """Context in which Hugging Face's hub reads its cache only, without retries, if the network is not used."""
    if not is_offline() or importlib.util.find_spec("huggingface_hub") is None:
        yield
        return
    constants: Any = importlib.import_module("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def overridden(model: Model, overrides: Mapping[str, Any]) -> Model:
    """Returns a model of another library with other arguments of `Model`; the network is shared.

    Args:
        model: the model.
        overrides: `image_shape`, `image_value_range`, `is_BGR` and `labels`; None for the model's own.

    Raises:
        TypeError: an argument applies only to files.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    if not given:
        return model
    own = ("image_shape", "image_value_range", "is_BGR", "labels")
    others = sorted(set(given) - set(own))
    if others:
        raise TypeError(f"The option {others[0]} applies to files only, not to {model.source or model.name}.")
    stated = {key: getattr(model, "_labels" if key == "labels" else key) for key in own}
    changed = Model(network=model.network, **{**stated, **given})
    changed.source = model.source
    changed.preprocessing = model.preprocessing if "image_shape" not in given else None
    return changed


def _option(key: str, text: str) -> tuple[str, Option]:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if not _is_plain(key, value):
        raise ValueError(
            f"The option {key}={text} of a network's source is not allowed: values are numbers, true, false, null and "
            f"lists of numbers; only {' and '.join(_TEXTS)} take a text, and remote code is never run."
        )
    return key, value


def _is_plain(key: str, value: object) -> bool:
    """Whether a source may state this option."""
    if key == "trust_remote_code":
        return False
    if isinstance(value, (list, tuple)):
        return all(isinstance(one, (int, float)) for one in value)
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and key in _TEXTS)
