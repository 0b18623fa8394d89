"""HTML from the templates in `lucid_port/templates`."""

from __future__ import annotations

import base64
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["data_url", "render"]

FOLDER = Path(__file__).resolve().parent.parent / "templates"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # on use: most programs write no page

    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: Any) -> str:
    """Fills in a template.

    Args:
        template: name of a file in `lucid_port/templates`.
        **values: the template's variables. Strings are escaped unless the template marks them as HTML with `safe`.

    Returns:
        HTML.

    Raises:
        jinja2.UndefinedError: the template uses a name without a value.
        jinja2.TemplateNotFound: the template does not exist.

    Example:
        >>> html = render("live.html", pictures="", total=None, done=0, line="3 of 4 units")
    """
    return _environment().get_template(template).render(values)


def data_url(content: bytes, kind: str) -> str:
    """Returns a picture's file as a `data:` address.

    Args:
        content: the file's bytes.
        kind: subtype of its media type, such as "png" or "jpeg".
    """
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
