"""What the commands share: arguments, tables and messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A frozen graph (.pb), a converted folder, or a model's name.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps, ...; the CPU by default.")]


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool = False) -> None:
    """Rows under their columns; to a pipe, one line a row with tabs between, so that cut and grep work."""
    if as_json:
        typer.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=1))
        return
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        for row in [list(columns), *texts]:
            typer.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in texts:
        table.add_row(*row)
    console.print(table, markup=False)
