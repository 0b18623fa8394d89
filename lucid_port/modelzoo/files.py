"""Finds a model's file: in the folders a user names, in the cache, or at its public address."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from converters.atomic import write_bytes
from converters.program.storage import MODEL_FILE
from lucid_port.misc import downloads
from lucid_port.misc.downloads import cache_folder
from lucid_port.modelzoo.catalogue import Download, Entry

SEARCH_PATH = "LUCID_PORT_MODELZOO"
PACKAGE_DATA = Path(__file__).with_name("data")
PACKAGE_REFERENCES = PACKAGE_DATA / "references"
"""TensorFlow's values of the models that come with the package."""

# What opens as it is; of every other kind the user has to make one of these.
READABLE = ("graph", "caffemodel")


def search_folders() -> list[Path]:
    """The folders of the environment variable LUCID_PORT_MODELZOO, in order."""
    return [Path(folder).expanduser() for folder in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if folder]


def find_local(names: Sequence[str]) -> Path | None:
    """The first file, or folder of a saved network, of one of these names in the search path or the cache."""
    for folder in [*search_folders(), cache_folder()]:
        for name in names:
            path = folder / name
            if path.is_file() or (path / MODEL_FILE).is_file():
                return path
    return None


def local_graph(entry: Entry) -> Path | None:
    """A model's file on this machine, or None. A saved network counts, in a folder of the model's name.

    Downloads lie in a folder of their model's, as several have the same name.
    """
    if entry.package_graph is not None:
        return PACKAGE_DATA / entry.package_graph
    return find_local([*entry.files, *(f"{entry.name}/{name}" for name in entry.files), entry.name])


