"""`lucid-port models`: lists the catalogue of models."""

from __future__ import annotations

import json as json_format
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli.console import Json, model_names, print_table

if TYPE_CHECKING:
    from lucid_port.modelzoo.catalogue import Entry

COLUMNS = ("family", "name", "layers", "dataset", "here", "what to do")
BRIEF = ("name", "family", "layers", "dataset", "file")
"""Columns on a terminal."""


def command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Show details of this model.", autocompletion=model_names),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="With NAME: list its classes with their unit numbers.")
    ] = False,
    json: Json = False,
) -> None:
    """List the models of the catalogue and where their files are.

    A terminal shows whether a file is here, is downloaded on demand, or has to be got by hand. With NAME, with --json
    and in a pipe, paths are printed.

    Examples: LUCID_PORT_MODELZOO=~/models lucid-port models; lucid-port models ResnetV1_50_slim

    lucid-port models TinyInceptionV1 --labels
    """
    from lucid_port.modelzoo.catalogue import catalogue, entry

    if labels:
        if name is None:
            raise typer.BadParameter("it needs the name of a model", param_hint="'--labels'")
        print_table(("number", "class"), list(enumerate(_labels(entry(name)))), json)
    elif name is not None:
        _print_details(entry(name), json)
    elif json:
        typer.echo(json_format.dumps([_details(one) for one in catalogue().values()], indent=1))
    else:
        models = catalogue().values()
        print_table(COLUMNS, [_row(one) for one in models], brief=(BRIEF, [_brief_row(one) for one in models]))


def _labels(entry: Entry) -> list[str]:
    from lucid_port.modelzoo.catalogue import label_lists

    if entry.labels is None:
        raise ValueError(f"{entry.name} has no list of classes.")
    return label_lists()[entry.labels].read()


def _row(entry: Entry) -> tuple[object, ...]:
    from lucid_port.modelzoo.files import local_graph

    found = local_graph(entry) or ("generated on demand" if entry.generator else None)
    advice = None if found else _short_advice(entry)
    return entry.family, entry.name, len(entry.layers), entry.dataset, found, advice


def _brief_row(entry: Entry) -> tuple[object, ...]:
    return entry.name, entry.family, len(entry.layers), entry.dataset, _whereabouts(entry)


def _whereabouts(entry: Entry) -> str:
    """Where the model's file is, or comes from."""
    from lucid_port.modelzoo.files import checked_downloads, local_graph

    if entry.package_graph is not None:
        return "in the package"
    if entry.generator is not None:
        return "generated"
    if local_graph(entry) is not None:
        return "here"
    return "download" if checked_downloads(entry) else "by hand"


def _short_advice(entry: Entry) -> str:
    """How to get the model, in a few words; `lucid-port models NAME` prints the details."""
    from lucid_port.modelzoo.files import checked_downloads

    if checked_downloads(entry):
        return "downloaded on demand"
    return {
        "graph": "get its graph by hand",
        "caffemodel": "get its weights by hand",
        "checkpoint": "freeze its checkpoint",
        "pytorch": "wrap PyTorch's own network",
    }[entry.downloads[0].kind]


def _details(entry: Entry) -> dict[str, Any]:
    """The catalogue's entry of a model as plain data."""
    from lucid_port.modelzoo.files import local_graph, what_to_do

    found = local_graph(entry)
    to_do = None if found or entry.generator else what_to_do(entry)
    return {**entry.to_json(), "found": found and str(found), "what_to_do": to_do}


def _print_details(entry: Entry, as_json: bool) -> None:
    details = _details(entry)
    if as_json:
        typer.echo(json_format.dumps(details, indent=1))
        return
    for key, value in details.items():
        if value not in (None, ()) and key not in ("layers", "downloads", "freezing"):
            typer.echo(f"{key.replace('_', ' ')}: {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
    for download in entry.downloads:
        typer.echo(f"{download.kind}: {download.url} ({download.hash or 'hash unknown'}; from: {download.source})")
    for layer, depth, tags in entry.layers:
        typer.echo(f"{layer}\t{depth}\t{', '.join(sorted(tags))}")
