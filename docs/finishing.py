"""Finishes the pages of the site: names the search for screen readers, and states the sizes of pictures."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from PIL import Image

DIALOG = 'data-md-component="search" role="dialog"'  # mkdocs-material leaves it without a name
IMAGE = re.compile(r'<img alt="[^"]*" src="(?P<source>[^"#:]+)[^>]*?(?P<end> ?/?>)')
SHOWN = 3
"""Pictures of a page that are loaded at once: they are above the fold."""


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Called by mkdocs with each page's HTML."""
    count = 0

    def sized(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        place = posixpath.join(posixpath.dirname(page.file.dest_uri), found["source"])
        with Image.open(Path(config["docs_dir"]) / posixpath.normpath(place)) as picture:
            width, height = picture.size
        late = "" if count <= SHOWN else ' loading="lazy"'
        tag = found[0].removesuffix(found["end"])
        return f'{tag} width="{width}" height="{height}"{late}{found["end"]}'

    return IMAGE.sub(sized, output.replace(DIALOG, f'{DIALOG} aria-label="Search"'))
