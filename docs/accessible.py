"""Names the dialog of the search for screen readers: mkdocs-material leaves it without a name."""

from __future__ import annotations

from typing import Any

DIALOG = 'data-md-component="search" role="dialog"'


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Called by mkdocs with each page's HTML."""
    return output.replace(DIALOG, f'{DIALOG} aria-label="Search"')
