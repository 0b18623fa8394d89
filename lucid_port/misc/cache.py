"""The folder of downloads."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from converters.paths import user_path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Returns the folder of downloads: LUCID_PORT_CACHE, or the user's cache folder."""
    return user_path(os.environ.get("LUCID_PORT_CACHE") or platformdirs.user_cache_dir("lucid_port"))
