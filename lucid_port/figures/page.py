"""A figure as a self-contained HTML page, with a layout like that of the articles."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from lucid_port import __version__
from lucid_port.figures.base import ARTICLES, Figure, Panel, Result
from lucid_port.misc.io.serialize_array import normalize_array

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --faint: #667; --line: #e4e4e4; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --faint: #9aa; --line: #333; --paper: #16181a; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0; }
main { max-width: 72em; margin: 0 auto; padding: 2.5em 1.2em 4em; }
h1 { font-weight: 600; font-size: 1.7em; margin: 0 0 .2em; }
h2 { font-weight: 500; font-size: 1.05em; margin: 2em 0 .6em; }
.source, figcaption, footer { color: var(--faint); } .source { margin: 0 0 1.4em; }
.panel { display: grid; gap: 6px; overflow-x: auto; justify-content: start; }
figure { margin: 0; } figcaption { font-size: 12px; line-height: 1.35; padding-top: 2px; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; } .pixels { image-rendering: pixelated; }
footer { border-top: 1px solid var(--line); margin-top: 3em; padding-top: 1em; font-size: 13px; }
code { font: 13px/1.5 ui-monospace, monospace; } a { color: inherit; }
"""
JPEG_FROM = 160 * 160  # pixels from which an opaque picture is stored as JPEG


_OWN = "\n<p>This text describes the figure's own picture. Another picture is shown here.</p>"


def page(figure: Figure, result: Result, facts: Mapping[str, Any], command: str, own_picture: bool = False) -> str:
    """The HTML of a figure's page.

    Args:
        figure: the figure.
        result: its panels.
        facts: settings with which it was made, by name.
        command: the command line that makes it.
        own_picture: whether it starts from the user's picture.
    """
    article = ARTICLES[figure.article]
    body = "\n".join(_panel(panel) for panel in result.panels)
    made = "; ".join(f"{html.escape(name)} {html.escape(str(value))}" for name, value in facts.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(figure.title)}</title><style>{_STYLE}</style></head><body><main>
<h1>{html.escape(figure.title)}</h1>
<p class="source">After {html.escape(figure.figure)} of <a href="{article.url}">{html.escape(article.title)}</a>,
{html.escape(article.authors)}, Distill {article.year}.</p>
<p>{html.escape(figure.see)}</p>{_OWN if own_picture else ""}
{body}
<footer><p><code>{html.escape(command)}</code></p><p>{made}; lucid_port {__version__}.</p></footer>
</main></body></html>
"""


def _panel(panel: Panel) -> str:
    if not len(panel.pictures):
        return ""
    widest = max(picture.shape[1] for picture in panel.pictures) * panel.scale
    columns = panel.columns or len(panel.pictures)
    figures = "\n".join(
        _picture(picture, panel.captions[number] if number < len(panel.captions) else "", panel.scale)
        for number, picture in enumerate(panel.pictures)
    )
    title = f"<h2>{html.escape(panel.title)}</h2>" if panel.title else ""
    return f'{title}<div class="panel" style="grid-template-columns: repeat({columns}, {widest}px)">{figures}</div>'


def _picture(picture: np.ndarray, caption: str, scale: int) -> str:
    height, width = picture.shape[0] * scale, picture.shape[1] * scale
    pixels = ' class="pixels"' if scale > 1 else ""
    text = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    name = html.escape(caption, quote=True)
    size = f'width="{width}" height="{height}"'
    return f'<figure><img{pixels} src="{_data_url(picture)}" {size} alt="{name}">{text}</figure>'


def _data_url(picture: np.ndarray) -> str:
    image = Image.fromarray(normalize_array(picture, (0, 1)))
    buffer = io.BytesIO()
    large = image.width * image.height >= JPEG_FROM and image.mode == "RGB"
    image.save(buffer, "JPEG" if large else "PNG", **({"quality": 90} if large else {}))
    kind = "jpeg" if large else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
