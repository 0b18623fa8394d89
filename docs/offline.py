"""Ends the build of the site if a page would fetch something from elsewhere when it is read."""

from __future__ import annotations

import re
from typing import Any

from mkdocs.exceptions import PluginError

FETCHED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(https?:)?//|<link\b(?=[^>]*stylesheet)[^>]*//")


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Called by mkdocs with each page's HTML."""
    found = FETCHED.search(output)
    if found is not None:
        raise PluginError(f"{page.file.src_uri} fetches something from elsewhere: {found.group()}")
    return output
