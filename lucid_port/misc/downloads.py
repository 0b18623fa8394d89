"""Downloads files over HTTP with pooch. No other module connects to a server."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import requests
import urllib3

from converters.atomic import partial_folder
from lucid_port.misc.cache import cache_folder
from lucid_port.misc.offline import check_online
from lucid_port.misc.progress import is_watched, progress_bar

with warnings.catch_warnings():
    # In a notebook without ipywidgets, tqdm, which pooch imports, warns that bars will be plain text.
    warnings.filterwarnings("ignore", "IProgress not found")
    import pooch

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["DownloadError", "cache_folder", "read", "retrieve"]

TIMEOUT = 30.0
"""Seconds to wait for a connection, and for the next bytes of an answer."""


class DownloadError(OSError):
    """A file could not be downloaded.

    Args:
        url: address of the file.
        reason: why it could not be read, without a full stop.
        reached: whether a server answered.
    """

    def __init__(self, url: str, reason: str, reached: bool) -> None:
        super().__init__(f"{url} cannot be read: {reason}.")
        self.url, self.reason, self.reached = url, reason, reached


def retrieve(url: str, known_hash: str | None, folder: Path, name: str | None = None, progress: bool = False) -> Path:
    """Downloads a file into a folder, unless the folder has it.

    The file gets its final name only after it is complete and its hash was checked.

    Args:
        url: http or https address.
        known_hash: `algorithm:digest`, such as `sha256:...`; None accepts any content.
        folder: created if it is missing, and removed if the download fails and it is empty.
        name: name of the file in the folder; by default made from the address.
        progress: whether to show a progress bar on a terminal or in a notebook.

    Returns:
        Path of the file.

    Raises:
        DownloadError: the server cannot be reached, is silent, or does not have the file.
        OSError: the folder cannot be written to, or the network is not used (`lucid_port.misc.offline`).
        ValueError: the file has another hash.
    """
    target = folder / (name or pooch.utils.unique_file_name(url))
    if target.is_file() and pooch.hashes.hash_matches(str(target), known_hash):
        return target
    check_online(url)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with partial_folder(target) as partial, _one_sentence(url), _bar(progress) as bar:
            pooch.get_logger().info("Downloading data from '%s' to file '%s'.", url, target)
            file = partial / target.name
            pooch.HTTPDownloader(timeout=TIMEOUT, progressbar=bar)(url, str(file), None)
            pooch.hashes.hash_matches(str(file), known_hash, strict=True, source=target.name)
            os.replace(file, target)
        return target
    except BaseException:
        with contextlib.suppress(OSError):  # the folder holds other files, or does not exist
            folder.rmdir()
        raise


def read(url: str) -> bytes:
    """Returns the content of a file at an http or https address; no file is written.

    Raises:
        DownloadError: the server cannot be reached, is silent, or does not have the file.
    """
    content = io.BytesIO()
    with _one_sentence(url):
        pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=2**16)(url, content, None)
    return content.getvalue()


@contextlib.contextmanager
def _bar(shown: bool) -> Iterator[tqdm | bool]:
    """A bar for pooch, which sets its total; it appears with the first bytes. False if none is shown."""
    if not (shown and is_watched()):
        yield False
        return
    bar = progress_bar(1, unit="B", scale=True, delay=1e-3)
    try:
        yield bar
    finally:
        bar.close()


@contextlib.contextmanager
def _one_sentence(url: str) -> Iterator[None]:
    try:
        yield
    except requests.RequestException as error:
        reached = not isinstance(error, (requests.ConnectionError, requests.Timeout))
        raise DownloadError(url, _reason(error), reached) from error


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}".rstrip()
    silent = isinstance(next(iter(error.args), None), urllib3.exceptions.ReadTimeoutError)  # while the body was read
    if silent or isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:g} seconds"
    if isinstance(error, requests.ConnectionError):
        return f"not reached: {type(error).__name__}"
    return " ".join(str(error).split()).rstrip(".")
