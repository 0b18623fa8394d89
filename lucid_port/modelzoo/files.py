"""Finds a model's file: in the folders a user names, in the cache, or at its public address."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pooch
import requests

from converters.atomic import write_bytes
from lucid_port.modelzoo.catalogue import Download, Entry

SEARCH_PATH = "LUCID_PORT_MODELZOO"


def search_folders() -> list[Path]:
    """The folders of the environment variable LUCID_PORT_MODELZOO, in order."""
    return [Path(folder).expanduser() for folder in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if folder]


def cache_folder() -> Path:
    """Where downloads are kept; LUCID_PORT_CACHE names another place."""
    return Path(os.environ.get("LUCID_PORT_CACHE") or pooch.os_cache("lucid_port"))


def find_local(names: Sequence[str]) -> Path | None:
    """The first file of one of these names in the search path or the cache."""
    for folder in [*search_folders(), cache_folder()]:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def whereabouts(entry: Entry) -> str:
    """Where a model's graph is on this machine, or how it comes here."""
    if entry.generator is not None:
        return "made when asked for"
    found = find_local(_local_names(entry, entry.files))
    if found is not None:
        return str(found)
    return "not here; downloaded when asked for" if entry.graph else "not here; see the error that using it gives"


def _local_names(entry: Entry, names: Sequence[str]) -> list[str]:
    """What a file may be called; downloads lie in a folder of their model's, as several have the same name."""
    return [*names, *(f"{entry.name}/{name}" for name in names)]


def find_graph(entry: Entry) -> Path:
    """A model's frozen graph.

    Looked for in the folders of LUCID_PORT_MODELZOO, then in the cache, then at the public address, whose file is
    checked by its hash and kept in the cache.

    Raises:
        FileNotFoundError: none of them has it; the error says what was tried and where to put the file by hand.
    """
    return _find(entry, f"the graph of {entry.name}", entry.files, entry.graph, entry.elsewhere)


def find_labels(entry: Entry) -> Path:
    """A model's label file, found as its graph is.

    Raises:
        FileNotFoundError: nothing has it.
    """
    return _find(entry, f"the labels of {entry.name}", entry.label_files, entry.labels, ())


def _find(entry: Entry, what: str, names: Sequence[str], download: Download | None, elsewhere: Sequence[str]) -> Path:
    found = find_local(_local_names(entry, names))
    if found is not None:
        return found
    failure = "no public address with a known hash"
    if download is not None:
        try:
            return fetch(download, cache_folder() / entry.name)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            failure = f"{download.url} ({_reason(error)})"
    raise FileNotFoundError(" ".join(_not_found(what, names, download, elsewhere, failure)))


def _reason(error: Exception) -> str:
    """Why a download failed, without the address again and again."""
    if isinstance(error, ConnectionError | requests.RequestException):
        return f"not reached: {type(error).__name__}"
    return " ".join(str(error).split())


def _not_found(
    what: str, names: Sequence[str], download: Download | None, elsewhere: Sequence[str], failure: str
) -> Iterator[str]:
    folders = [str(folder) for folder in search_folders()] or [f"({SEARCH_PATH} is not set)"]
    yield f"Could not find {what}. Tried: the folders {', '.join(folders)}; the cache {cache_folder()}; {failure}."
    if download is not None:
        part = f", which holds {download.member}" if download.member else ""
        yield f"By hand: download {download.url}{part} (SHA-256 {download.sha256}),"
    elif elsewhere:
        yield f"It was published at {elsewhere[0]} (hash unknown). By hand: get the file,"
    else:
        yield "By hand: get the file,"
    yield f"put it as {names[0]} into a folder, and name that folder in {SEARCH_PATH}."


def fetch(download: Download, folder: Path) -> Path:
    """Downloads a file, checks its hash, and takes it out of its archive.

    The file appears under its name only when it is whole.

    Args:
        download: what to get.
        folder: where it is kept; created where it is missing.

    Raises:
        OSError: the address or the folder cannot be reached (requests' errors are OSErrors).
        ValueError: the file has another hash than expected, or lacks the wanted member.
    """
    archive = pooch.retrieve(
        download.url, f"sha256:{download.sha256}", download.url.rsplit("/", 1)[-1], folder, progressbar=True
    )
    if download.member is None:
        return Path(archive)
    target = folder / download.member
    with zipfile.ZipFile(archive) as opened:
        if download.member not in opened.namelist():
            raise ValueError(f"{archive} holds no {download.member}.")
        data = opened.read(download.member)
    if hashlib.sha256(data).hexdigest() != download.member_sha256:
        raise ValueError(f"{download.member} in {archive} is not the expected file: its SHA-256 differs.")
    return write_bytes(target, data)
