"""Credits and licences of photographs: `credits.toml` or `credits.csv` in the folder of the pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from converters.documents import read_toml
from converters.signatures import checked

__all__ = ["FIELDS", "read_credits"]

FIELDS = ("title", "author", "license", "source")
"""Parts of a credit."""

NAMES = ("credits.toml", "credits.csv")
PICTURE = "picture"
"""Column of `credits.csv` for the path of the picture."""


@checked
def read_credits(folder: Path, keys: Sequence[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    r"""Reads the credits beside pictures.

    A table of `credits.toml` has the path of a picture, relative to the folder, as its name; `credits.csv` has the path
    in the column `picture`. A name without folders stands for all pictures of this name, and `*` for those that no
    other line names.

    Args:
        folder: Folder of the pictures.
        keys: Their paths, relative to the folder.

    Returns:
        Path -> its credit, and the names that stand for no picture.

    Raises:
        ValueError: A file is damaged, or has unknown fields.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     _ = (Path(name) / "credits.csv").write_text("picture,author\na.jpg,A. Nother\n*,Anonymous\n")
        ...     read_credits(Path(name), ["cats/a.jpg", "b.jpg"])
        ({'cats/a.jpg': {'author': 'A. Nother'}, 'b.jpg': {'author': 'Anonymous'}}, [])
    """
    path = next((one for one in (folder / name for name in NAMES) if one.is_file()), None)
    if path is None:
        return {}, []
    lines = _toml(path) if path.suffix == ".toml" else _csv(path)
    found: dict[str, dict[str, str]] = {}
    unused = set(lines) - {"*"}
    for key in keys:
        name = next((one for one in (key, key.rpartition("/")[2], "*") if one in lines), None)
        if name is not None:
            found[key] = lines[name]
            unused.discard(name)
    return found, sorted(unused)


def _toml(path: Path) -> dict[str, dict[str, str]]:
    found = {}
    for name, fields in read_toml(path).items():
        if not isinstance(fields, dict):
            raise ValueError(f'{path}: {name!r} is no table; write ["{name}"] and below it author = "...".')
        found[name] = _credit(fields, f"{path}: {name!r}")
    return found


def _csv(path: Path) -> dict[str, dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not written in UTF-8: save it in this encoding.") from error
    rows = csv.DictReader(io.StringIO(text), restkey="")
    if PICTURE not in (rows.fieldnames or ()):
        raise ValueError(f"{path} has no column {PICTURE!r}: its first line names the columns.")
    found = {}
    for number, row in enumerate(rows, 2):
        name = row.pop(PICTURE)
        found[name] = _credit({key: value for key, value in row.items() if value}, f"{path}, line {number}")
    return found


def _credit(fields: Mapping[str, object], what: str) -> dict[str, str]:
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise ValueError(f"{what} has {unknown[0]!r}: a credit has {', '.join(FIELDS)}.")
    wrong = [name for name, value in fields.items() if not isinstance(value, str)]
    if wrong:
        raise ValueError(f"{what} has {wrong[0]!r} that is no text.")
    return {name: str(fields[name]) for name in FIELDS if name in fields}
