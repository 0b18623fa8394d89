"""Reading of bytes from paths and URLs, as in Lucid's `misc.io.reading`; `load` reads files by their extension."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

from converters import checks
from converters.paths import naming_file
from converters.signatures import checked
from lucid_port.misc.cache import cache_folder
from lucid_port.misc.io.arguments import path_name

__all__ = ["local_cache_path", "read", "read_handle"]

MOST_CHARACTERS = 200
"""Characters of a name in the cache."""


@checked
def read(
    url: str | os.PathLike[str],
    encoding: str | None = None,
    cache: bool | Literal["purge"] | None = None,
    mode: str = "rb",
) -> Any:
    """Reads a file or URL.

    Args:
        url: path, or http(s) URL; relative paths are joined to the current scopes.
        encoding: encoding of text; None for bytes.
        cache: see `read_handle`.
        mode: "rb" for bytes; "r" for text, in UTF-8 by default.

    Returns:
        Bytes, or text.

    Raises:
        OSError, ValueError: as for `read_handle`.
        UnicodeDecodeError: the text has another encoding.

    Example:
        >>> import tempfile
        >>> from lucid_port.misc.io import io_scope
        >>> from lucid_port.misc.io.writing import write
        >>> with tempfile.TemporaryDirectory() as folder, io_scope(folder):
        ...     write(b"mixed4a", "layers/names.txt")
        ...     read("layers/names.txt"), read("layers/names.txt", encoding="utf-8")
        (b'mixed4a', 'mixed4a')
    """
    with read_handle(url, cache, "rb") as handle:
        data: bytes = handle.read()
    is_text = encoding is not None or "b" not in _checked_mode(mode)
    return data.decode(encoding or "utf-8") if is_text else data


@contextlib.contextmanager
@checked
def read_handle(
    url: str | os.PathLike[str], cache: bool | Literal["purge"] | None = None, mode: str = "rb"
) -> Iterator[IO[Any]]:
    """A context with an open file, or the open content of a URL.

    Args:
        url: path, or http(s) URL; relative paths are joined to the current scopes.
        cache: whether to keep the content of a URL in `local_cache_path(url)`, and to read it from there the next time;
            None means True. "purge" downloads it again. Files are not copied.
        mode: "rb", or "r" for text in UTF-8.

    Raises:
        FileNotFoundError: the file does not exist.
        OSError: the file or URL cannot be read.
        ValueError: the URL is neither http nor https, or `mode` is not for reading.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "names.txt")
        ...     _ = path.write_text("mixed4a")
        ...     with read_handle(path, mode="r") as handle:
        ...         handle.read()
        'mixed4a'
    """
    encoding = None if "b" in _checked_mode(mode) else "utf-8"
    name = path_name(url)
    if not name.startswith(("http://", "https://")):
        if "://" in name:
            raise ValueError(f"{name} is a URL that cannot be read: only http and https are supported.")
        with naming_file(name), open(name, mode, encoding=encoding) as file:
            yield file
        return
    from lucid_port.misc import downloads  # imported on use, because importing requests is slow

    kept = Path(local_cache_path(name))
    if cache == "purge":
        kept.unlink(missing_ok=True)
    if cache is False:
        content = io.BytesIO(downloads.read(name))
        yield content if encoding is None else io.TextIOWrapper(content, encoding)
        return
    with open(downloads.retrieve(name, None, kept.parent, kept.name), mode, encoding=encoding) as file:
        yield file


def _checked_mode(mode: str) -> str:
    return checks.choice(mode, "mode", ("rb", "r", "rt"))


@checked
def local_cache_path(remote_url: str) -> str:
    """Returns the path under which the content of a URL is kept.

    The file's name is that of Lucid. The folder is `lucid_cache` in the folder of downloads, not in the folder for
    temporary files, which all users of a machine share.

    Example:
        >>> os.path.basename(local_cache_path("https://example.org/dog.png"))
        'https___example_org_dog_png'
    """
    name = re.sub("[^a-zA-Z0-9]", "_", remote_url)
    if len(name) > MOST_CHARACTERS:
        digest = hashlib.sha256(name.encode()).hexdigest()
        name = f"{name[: MOST_CHARACTERS - len(digest) - 1]}-{digest}"
    return str(cache_folder() / "lucid_cache" / name)
