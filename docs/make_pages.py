"""Writes the generated parts of the documentation's pages.

    python docs/make_pages.py            # writes the pages
    python docs/make_pages.py --check    # lists the pages that are not up to date

Generated blocks end with `<!-- end -->`. `<!-- picture: NAME -->` begins a picture with its code from
`make_pictures.py`, `<!-- preface -->` the code that runs before all pictures, and `<!-- figures -->` the catalogue of
figures.
`command_line.md` is written from the commands, `gallery.md` and `gallery/` from the pictures of `make_gallery.py`.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, get_type_hints

import make_gallery
import typer.main
from make_pictures import FOLDER, PICTURES, PREFACE, Picture
from PIL import Image

from lucid_port.cli.app import app
from lucid_port.cli.sources import ModelOptions
from lucid_port.figures.base import ARTICLES, catalogue

DOCS = Path(__file__).parent
BLOCK = re.compile(r"<!-- (?P<kind>picture|preface|figures)(?:: (?P<name>\S+))? -->\n(?:.*?<!-- end -->\n)?", re.DOTALL)
UNIT_WIDTH = 240  # pixels; narrower pictures are shown beside their code

# Pages with pictures -----------------------------------------------------------------------------


def with_pictures(text: str) -> str:
    """A page with its blocks updated."""
    return BLOCK.sub(lambda found: _block(found["kind"], found["name"]), text)


def _block(kind: str, name: str | None) -> str:
    if kind == "preface":
        return f"<!-- preface -->\n\n```python\n{PREFACE.strip()}\n```\n\n<!-- end -->\n"
    if kind == "figures":
        return f"<!-- figures -->\n\n{_figures()}\n\n<!-- end -->\n"
    picture = next((one for one in PICTURES if one.name == name), None)
    if picture is None:
        raise SystemExit(f"There is no picture {name}: docs/make_pictures.py --list shows all.")
    return f"<!-- picture: {name} -->\n\n{_shown(picture)}\n\n```python\n{picture.code}\n```\n\n<!-- end -->\n"


def _figures() -> str:
    """The catalogue of figures, article by article."""
    parts = []
    for key, article in ARTICLES.items():
        figures = [one for one in catalogue().values() if one.article == key]
        if not figures:
            continue
        rows = [
            _row(f"`{one.name}`", one.title, one.takes.words, ", ".join(f"`{name}`" for name in one.options))
            for one in figures
        ]
        head = ["| figure | shows | `--units` takes | has units for |", "|---|---|---|---|"]
        parts += [f"### [{article.title}]({article.url}), {article.year}", "\n".join([*head, *rows])]
    return "\n\n".join(parts)


def _shown(picture: Picture) -> str:
    place = picture.file.relative_to(FOLDER.parent).as_posix()
    width = Image.open(picture.file).width if picture.file.exists() else UNIT_WIDTH
    # The style sheet puts pictures of single units beside their code.
    return f"![{picture.name.split('/')[1]}]({place}{'#unit' if width < UNIT_WIDTH else ''})"


# The command line --------------------------------------------------------------------------------

INTRODUCTION = """# Command line

<!-- Written by docs/make_pages.py from the commands themselves. -->

`lucid-port COMMAND --help` shows the same text.

## Exit codes

| code | meaning |
|---|---|
| 0 | success |
| 1 | the command failed; standard error has one line, `error: ...`, that says why |
| 2 | wrong usage: an unknown command or option, or a value that an option does not take |
| 130 | interrupted (Ctrl-C or SIGTERM); finished files are kept |

To see the traceback of an error, add `--debug` anywhere on the line.

## In scripts

- With `--json`, every command prints only JSON to standard output: rows if it lists something, otherwise the results
  and the written files.
- Without `--json`, tables in a pipe have one line per row, with tabs between cells, for `cut` and `grep`. On a terminal
  names are never broken, and `models` and `figure list` show fewer columns.
- Results go to standard output, progress and errors to standard error. Progress is shown on terminals only.
- With `--quiet` (`-q`), commands print only errors, and the paths of the written files to standard output, one a line.
- Commands never prompt for input, except `microscope` on a terminal, before work of more than two hours without
  `--yes`.
- `--seed` is the seed of all random draws, in commands that draw (`demo`, `figure`, `render`); recipes have their own
  seed.
- The environment variable `LUCID_PORT_MOST_STEPS` limits the updates of each picture of `attribute`, `demo`, `figure`,
  `render` and `run`, also where an option or a recipe states more: `LUCID_PORT_MOST_STEPS=2` tries a command in
  seconds. Recipes state the updates that were made.
- `--device` is the device of commands that render. `convert` and `parity` compare on the CPU, for which the bounds were
  measured.

```bash
lucid-port layers TinyInceptionV1 --json | jq -r '.[] | select(.op == "Conv2D") | .name'
lucid-port models | cut -f2,5
lucid-port render TinyInceptionV1 mixed3a:1 -o a.png --json | jq .objective
```

