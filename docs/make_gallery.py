"""Puts figures into the gallery of the documentation.

    lucid-port figure fv-hero --model InceptionV1_caffe -o FOLDER
    python docs/make_gallery.py FOLDER       # every figure in it
    python docs/make_pages.py                # writes gallery.md

A figure's picture becomes a JPEG below docs/images/gallery. How it was made is kept in made.json there, which the page
is written from. Look at a picture before you put it there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from lucid_port.figures.base import ARTICLES, Figure, catalogue
from lucid_port.figures.run import Request

FOLDER = Path(__file__).parent / "images" / "gallery"
MADE = FOLDER / "made.json"
QUALITY = 80
MOST = 1100  # pixels of the width

INTRODUCTION = """# Gallery

<!-- Written by docs/make_pages.py from docs/images/gallery. -->

Figures of the Distill articles, each made by one command. The articles use Google's InceptionV1. These pictures use
`InceptionV1_caffe`, which has the same architecture but was trained with Caffe, so its units are others; they were
chosen to illustrate the same points. Without `--model`, the command uses `InceptionV1` and the articles' own units.

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
        if picture.width > MOST:
            picture = picture.resize((MOST, round(picture.height * MOST / picture.width)), Image.Resampling.LANCZOS)
        picture.save(FOLDER / f"{name}.jpg", quality=QUALITY, optimize=True)
        request = Request.from_data(recipe)
        made[name] = {"command": request.command(), "steps": request.steps, "torch": recipe["made_with"]["torch"]}
    MADE.write_text(json.dumps(dict(sorted(made.items())), indent=1) + "\n", encoding="utf-8")
    return names


def page() -> str:
    """The page of the gallery, in the catalogue's order."""
    made = _made()
    sections = [INTRODUCTION]
    for key, article in ARTICLES.items():
        shown = [one for one in catalogue().values() if one.article == key and one.name in made]
        if shown:
            sections.append(f"## {article.title}\n\n[{article.url}]({article.url})\n")
            sections += [_section(one, made[one.name]) for one in shown]
    return "\n".join([*sections, *_missing(made)])


def _section(figure: Figure, made: Mapping[str, Any]) -> str:
    steps = figure.steps if made["steps"] is None else made["steps"]
    how = f"{steps} steps" if steps else "nothing is optimised"
    how += f" (the article: {figure.steps})" if steps != figure.steps else ""
    return (
        f"### {figure.title}\n\n![{figure.name}](images/gallery/{figure.name}.jpg)\n\n{figure.see}\n\n"
        f"After {figure.figure}; {how}.\n\n```bash\n{made['command']}\n```\n"
    )


def _missing(made: Mapping[str, Any]) -> Iterator[str]:
    names = [f"`{one.name}`" for one in catalogue().values() if one.name not in made]
    if names:
        yield f"Not shown here, but made by `lucid-port figure`: {', '.join(names)}.\n"


def _made() -> dict[str, Any]:
    return json.loads(MADE.read_text(encoding="utf-8")) if MADE.exists() else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where lucid-port figure wrote to")
    names = add(parser.parse_args().folder)
    print(f"{len(names)} figures: {', '.join(names)}" if names else "There is no figure in this folder.")
    return 0 if names else 1


if __name__ == "__main__":
    sys.exit(main())
