"""`gpu.py` in its smallest form on a CPU, and those of its parts that need no GPU."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from converters.layers import Conv2d
from lucid_port.modelzoo import vision_models
from lucid_port.optvis.engine.compilation import Compilation
from lucid_port.optvis.engine.step import Forward

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RENDERS = ("units", "precision", "batch", "channels")
CUDA_ONLY = ("tests", "graphs", "synchronisations")


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


def numbers(thing: Any) -> Iterator[float]:
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, list):
        for part in thing:
            yield from numbers(part)
    elif isinstance(thing, (int, float)):
        yield thing


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    output = tmp_path_factory.mktemp("gpu") / "gpu.json"
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--smallest", "--device", "cpu", "--output", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found: dict[str, Any] = json.loads(output.read_text())
    return found


@pytest.mark.slow
def test_every_section_is_reported(result):
    figures = result["figures"]
    assert list(figures) == ["tests", "units", "precision", "batch", "graphs", "synchronisations", "channels"]
    assert {name: figures[name]["status"] for name in RENDERS} == dict.fromkeys(RENDERS, "finished")
    assert {name: figures[name]["status"] for name in CUDA_ONLY} == dict.fromkeys(CUDA_ONLY, "needs CUDA")
    assert all(not figures[name]["figures"] for name in CUDA_ONLY)
    assert "Lucent was not measured" in figures["units"]["note"]


@pytest.mark.slow
def test_findings_have_the_expected_names(result):
    found = {name: list(result["figures"][name]["figures"]) for name in RENDERS}
    assert found == {
        "units": ["lucid_port", "convolutions alone, contiguous", "convolutions alone, channels_last"],
        "precision": ["float32", "bf16", "tf32"],
        "batch": ["1", "2"],
        "channels": ["conv2d0", "conv2d1", "all"],
    }
    assert result["figures"]["precision"]["figures"]["tf32"] == {"note": "needs CUDA"}
    assert all(one["peak_bytes"] == "needs CUDA" for one in result["figures"]["batch"]["figures"].values())


@pytest.mark.slow
@pytest.mark.parametrize("section", RENDERS)
def test_numbers_are_positive_and_finite(result, section):
    found = list(numbers(result["figures"][section]["figures"]))
    assert len(found) > 10
    assert all(math.isfinite(value) and value > 0 for value in found)


@pytest.mark.slow
def test_projections_follow_from_the_measured_steps(result):
    one = result["figures"]["units"]["figures"]["lucid_port"]
    seconds = 496 * one["seconds_per_step"]["median"] + 17 * one["seconds_per_step_under_override"]
    assert one["measured_steps"] == 2
    assert one["projected_seconds"] == pytest.approx(seconds * one["units"] / one["images"])
    layers = result["figures"]["channels"]["figures"]
    assert layers["all"]["units"] == 32
    assert layers["all"]["projected_seconds"] == pytest.approx(
        layers["conv2d0"]["projected_seconds"] + layers["conv2d1"]["projected_seconds"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("section", RENDERS)
def test_tables_have_a_cell_for_each_column(result, section, monkeypatch):
    _, columns, rows = load("gpu_tables", monkeypatch).table(section, result["figures"][section])
    assert [row[0] for row in rows] == list(result["figures"][section]["figures"])
    assert {len(row) for row in rows} == {len(columns)}


def test_tables_of_sections_that_need_cuda(monkeypatch):
    tables = load("gpu_tables", monkeypatch)
    quartiles = {"lower_quartile": 0.001, "median": 0.002, "upper_quartile": 0.003}
    compiled = dict.fromkeys(("eager_seconds_per_step", "seconds_per_step", "compiled_over_eager"), quartiles)
    _, columns, rows = tables.table("graphs", {"figures": {"1": {**compiled, "first_step_seconds": 30.0}}})
    assert rows == [["1", "2.00 (1.00 to 3.00)", "2.00 (1.00 to 3.00)", "0.002 (0.001 to 0.003)", "30.0"]]
    assert len(columns) == 5
    counted = {"steps": 50, "warnings": 3}
    several = {"1": {**counted, "calls": {"cudaMemcpyAsync": 7}}, "16": {**counted, "note": "no calls seen"}}
    _, _, rows = tables.table("synchronisations", {"figures": several})
    assert rows == [["1", "50", "3", "cudaMemcpyAsync 7"], ["16", "50", "3", "no calls seen"]]


# Limits and failures --------------------------------------------------------------------------


def measure(monkeypatch, tmp_path, seconds, **plan):
    gpu = load("gpu", monkeypatch)
    report = gpu.timing.Report("a test", {})
    job = {"plan": {**gpu.dataclasses.asdict(gpu.gpu_sections.SMALLEST), **plan}, "device": "cpu", "lucent": None}
    run = gpu.Run(report, tmp_path / "gpu.json", job)
    run.measure("channels", seconds)
    written = json.loads((tmp_path / "gpu.json").read_text())["figures"]["channels"]
    assert written == json.loads(json.dumps(run.results["channels"]))
    return written


def test_a_section_is_cut_at_its_time_limit(monkeypatch, tmp_path):
    found = measure(monkeypatch, tmp_path, 0.001)
    assert (found["status"], found["figures"]) == ("cut", {})
    assert "was not measured" in found["note"]


@pytest.mark.slow
def test_a_section_that_fails_keeps_its_findings(monkeypatch, tmp_path):
    found = measure(monkeypatch, tmp_path, 600, layers=["conv2d0", "missing"])
    assert (found["status"], list(found["figures"])) == ("failed", ["conv2d0"])
    assert found["note"].startswith("Failed: ")


def test_results_of_a_cpu_do_not_pass_for_those_of_a_gpu(monkeypatch, tmp_path):
    gpu = load("gpu", monkeypatch)
    assert gpu.checked("cpu", None, True) == (torch.device("cpu"), None)
    assert gpu.checked("cpu", tmp_path / "a.json", True) == (torch.device("cpu"), tmp_path / "a.json")
    with pytest.raises(SystemExit, match=r"gpu\.json is for complete runs on a GPU"):
        gpu.checked("cpu", gpu.RESULT, True)


def test_a_missing_gpu(monkeypatch):
    gpu = load("gpu", monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch finds no CUDA device"):
        gpu.checked("cuda", None, False)


def test_time_limits_stay_below_ten_minutes(monkeypatch):
    gpu = load("gpu", monkeypatch)
    assert sum(gpu.SECONDS.values()) == pytest.approx(60 * gpu.MINUTES)
    assert gpu.MINUTES < 9.5
    assert list(gpu.SECONDS) == list(gpu.gpu_sections.SECTIONS)


# Parts of sections ----------------------------------------------------------------------------


@pytest.mark.slow
def test_outcomes_of_tests_are_counted(tmp_path):
    tests = tmp_path / "test_outcomes.py"
    tests.write_text(
        "import pytest\n"
        "pytestmark = pytest.mark.gpu\n"
        "@pytest.fixture\n"
        "def broken(): raise ValueError\n"
        "def test_passes(): pass\n"
        "def test_passes_too(): pass\n"
        "def test_fails(): assert False\n"
        "def test_is_skipped(): pytest.skip()\n"
        "def test_has_an_error(broken): pass\n"
    )
    (tmp_path / "test_unmarked.py").write_text("def test_fails(): assert False\n")
    code = (
        "import json, pathlib, sys, gpu_sections\n"
        "said = []\n"
        "files = sorted(pathlib.Path(sys.argv[1]).glob('test_*.py'))\n"
        "gpu_sections.run_tests(files, lambda name, figures: said.append(figures))\n"
        "print('\\n' + json.dumps([said[0], said[-1]]))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    run = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    first, last = json.loads(run.stdout.splitlines()[-1])
    names = [name.rsplit("::", 1)[1] for name in last.pop("names_of_failed")]
    assert names == ["test_fails", "test_has_an_error"]
    assert last == {"passed": 2, "failed": 1, "skipped": 1, "error": 1, "finished": True}
    assert (first["passed"], first["finished"]) == (1, False)


@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 2), (1e9, 5)])
def test_as_many_rounds_as_there_is_time_for(seconds, rounds, monkeypatch):
    sections = load("gpu_sections", monkeypatch)
    made = []
    found = sections.turns_in_time({"a": lambda: made.append("a") or 1.0, "b": lambda: 2.0}, 5, seconds)
    assert found == {"a": [1.0] * rounds, "b": [2.0] * rounds}
    assert len(made) == rounds + 1  # the first is not timed


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bare_convolutions_are_those_of_the_network(size, layout, monkeypatch):
    sections = load("gpu_sections", monkeypatch)
    model = vision_models.TinyInceptionV1()
    image = torch.rand(2, 3, size, size)
    shapes: list[torch.Size] = []
    found = sections.convolutions(model, image, "mixed3a", layout)
    modules = [module for module in model.network.modules() if isinstance(module, Conv2d)]
    assert not any(module._forward_hooks for module in modules)
    for module in modules:
        module.register_forward_hook(lambda _module, _inputs, output: shapes.append(output.shape))
    model.activations(image, ["mixed3a"])
    assert [one.grad.shape for one in found] == shapes
    assert len(found) == 9  # three before the first module, six in it
    assert all(one.x.is_contiguous(memory_format=layout) and one.x.requires_grad for one in found)
    for one in found:
        one()


def test_units_repeat_in_batches_larger_than_a_layer(monkeypatch):
    sections = load("gpu_sections", monkeypatch)
    setting = sections.Setting(sections.SMALLEST, vision_models.TinyInceptionV1(), None, 1.0)
    assert setting.many("conv2d0", 18).step().shape == (18,)


def test_compilation_without_cuda_graphs(monkeypatch):
    sections = load("gpu_sections", monkeypatch)
    model = vision_models.TinyInceptionV1()
    forward = Forward(model, torch.device("cpu"))
    forward.compilation = Compilation(forward._under_rule, torch.device("cuda"))
    assert forward.compilation.has_cuda_graphs
    sections.without_cuda_graphs(forward)
    assert forward.compiles
    assert not forward.compilation.has_cuda_graphs
    assert forward.compilation._mode is None


def test_places_name_no_folder_of_the_machine(monkeypatch):
    sections = load("gpu_sections", monkeypatch)
    assert sections.place(str(BENCHMARKS.parent / "lucid_port" / "a.py"), 3) == "lucid_port/a.py:3"
    assert sections.place("/home/someone/torch/functional.py", 4) == "torch/functional.py:4"
