"""Puts figures into the gallery of the documentation.

    lucid-port figure fv-hero --model InceptionV1_caffe -o FOLDER
    python docs/make_gallery.py FOLDER       # every figure in it
    python docs/make_gallery.py --thumbs     # the small pictures again
    python docs/make_pages.py                # writes gallery.md, and a page for each article

A figure's picture becomes a JPEG below docs/images/gallery, and a small one below docs/images/gallery/thumbs. How it
was made is kept in made.json there, which the pages are written from. Look at a picture before you put it there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from lucid_port.figures.base import ARTICLES, Article, Figure, catalogue
from lucid_port.figures.run import Request

FOLDER = Path(__file__).parent / "images" / "gallery"
MADE = FOLDER / "made.json"
THUMBS = FOLDER / "thumbs"
QUALITY = 80
MOST = 1100  # pixels of the width
MODEL = "InceptionV1_caffe"
THUMB = (240, 160)  # width and height

INTRODUCTION = """# Gallery

<!-- Written by docs/make_pages.py from docs/images/gallery. -->

Figures of the Distill articles, each made by one command. Each small picture leads to its figure. The articles use
Google's InceptionV1. These pictures use `InceptionV1_caffe`, which has the same architecture but was trained with
Caffe, so its units are others; they were chosen to illustrate the same points. Without `--model`, the command uses
`InceptionV1` and the articles' own units.

All figures were made on a CPU in float32. The recipe that the command writes beside the picture states the versions.
"""


def add(folder: Path) -> list[str]:
    """Put the figures that a folder holds into the gallery; returns their names."""
    made = _made()
    names = [figure.name for figure in catalogue().values() if (folder / f"{figure.name}.json").exists()]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        recipe = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        picture = Image.open(folder / f"{name}.png").convert("RGB")
        picture = picture.reduce(-(-picture.width // MOST))  # by whole numbers, which keeps edges sharp
        picture.save(FOLDER / f"{name}.jpg", quality=QUALITY, optimize=True)
        add_thumb(name)
        request = Request.from_data(recipe)
        made[name] = {"command": request.command(), "steps": request.steps, "torch": recipe["made_with"]["torch"]}
    MADE.write_text(json.dumps(dict(sorted(made.items())), indent=1) + "\n", encoding="utf-8")
    return names


def add_thumb(name: str) -> None:
    """Writes the small picture of a figure: its upper left part, reduced by a whole number."""
    picture = Image.open(FOLDER / f"{name}.jpg")
    picture = picture.reduce(max(1, min(picture.width // THUMB[0], picture.height // THUMB[1])))
    THUMBS.mkdir(parents=True, exist_ok=True)
    part = picture.crop((0, 0, min(picture.width, THUMB[0]), min(picture.height, THUMB[1])))
    part.save(THUMBS / f"{name}.jpg", quality=QUALITY, optimize=True)


def pages() -> dict[str, str]:
    """Path below docs -> text: the page of small pictures, and a page for each article, in the catalogue's order."""
    made = _made()
    found, sections = {}, [INTRODUCTION]
    for key, article in ARTICLES.items():
        shown = [one for one in catalogue().values() if one.article == key and one.name in made]
        if shown:
            path = f"gallery/{_slug(article)}.md"
            thumbs = "\n".join(_thumb(one, path) for one in shown)
            sections.append(f"## {article.title}\n\n<div class=thumbs markdown>\n\n{thumbs}\n\n</div>\n")
            found[path] = "\n".join([_head(article), *(_section(one, made[one.name]) for one in shown)])
    return {"gallery.md": "\n".join([*sections, *_missing(made)]), **found}


def _slug(article: Article) -> str:
    """Returns the name of an article's page: the last part of its address."""
    return article.url.rpartition("/")[2]


def _head(article: Article) -> str:
    return (
        "---\nhide: [navigation, toc]\n---\n\n"  # which leaves room for pictures in their own size
        f"# {article.title}\n\n<!-- Written by docs/make_pages.py from docs/images/gallery. -->\n\n"
        f"Figures of [{article.title}]({article.url}), {article.year}, by {article.authors}. Units are those of "
        "`InceptionV1_caffe`. Click on a picture to see its file. [All figures](../gallery.md)\n"
    )


def _thumb(figure: Figure, page: str) -> str:
    """Returns a small picture that leads to its figure."""
    anchor = re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", figure.title.lower()))
    return f"[![{_alt(figure, 1)}](images/gallery/thumbs/{figure.name}.jpg) {figure.title}]({page}#{anchor})"


def _alt(figure: Figure, sentences: int | None = None) -> str:
    """Returns what a picture shows, in all sentences or the first ones."""
    parts = re.split(r"(?<=\w[.]) ", figure.see)[:sentences]
    return f"{figure.title}. {' '.join(parts)}".replace("[", "(").replace("]", ")")


def _section(figure: Figure, made: Mapping[str, Any]) -> str:
    steps = figure.steps if made["steps"] is None else made["steps"]
    how = f"{steps} steps" if steps else "nothing is optimised"
    how += f" (the article: {figure.steps})" if steps != figure.steps else ""
    file = f"../images/gallery/{figure.name}.jpg"
    units = _units(figure)
    return (
        f"## {figure.title}\n\n[![{_alt(figure)}]({file})]({file})\n\n{figure.see}\n\n{units}"
        f"After {figure.figure}; {how}.\n\n```bash\n{made['command']}\n```\n"
    )


def _units(figure: Figure) -> str:
    """Returns the names of a figure's units and families, which its picture shows as small letters."""
    options = figure.options.get(MODEL, {})
    lists = {"Units": options.get("units", ()), **options.get("families", {})}
    rows = [f"{words}: {', '.join(f'`{one}`' for one in names)}." for words, names in lists.items() if names]
    return "\n\n".join([*rows, ""])


def _missing(made: Mapping[str, Any]) -> Iterator[str]:
    names = [f"`{one.name}`" for one in catalogue().values() if one.name not in made]
    if names:
        yield f"Not shown here, but made by `lucid-port figure`: {', '.join(names)}.\n"


def _made() -> dict[str, Any]:
    return json.loads(MADE.read_text(encoding="utf-8")) if MADE.exists() else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where lucid-port figure wrote to")
    parser.add_argument("--thumbs", action="store_true", help="write the small pictures of all figures again")
    options = parser.parse_args()
    if options.thumbs:
        for name in _made():
            add_thumb(name)
    names = [] if options.folder is None else add(options.folder)
    print(f"{len(names)} figures: {', '.join(names)}" if names else "No figure was added.")
    return 0 if names or options.thumbs else 1


if __name__ == "__main__":
    sys.exit(main())
