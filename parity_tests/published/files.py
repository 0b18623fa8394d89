"""Finds the published files: in a folder that a user names, in the cache, or at their public address.

`files.json` has the name, SHA-256 and source of each file. The published files are not part of this project.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from converters.atomic import write_bytes
from lucid_port.misc import downloads
from lucid_port.misc.downloads import cache_folder
from parity_tests.published import rebuild

SEARCH_PATH = "LUCID_PORT_PUBLISHED"
MANIFEST = "manifest.json"
TABLE = Path(__file__).with_name("files.json")
RAW = "https://raw.githubusercontent.com"


class NotHere(Exception):
    """A published file that is not on this machine and cannot be fetched; the message gives instructions."""


@dataclass(frozen=True)
class Source:
    """A file at its public address, from `repository` at `commit`; `sha256` is the hash of the file there, if known."""

    repository: str
    commit: str
    path: str
    sha256: str | None = None

    @property
    def url(self) -> str:
        return f"{RAW}/{self.repository}/{self.commit}/{self.path}"


@dataclass(frozen=True)
class Known:
    """A published file.

    Attributes:
        name: file name in the folder.
        sha256: hash of the file in the folder.
        kind: `verbatim` (the bytes at the address), `rebuilt` (made from the address by `rebuild`), or `folder` (has to
            be put into the folder by hand).
        source: its origin.
        how: for `rebuilt` files, the function of `rebuild`.
        members: name -> source, for archives and for files that are rebuilt from several others.
        digest: digest of a rebuilt file's content (`rebuild.digest`).
        origin: for files of the folder, their origin.
    """

    name: str
    sha256: str | None
    kind: str
    source: Source | None = None
    how: str = ""
    members: Mapping[str, Source] = field(default_factory=dict)
    origin: str = ""
    digest: str = ""


@cache
def table() -> Mapping[str, Known]:
    """Name -> entry of each published file."""
    rows = json.loads(TABLE.read_text())
    return {row["name"]: _known(row) for row in rows}


def _known(row: Mapping[str, Any]) -> Known:
    source = Source(**row["source"]) if "source" in row else None
    members = {name: Source(**one) for name, one in row.get("members", {}).items()}
    members.update(_numbered(**row["numbered"]) if "numbered" in row else {})
    said = {name: row[name] for name in ("how", "origin", "digest") if name in row}
    return Known(row["name"], row.get("sha256"), row["kind"], source, members=members, **said)


def _numbered(count: int, path: str, **place: str) -> dict[str, Source]:
    return {str(number): Source(**place, path=path.format(number=number)) for number in range(count)}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def folders() -> list[Path]:
    """The folders of the environment variable LUCID_PORT_PUBLISHED, in order, and the cache."""
    named = [Path(one).expanduser() for one in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if one]
    return [*named, cache_folder() / "published"]


class Published:
    """The published files, read by their names.

    Args:
        folder: a folder that has them all, whatever their hashes: recomputed ones, for the tests of the tests. By
            default the official ones, wherever they are found; their hashes are checked.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = None if folder is None else Path(folder)

    def path(self, name: str) -> Path:
        """A file.

        Raises:
            NotHere: it is not in the folder, or cannot be had.
            ValueError: it is not the file that was published.
        """
        if self.folder is None:
            return _official(table()[name])
        path = self.folder / name
        if not path.is_file():
            raise NotHere(f"{name} was not recomputed in {self.folder}.")
        return path

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text())

    def array(self, name: str) -> np.ndarray:
        return np.load(self.path(name))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.path(name)) as opened:
            return dict(opened)

    def picture(self, name: str, member: str | None = None) -> np.ndarray:
        """Bytes of a picture, [H, W] or [H, W, C]; of an archive's member, where one is named."""
        with Image.open(self.path(name) if member is None else io.BytesIO(self.member(name, member))) as opened:
            return np.asarray(opened)

    def member(self, name: str, member: str) -> bytes:
        """A file of an archive.

        Raises:
            NotHere: neither the archive nor the file at its own address can be had.
        """
        try:
            archive = self.path(name)
        except NotHere:
            source = None if self.folder is not None else table()[name].members.get(member)
            if source is None:
                raise
            return _fetched(source).read_bytes()
        with tarfile.open(archive) as opened:
            found = opened.extractfile(member) if member in opened.getnames() else None
            if found is None:
                raise NotHere(f"{archive} holds no {member}.")
            return found.read()


