"""docs/notebooks/tutorial.ipynb, run in a kernel of its own from the first cell to the last, by `pytest -m slow`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import filelock
import nbformat
import numpy as np
import pytest

from parity_tests.notebooks.display import pictures_in
from parity_tests.notebooks.kernel import execute

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "tutorial.ipynb"

PICTURES = {
    "by-name": 1,
    "by-objective": 1,
    "sum": 1,
    "own-objective": 1,
    "strong": 3,
    "parameterizations": 3,
    "many": 12,
    "show-many": 3,
    "rerender": 2,
    "own-loop": 1,
    "draw": 28,
    "favourites": 6,
    "map": 3,
}
"""How many pictures are below each cell; no other has any."""


@pytest.fixture(scope="module")
def written() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="session")
def executed(tmp_path_factory, worker_id) -> dict[str, Any]:
    """The cells after they ran, by name. They run once, whatever the number of pytest-xdist's workers."""
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    path = shared / "tutorial.ipynb"
    with filelock.FileLock(f"{path}.lock"):
        if not path.exists():
            notebook = execute(nbformat.read(NOTEBOOK, as_version=4), tmp_path_factory.mktemp("notebook"))
            nbformat.write(notebook, path)
    notebook = nbformat.read(path, as_version=4)
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def printed(cell: Any, stream: str = "stdout") -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == stream)


def html(cell: Any) -> str:
    return "".join(output.data.get("text/html", "") for output in cell.outputs if "data" in output)


def test_it_is_kept_without_outputs(written):
    code = [cell for cell in written.cells if cell.cell_type == "code"]
    assert len(code) > 15
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_every_cell_runs_and_none_complains(executed):
    assert [cell.execution_count for cell in executed.values()] == list(range(1, len(executed) + 1))
    assert {name: printed(cell, "stderr") for name, cell in executed.items() if printed(cell, "stderr")} == {}


@pytest.mark.slow
def test_the_cells_show_their_pictures(executed):
    counts = {name: len(pictures_in(html(cell))) for name, cell in executed.items()}
    assert {name: count for name, count in counts.items() if count} == PICTURES


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_show_something(executed, name):
    for picture in pictures_in(html(executed[name])):
        assert picture.std() > 12.75  # a twentieth of the range; the noise from which renders start has 0.7


@pytest.mark.slow
def test_the_live_view_ends_with_the_last_update(executed):
    assert "64 of 64 updates" in html(executed["by-name"])
    assert "128 of 128 updates" in html(executed["own-loop"])
    assert "12 of 12 units" in html(executed["many"])


@pytest.mark.slow
def test_transforms_take_away_the_finest_detail(executed):
    """What the section on transforms says: less of the picture changes from a pixel to the next."""
    none, jitter, strong = (roughness(picture) for picture in pictures_in(html(executed["strong"])))
    assert none > jitter > strong


def roughness(picture: np.ndarray) -> float:
    """The share of neighbouring pixels' differences in a picture's variation."""
    values = picture.astype(float)
    return float(np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean()) / values.std()


@pytest.mark.slow
def test_a_saved_picture_is_made_again(executed):
    assert printed(executed["rerender"]) == "the same, bit for bit\n"
    first, again = pictures_in(html(executed["rerender"]))
    assert np.array_equal(first, again)


@pytest.mark.slow
def test_the_network_recognises_what_it_rendered_and_what_was_drawn(executed):
    assert "The network says: spiral" in printed(executed["own-loop"])
    assert int(printed(executed["activations-of"]).partition("%")[0]) >= 90
