"""Finds a model's file in the user's folders, in the cache, or at its public URL."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from converters.atomic import write_bytes
from converters.paths import MODEL_FILE
from lucid_port.misc.cache import cache_folder
from lucid_port.modelzoo.catalogue import Download, Entry

SEARCH_PATH = "LUCID_PORT_MODELZOO"
PACKAGE_DATA = Path(__file__).with_name("data")
PACKAGE_REFERENCES = PACKAGE_DATA / "references"
"""Folder of TensorFlow's values for the models that are part of this package."""

# Kinds of download that can be opened directly. Users convert files of the other kinds.
READABLE = ("graph", "caffemodel")


def search_folders() -> list[Path]:
    """Returns the folders of the environment variable LUCID_PORT_MODELZOO, in order."""
    return [Path(folder).expanduser() for folder in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if folder]


def find_local(names: Sequence[str]) -> Path | None:
    """Returns the first file, or folder of a saved network, with one of these names in the search path or the cache."""
    for folder in [*search_folders(), cache_folder()]:
        for name in names:
            path = folder / name
            if path.is_file() or (path / MODEL_FILE).is_file():
                return path
    return None


def local_graph(entry: Entry) -> Path | None:
    """Returns a model's file on this machine, or None.

    Files may also be in a folder with the model's name, as downloads are, because files of several models have the same
    name. A folder with the model's name may also be a saved network.
    """
    if entry.package_graph is not None:
        return PACKAGE_DATA / entry.package_graph
    return find_local([*entry.files, *(f"{entry.name}/{name}" for name in entry.files), entry.name])


def find_graph(entry: Entry) -> Path:
    """Finds a model's frozen graph, Caffe weights or saved network.

    The search order is: the folders of LUCID_PORT_MODELZOO, the cache, public URLs with a known hash. Downloads are
    checked against the hash and kept in the cache.

    Raises:
        FileNotFoundError: the file was not found; the error lists the places and how to get the file manually.
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
    """Returns the downloads that `find_graph` uses: their hash is known, and their kind can be opened directly."""
    return [download for download in entry.downloads if download.kind in READABLE and download.hash]


def _reason(error: Exception) -> str:
    """Returns the reason why a download failed, without repeating the address."""
    from lucid_port.misc.downloads import DownloadError

    return error.reason if isinstance(error, DownloadError) else " ".join(str(error).split())


def _not_found(entry: Entry, failures: Sequence[str]) -> Iterator[str]:
    folders = [str(folder) for folder in search_folders()] or [f"({SEARCH_PATH} is not set)"]
    tried = [f"the folders {', '.join(folders)}", f"the cache {cache_folder()}", *failures]
    if not failures:
        tried.append("no public address with a known hash")
    yield f"Could not find the network of {entry.name}. Tried: {'; '.join(tried)}."
    yield f"By hand: {what_to_do(entry)}, and name that folder in {SEARCH_PATH}."


_INSTRUCTIONS: Mapping[str, str] = {
    "graph": "put it as {file} into a folder",
    "caffemodel": "put it as {name} into a folder, where it is read as it is "
    "(or keep what `lucid-port convert {name} -o {model}` writes in that folder)",
    "checkpoint": "variables without a graph; with TensorFlow 1.15, in research/slim of "
    "https://github.com/tensorflow/models, freeze them: `{commands}`; put {file} into a folder",
    "pytorch": "PyTorch's weights (no frozen graph is known to be public); load them with their own package and wrap "
    "the image network with lucid_port.modelzoo.from_torch; or put a frozen graph that you have as {file} into a "
    "folder",
}
"""Kind of download -> how to make a file that can be opened."""


def what_to_do(entry: Entry) -> str:
    """Describes how to get a model's file manually. The sentence ends with the folder for the file."""
    download = next(iter([*checked_downloads(entry), *entry.downloads]), None)
    if download is None:
        return "get the file, put it into a folder"
    known = _readable_hash(download.hash) if download.hash else "hash unknown"
    inside = f"; {download.member} is in it" if download.member else ""
    instructions = _INSTRUCTIONS[download.kind].format(
        file=next(iter(entry.files), ""),
        name=download.file_name,
        model=entry.name,
        commands=" && ".join(freezing_commands(entry, download.file_name)) if entry.freezing else "",
    )
    return f"download {download.url} ({known}{inside}), {instructions}"


def _readable_hash(text: str) -> str:
    algorithm, digest = text.split(":")
    return f"{algorithm.upper().replace('SHA', 'SHA-')} {digest}"


def freezing_commands(entry: Entry, checkpoint: str) -> list[str]:
    """Returns the two commands that freeze a TF-Slim checkpoint in the way that Lucid did.

    Args:
        entry: a model with `freezing`. Its last layer is the output of the graph.
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

    The file gets its final name only after it is complete.

    Args:
        download: the file to download; `hash` is required.
        folder: folder to save to; created if it is missing.

    Raises:
        OSError: the address cannot be read, or the folder cannot be written to.
        ValueError: the download has no hash, its hash differs from the file's, or the archive lacks `download.member`.
        zipfile.BadZipFile, tarfile.TarError: the file is not a valid archive.
    """
    from lucid_port.misc import downloads  # on use, because its libraries are large

    if not download.hash:
        raise ValueError(f"The download {download.url} has no hash, so its content cannot be checked.")
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
    """Returns the content of one file of a zip or tar archive; no file is written.

    Raises:
        ValueError: the archive does not contain the file.
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
