"""The table of docs/models.md: `python -m parity_tests.modelzoo.page` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from lucid_port.modelzoo.catalogue import Download, Entry, catalogue
from lucid_port.modelzoo.files import READABLE

KINDS = {"graph": "graph", "caffemodel": "Caffe's weights", "checkpoint": "checkpoint", "pytorch": "PyTorch's weights"}
BUCKET = "https://storage.googleapis.com/modelzoo/"


def table() -> str:
    """One row for each of Lucid's models, in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "| model | layers | pixels | values | classes | published as |"
    yield "|---|---|---|---|---|---|"
    for entry in catalogue().values():
        if entry.family != "stand-in":
            yield f"| {' | '.join(_cells(entry))} |"


def _cells(entry: Entry) -> Iterator[str]:
    yield f"`{entry.name}`"
    yield str(len(entry.layers))
    yield str(entry.image_shape[0])
    low, high = entry.image_value_range
    yield "BGR less the mean" if entry.is_BGR else f"{low} to {high}"
    yield entry.labels or "none listed"
    public = [download for download in entry.downloads if not download.url.startswith(BUCKET)]
    yield "; ".join(map(_published, public)) or "Lucid's bucket alone"


def _published(download: Download) -> str:
    if not download.hash:
        return f"[{KINDS[download.kind]}]({download.url}), no hash known"
    fetched = ", downloaded" if download.kind in READABLE else ""
    return f"[{KINDS[download.kind]}]({download.url}), {download.hash.split(':')[0].upper()}{fetched}"


if __name__ == "__main__":
    print(table())
