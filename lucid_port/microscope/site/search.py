"""The data that the search of a site reads: a classic script, as pages that are files cannot fetch JSON."""

from __future__ import annotations

import json
from typing import Any

from lucid_port.microscope.site.content import LayerPage
from lucid_port.microscope.site.read import Reader

__all__ = ["as_script", "search_script", "units_script"]


def as_script(name: str, data: Any) -> str:
    r"""Returns a script that assigns data to a global.

    Example:
        >>> as_script("lucidSearch", ["</script>"])
        'window.lucidSearch=["<\\/script>"];\n'
    """
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("</", "<\\/")
    return f"window.{name}={text};\n"


def search_script(reader: Reader) -> str:
    """Returns the names, classes, titles and notes of all layers and units.

    Layers are [name, folder, title and note, units]; units are [number, index of the class or -1, title, note], of
    which ends that are empty are left out.
    """
    labels = list(dict.fromkeys(row["best_class"] for row in reader.rows.values() if row["best_class"]))
    index = {label: at for at, label in enumerate(labels)}
    layers = []
    for name, entry in reader.entries.items():
        units = [_unit(reader, name, unit, index) for unit in entry["units"]]
        words = " ".join(reader.notes.get(name, {}).values())
        layers.append([name, entry["folder"], words, units])
    return as_script("lucidSearch", {"labels": labels, "layers": layers})


def _unit(reader: Reader, layer: str, unit: int, index: dict[str, int]) -> list[Any]:
    best = reader.rows.get((layer, unit), {}).get("best_class")
    name = f"{layer}:{unit}"
    found = [unit, index.get(best or "", -1), reader.text(name, "title"), reader.text(name, "note")]
    while len(found) > 1 and found[-1] in ("", -1):
        found.pop()
    return found


def units_script(page: LayerPage) -> str:
    """Returns the numbers by which the page of a layer sorts its units.

    Rows are [unit, maximum, sparseness, selectivity, place in the order of similarity], with null for unknown numbers.
    """
    rows = [
        [unit.unit, *(_rounded(one) for one in (unit.maximum, unit.sparseness, unit.selectivity)), unit.order]
        for unit in page.units
    ]
    return as_script("lucidUnits", rows)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
