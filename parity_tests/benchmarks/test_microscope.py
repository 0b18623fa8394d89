"""`microscope.py`: its table is that of the documentation, and its measurements can fail."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lucid_port.microscope.examples import QUANTILES, Chosen, Examples
from parity_tests.microscope.site.made_up import LAYERS, make_data

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "microscope.json"
PAGE = ROOT / "docs" / "microscope.md"


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return lambda name: importlib.import_module(name)


def test_the_table_of_the_documentation_is_that_of_the_results(benchmark_module):
    results = json.loads(RESULTS.read_text())
    assert benchmark_module("microscope").markdown(results) in PAGE.read_text(encoding="utf-8")


def test_every_section_has_rows_and_conditions(benchmark_module):
    rows = benchmark_module("microscope").ROWS
    for name, section in json.loads(RESULTS.read_text()).items():
        assert rows[name.partition(" ")[0]](section["figures"])
        assert section["machine"]["commit"]
        assert section["method"]


def sorted_examples(values: np.ndarray, places: np.ndarray) -> Examples:
    """Examples by Python's sort of (value, number)."""
    numbers = range(len(values))

    def chosen(rows: list[list[int]]) -> Chosen:
        found = np.array(rows, np.int32)
        units = np.arange(len(found))[:, None]
        return Chosen(found, values[found, units], places[found, units].astype(np.uint32))

    def ranked(unit: int, sign: int, dtype: type = np.float32) -> list[int]:
        return sorted(numbers, key=lambda n: (sign * float(values[n, unit].astype(dtype)), n))

    units, last = range(values.shape[1]), len(values) - 1
    ranks = {q: int(np.rint(q / 100 * last)) for q in QUANTILES}
    rising = [ranked(unit, 1, np.float16) for unit in units]
    return Examples(
        chosen([ranked(unit, -1)[:12] for unit in units]),
        chosen([ranked(unit, 1)[:5] for unit in units]),
        {q: chosen([[order[rank], order[rank - 1]] for order in rising]) for q, rank in ranks.items()},
        np.zeros(values.shape[1], np.int32),
    )


def test_brute_force_finds_examples_that_are_wrong(benchmark_module):
    wrong_units = benchmark_module("microscope_passes").wrong_units
    draws = np.random.default_rng(0)
    values = draws.integers(0, 30, (100, 7)).astype(np.float32)
    places = draws.integers(0, 49, values.shape)
    found = sorted_examples(values, places)
    assert wrong_units(found, values, places) == 0
    found.top.numbers[3, [10, 11]] = found.top.numbers[3, [11, 10]]
    found.bottom.places[5, 0] += 1
    found.quantiles[50.0].values[6, 1] += 0.5
    assert wrong_units(found, values, places) == 3


def test_every_file_of_a_site_belongs_to_a_part(benchmark_module, tmp_path):
    pages = benchmark_module("microscope_pages")
    places = make_data(tmp_path, LAYERS[:1], pictures=60)
    found = pages.files_of(tmp_path)
    layer = LAYERS[0].name
    assert found["crops"] == sum(path.stat().st_size for path in places.crops(layer, 0).parent.iterdir())
    assert found["arrays"] == sum(places.array(layer, part).stat().st_size for part in ("max", "mean", "place"))
    assert found["whole pictures"] == sum(path.stat().st_size for path in places.original(0).parent.iterdir())
    assert sum(found.values()) == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


def test_a_browser_that_reports_nothing_is_refused(benchmark_module):
    check = benchmark_module("microscope_pages")._check_control
    good = {"console": ["warn: control"], "failed": ["missing.png"]}
    check([good, good], "a browser")
    for bad in ({**good, "console": []}, {**good, "failed": []}):
        with pytest.raises(RuntimeError, match="reports no messages or no failed requests"):
            check([good, bad], "a browser")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["site", "--layers", "conv2d0", "--techniques", "channel"],
        ["renders", "--units", "2", "--batch", "2", "--rounds", "2"],
        ["examples", "--model", "TinyInceptionV1", "--layers", "mixed3a", "--pictures", "40", "--rounds", "2"],
        ["exact", "--pictures", "600"],
        ["memory", "--few", "100", "--many", "200", "--narrow", "4", "--wide", "8"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_writes_its_section(arguments: list[str], tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    output.write_text(json.dumps({"other": {}}))
    command = [sys.executable, str(ROOT / "benchmarks" / "microscope.py"), *arguments, "--output", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    found = json.loads(output.read_text())
    names = list(found)
    assert names[0] == "other"
    assert names[1].startswith(arguments[0])