## Completion

```bash
lucid-port --install-completion
```

This installs completion of commands, options and the names of models, layers, classes and figures for the current shell
(bash, zsh, fish, PowerShell). Restart the shell afterwards. `lucid-port --show-completion` prints the code instead.
"""


def command_line() -> str:
    """The page of all commands."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("lucid-port", [], resilient_parsing=True)
    sections = [INTRODUCTION, _shared(group, context), f"## lucid-port\n\n{_rows(group, context)}\n"]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        own = {f"{name} {inner}": one for inner, one in getattr(command, "commands", {}).items()} or {name: command}
        sections += [_command(words, one, context) for words, one in own.items()]
    return "\n".join(sections)


def _command(name: str, command: Any, parent: Any) -> str:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    arguments = [one for one in command.get_params(context) if _is_argument(one)]
    wanted = [_named(one) if one.required else f"[{_named(one)}]" for one in arguments]
    usage = " ".join(["lucid-port", name, "[OPTIONS]", *wanted])
    return f"## {name}\n\n`{usage}`\n\n{_prose(command.help or '')}\n\n{_rows(command, context)}\n"


def _prose(text: str) -> str:
    """A docstring for a page, with examples as code blocks."""
    parts: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        words = " ".join(paragraph.replace("\b", "").split())
        found = re.fullmatch(r"(?:Examples?: )?((?:\w+=\S+ )?lucid-port .*)", words)
        if found is None:
            parts.append(words)
            continue
        code = found[1].replace("; ", "\n")
        if parts and parts[-1].endswith("\n```"):
            parts[-1] = f"{parts[-1][:-4]}\n{code}\n```"
        else:
            parts.append(f"```bash\n{code}\n```")
    return "\n\n".join(parts)


OPENING = "Options that open a model"
SHARED = get_type_hints(ModelOptions)
"""Options that all commands with a model have; they stand in a section of their own."""


def _shared(group: Any, context: Any) -> str:
    """The section of `SHARED`."""
    command = group.get_command(context, "log")
    rows = [_row(f"`{_named(one)}`", _said(one)) for one in command.get_params(context) if one.name in SHARED]
    return f"## {OPENING}\n\n" + "\n".join(["| option | meaning |", "|---|---|", *rows, ""])


def _rows(command: Any, context: Any) -> str:
    shown = [one for one in command.get_params(context) if not _is_hidden(one)]
    has_all = SHARED.keys() <= {one.name for one in shown}
    rows = [_row(f"`{_named(one)}`", _said(one)) for one in shown if not (has_all and one.name in SHARED)]
    link = f"[{OPENING.lower()}](#{OPENING.lower().replace(' ', '-')})"
    rows += [_row(link, "`--torchvision`, `--timm`, `--huggingface`, `--value-range`, ...")] if has_all else []
    return "\n".join(["| argument or option | meaning |", "|---|---|", *rows])


def _is_hidden(parameter: Any) -> bool:
    """Whether a parameter is left out: hidden ones, and --help, which the page's first line describes."""
    return bool(getattr(parameter, "hidden", False)) or parameter.name == "help"


def _is_argument(parameter: Any) -> bool:
    return parameter.param_type_name == "argument"


def _named(parameter: Any) -> str:
    """The name of an argument or option; the same in all versions of typer, which show types differently."""
    value = (parameter.metavar or parameter.name.upper()).strip("[]{}")
    if _is_argument(parameter):
        return value
    names = " / ".join([", ".join(sorted(parameter.opts, key=len)), *parameter.secondary_opts])  # -h comes in any order
    return names if parameter.is_flag else f"{names} {value}"


def _said(parameter: Any) -> str:
    words = " ".join((parameter.help or "").split())
    if parameter.required:
        return f"{words} Required." if not _is_argument(parameter) else words
    default = parameter.default
    if parameter.secondary_opts and default is not None:
        return f"{words} Default: `{parameter.opts[0] if default else parameter.secondary_opts[0]}`."
    shown = isinstance(default, (int, float, str, Path)) and not isinstance(default, bool)
    return f"{words} Default: `{default}`." if shown else words


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


# -------------------------------------------------------------------------------------------------


def pages() -> dict[Path, str]:
    """The up-to-date text of every generated page."""
    found = {page: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}
    written = {page: with_pictures(text) for page, text in found.items() if BLOCK.search(text)}
    gallery = {DOCS / path: text for path, text in make_gallery.pages().items()}
    return {**written, DOCS / "command_line.md": command_line(), **gallery}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not up to date")
    options = parser.parse_args()
    old = [page for page, text in pages().items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    for page in old:
        print(f"{page.name} is not up to date: python docs/make_pages.py" if options.check else f"{page.name} written")
        if not options.check:
            page.parent.mkdir(exist_ok=True)
            page.write_text(pages()[page], encoding="utf-8")
    return 1 if options.check and old else 0


if __name__ == "__main__":
    sys.exit(main())