def find_graph(entry: Entry) -> Path:
    """A model's frozen graph, Caffe weights or saved network.

    Looked for in the folders of LUCID_PORT_MODELZOO, then in the cache, then at the public addresses that have a
    known hash, which is checked; what comes from there is kept in the cache.

    Raises:
        FileNotFoundError: none of them has it; the error says what was tried and how to get it by hand.
    """
    found = local_graph(entry)
    if found is not None:
        return found
    failures = []
    for download in checked_downloads(entry):
        try:
            return fetch(download, cache_folder() / entry.name)
        except (OSError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
            failures.append(f"{download.url} ({_reason(error)})")
    raise FileNotFoundError(" ".join(_not_found(entry, failures)))


def checked_downloads(entry: Entry) -> list[Download]:
    """The addresses from which a model is downloaded when it is asked for: their hash is known, and they open."""
    return [download for download in entry.downloads if download.kind in READABLE and download.hash]


def _reason(error: Exception) -> str:
    """Why a download failed, without the address again and again."""
    return error.reason if isinstance(error, downloads.DownloadError) else " ".join(str(error).split())


def _not_found(entry: Entry, failures: Sequence[str]) -> Iterator[str]:
    folders = [str(folder) for folder in search_folders()] or [f"({SEARCH_PATH} is not set)"]
    tried = [f"the folders {', '.join(folders)}", f"the cache {cache_folder()}", *failures]
    if not failures:
        tried.append("no public address with a known hash")
    yield f"Could not find the network of {entry.name}. Tried: {'; '.join(tried)}."
    yield f"By hand: {what_to_do(entry)}, and name that folder in {SEARCH_PATH}."


def what_to_do(entry: Entry) -> str:
    """How to get a model's file by hand; the sentence ends with a folder that the file is to be in."""
    download = next(iter(checked_downloads(entry)), None) or next(iter(entry.downloads), None)
    if download is None:
        return "get the file, put it into a folder"
    known = _readable_hash(download.hash) if download.hash else "hash unknown"
    inside = f"; {download.member} is in it" if download.member else ""
    return f"download {download.url} ({known}{inside}), {_INSTRUCTIONS[download.kind](entry, download)}"


def _readable_hash(text: str) -> str:
    algorithm, digest = text.split(":")
    return f"{algorithm.upper().replace('SHA', 'SHA-')} {digest}"


def _put_graph(entry: Entry, download: Download) -> str:
    return f"put it as {entry.files[0]} into a folder"


def _put_caffemodel(entry: Entry, download: Download) -> str:
    name = download.file_name
    return (
        f"put it as {name} into a folder, where it is read as it is "
        f"(or keep what `lucid-port convert {name} -o {entry.name}` writes in that folder)"
    )


def _freeze(entry: Entry, download: Download) -> str:
    commands = " && ".join(freezing_commands(entry, download.file_name))
    return (
        "variables without a graph; with TensorFlow 1.15, in research/slim of https://github.com/tensorflow/models, "
        f"freeze them: `{commands}`; put {entry.files[0]} into a folder"
    )


def _export_from_pytorch(entry: Entry, download: Download) -> str:
    return (
        "PyTorch's weights (no frozen graph is known to be public); load them with their own package and wrap the "
        "image network with lucid_port.modelzoo.from_torch; or put a frozen graph that you have as "
        f"{entry.files[0]} into a folder"
    )


_INSTRUCTIONS: Mapping[str, Callable[[Entry, Download], str]] = {
    "graph": _put_graph,
    "caffemodel": _put_caffemodel,
    "checkpoint": _freeze,
    "pytorch": _export_from_pytorch,
}


def freezing_commands(entry: Entry, checkpoint: str) -> list[str]:
    """The two commands that make a frozen graph of a TF-Slim checkpoint, as Lucid made its own.

    Args:
        entry: a model with `freezing`; its last layer is the graph's output.
        checkpoint: the checkpoint's file.

    Raises:
        ValueError: the catalogue does not say how the model is frozen.
    """
    if entry.freezing is None:
        raise ValueError(f"The catalogue does not say how {entry.name} is frozen.")
    offset = f" --labels_offset={entry.freezing.labels_offset}" if entry.freezing.labels_offset else ""
    return [
        f"python export_inference_graph.py --model_name={entry.freezing.network}{offset} --output_file=graph.pb",
        "python -m tensorflow.python.tools.freeze_graph --input_graph=graph.pb --input_binary=true "
        f"--input_checkpoint={checkpoint} --output_node_names={entry.layers[-1][0]} --output_graph={entry.files[0]}",
    ]


def fetch(download: Download, folder: Path) -> Path:
    """Downloads a file, checks its hash, and takes it out of its archive.

    The file appears under its name only when it is whole.

    Args:
        download: what to get; its hash is known.
        folder: where it is kept; created where it is missing.

    Raises:
        OSError: the address cannot be read, or the folder cannot be written to.
        ValueError: the file has another hash than expected, or lacks the wanted member; or no hash is known.
        zipfile.BadZipFile, tarfile.TarError: the file is not the archive that it should be.
    """
    if not download.hash:
        raise ValueError(f"Nothing says which file {download.url} should be.")
    name = download.url.rsplit("/", 1)[-1]
    archive = downloads.retrieve(download.url, download.hash, folder, name, progress=True)
    if download.member is None:
        return archive
    data = read_member(archive, download.member)
    if download.member_hash is not None:
        algorithm, expected = download.member_hash.split(":")
        if hashlib.new(algorithm, data).hexdigest() != expected:
            raise ValueError(f"{download.member} in {archive} is not the expected file: its hash differs.")
    return write_bytes(folder / download.file_name, data)


def read_member(archive: Path, member: str) -> bytes:
    """One file of a zip or tar archive; nothing is unpacked to disk.

    Raises:
        ValueError: the archive has no such file.
        zipfile.BadZipFile, tarfile.TarError: it is no archive.
    """
    data = _from_zip(archive, member) if archive.suffix == ".zip" else _from_tar(archive, member)
    if data is None:
        raise ValueError(f"{archive} holds no {member}.")
    return data


def _from_zip(archive: Path, member: str) -> bytes | None:
    with zipfile.ZipFile(archive) as opened:
        return opened.read(member) if member in opened.namelist() else None


def _from_tar(archive: Path, member: str) -> bytes | None:
    with tarfile.open(archive) as opened:
        for info in opened:
            if info.isfile() and info.name.removeprefix("./") == member:
                file = opened.extractfile(info)
                return None if file is None else file.read()
    return None