def _in_folder(folder: Path, known: Known) -> Path | None:
    """A file of a folder: by its name, or by the hash that the folder's manifest.json gives for another name."""
    if (folder / known.name).is_file():
        return folder / known.name
    name = _manifest(folder).get(known.sha256)
    return folder / name if name is not None and (folder / name).is_file() else None


def _manifest(folder: Path) -> dict[str | None, str]:
    """SHA-256 -> name, of the files that a folder's manifest.json lists; empty if there is none.

    Raises:
        ValueError: the manifest does not list files by name and hash.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        return {row["sha256"]: row["file"] for row in json.loads(path.read_text(encoding="utf-8"))["files"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not list `files`, each with `file` and `sha256`.") from error


def _official(known: Known) -> Path:
    for folder in folders():
        path = _in_folder(folder, known)
        if path is not None:
            return _checked(path, known)
    if known.kind == "rebuilt":
        return _rebuilt(known)
    if known.kind == "folder" or known.source is None:
        made_from = f": it was made from {known.origin}" if known.origin else ""
        raise NotHere(f"{known.name} is not in a folder named in {SEARCH_PATH}, and cannot be fetched{made_from}.")
    return _fetched(replace(known.source, sha256=known.sha256))


def _rebuilt(known: Known) -> Path:
    """Rebuilds a file, checks that its content equals the published one's, and stores it in the cache."""
    sources = dict(known.members) or {known.name: known.source}
    data = {name: _fetched(source).read_bytes() for name, source in sources.items() if source is not None}
    made = rebuild.REBUILDERS[known.how](data, known.digest)
    if rebuild.digest(known.name, made) != known.digest:
        raise ValueError(f"{known.name}, rebuilt by {known.how}, does not say what the published file says.")
    path = cache_folder() / "published" / known.name
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bytes(path, made)


def _checked(path: Path, known: Known) -> Path:
    data = path.read_bytes()
    same = known.sha256 is None or sha256(data) == known.sha256
    if not same and known.kind == "rebuilt":
        same = rebuild.digest(known.name, data) == known.digest
    if not same:
        raise ValueError(f"{path} is not the published file: its SHA-256 is not {known.sha256}.")
    return path


_UNREACHED: list[str] = []  # why the first address could not be reached; later downloads then fail at once


def _fetched(source: Source) -> Path:
    if _UNREACHED:
        raise NotHere(_missing(source, _UNREACHED[0]))
    expected = None if source.sha256 is None else f"sha256:{source.sha256}"  # a commit's path is one file for ever
    try:
        return downloads.retrieve(source.url, expected, cache_folder() / "published" / "sources")
    except downloads.DownloadError as error:
        if not error.reached:
            _UNREACHED.append(error.reason)
        raise NotHere(_missing(source, error.reason)) from error


def _missing(source: Source, reason: str) -> str:
    return f"{_name(source)} is not in a folder named in {SEARCH_PATH}, and {source.url} could not be had ({reason})."


def _name(source: Source) -> str:
    return source.path.rsplit("/", 1)[-1]


class Recorder:
    """Writes files with the published files' names and formats, computed from another network."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.published = Published(folder)

    def json(self, name: str, value: Any) -> None:
        (self.folder / name).write_text(json.dumps(value))

    def array(self, name: str, value: np.ndarray) -> None:
        np.save(self.folder / name, value)

    def arrays(self, name: str, values: Mapping[str, np.ndarray]) -> None:
        np.savez(self.folder / name, **values)  # type: ignore[arg-type]

    def picture(self, name: str, value: np.ndarray) -> None:
        Image.fromarray(value).save(self.folder / name)

    def archive(self, name: str, pictures: Mapping[str, np.ndarray]) -> None:
        """A tar of PNGs."""
        with tarfile.open(self.folder / name, "w") as opened:
            for member, value in pictures.items():
                handle = io.BytesIO()
                Image.fromarray(value).save(handle, "PNG")
                info = tarfile.TarInfo(member)
                info.size = handle.tell()
                opened.addfile(info, io.BytesIO(handle.getvalue()))
