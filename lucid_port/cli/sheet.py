"""`lucid-port sheet`: draws the pictures of a folder as one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from lucid_port.cli.console import Json, Quiet, print_result

SHEET = "sheet.png"


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of pictures, such as one of render.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PATH", help="Picture to write; FOLDER/sheet.png by default."),
    ] = None,
    columns: Annotated[
        int | None, typer.Option(min=1, help="Number of pictures in a row; as many as rows by default.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="The line above; by default the model, the layer and the number of units.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file even if it is not an earlier sheet.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Draw all pictures of a folder as one, with the numbers of their units. Nothing is rendered.

    Examples: lucid-port sheet 4a

    lucid-port sheet photographs -o photographs.png --columns 8 --title Photographs
    """
    path = write_sheet(folder, output, columns, title, overwrite)
    print_result(str(path), {"sheet": path}, json)


def write_sheet(
    folder: Path,
    output: Path | None = None,
    columns: int | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Draws the pictures of a folder, writes the sheet and returns its path; arguments as for the command.

    Raises:
        ValueError: the file is no picture's name, or the folder's list is damaged.
        FileExistsError: the file exists, and is not an earlier sheet.
        OSError: the folder has no pictures, or the file cannot be written.
    """
    from PIL import PngImagePlugin

    from converters.atomic import write_bytes
    from lucid_port.optvis.many.contact_sheet import SOFTWARE, contact_sheet

    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file: name a folder of pictures.")
    path = folder / SHEET if output is None else output
    check_sheet(path, overwrite)
    made = contact_sheet(folder, columns, title)
    for name, reason in made.left_out.items():
        typer.echo(f"{name} is not on the sheet: {reason}", err=True)
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", SOFTWARE)
    buffer = io.BytesIO()
    made.image.save(buffer, "PNG", pnginfo=info)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())
    return path


def check_sheet(path: Path, overwrite: bool = False) -> None:
    """Checks that a sheet can be written.

    Raises:
        ValueError: the file is no picture's name.
        FileExistsError: the file exists, and is not an earlier sheet, or it has the pictures of its folder.
        OSError: it cannot be written.
    """
    from converters.atomic import check_writable
    from lucid_port.optvis.many.contact_sheet import readable_manifest
    from lucid_port.optvis.many.manifest import MANIFEST

    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} is no sheet's name: sheets end in .png.")
    check_writable(path)
    if not path.exists():
        return
    manifest = path.parent / MANIFEST
    if manifest.is_file() and any(unit["file"] == path.name for unit in readable_manifest(manifest)["units"]):
        raise FileExistsError(f"{path} has the pictures of the folder themselves: name another file with -o.")
    if not overwrite and not _is_sheet(path):
        raise FileExistsError(
            f"{path} exists, and is not an earlier sheet: name another file with -o, or pass --overwrite to replace it."
        )


def _is_sheet(path: Path) -> bool:
    from lucid_port.misc.io.pictures import read_picture
    from lucid_port.optvis.many.contact_sheet import SOFTWARE

    try:
        return read_picture(path).info.get("Software") == SOFTWARE
    except OSError:
        return False
