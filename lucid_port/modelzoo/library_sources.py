"""Texts that name a network of a library or a function of a module, such as "timm:resnet18". Does not import torch."""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

LIBRARIES = ("torchvision", "timm", "huggingface")
"""Libraries whose networks `lucid_port.modelzoo` opens by name, each with a function of the same name."""

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def library_source(library: str, name: str, options: Mapping[str, object]) -> str:
    """Returns the text that opens a network of a library with `nets_factory.open_model`.

    Example:
        >>> library_source("timm", "resnet18", {"weights": None, "num_classes": 7})
        'timm:resnet18?weights=null&num_classes=7'
    """
    folder = library == "huggingface" and Path(name).is_dir()
    place = urllib.parse.quote(os.path.abspath(name) if folder else name, safe="/:.\\ ")
    written = {key: value if isinstance(value, str) else json.dumps(value) for key, value in options.items()}
    query = urllib.parse.urlencode(written, quote_via=urllib.parse.quote)
    return f"{library}:{place}{'?' if query else ''}{query}"


def names_library(source: object) -> bool:
    """Whether a source names a network of a library, as in "timm:resnet18".

    Example:
        >>> names_library("timm:resnet18"), names_library("TinyInceptionV1")
        (True, False)
    """
    return isinstance(source, str) and source.partition(":")[0] in LIBRARIES and ":" in source


def names_function(source: object) -> bool:
    """Whether a source names a function of a Python module, as in "networks:small".

    Example:
        >>> names_function("networks:small"), names_function("timm:resnet18"), names_function("graph.pb")
        (True, False, False)
    """
    return (
        isinstance(source, str)
        and _FUNCTION.fullmatch(source) is not None
        and not names_library(source)
        and not os.path.exists(source)
    )
