"""The code on the pages that people begin with runs, and gives what its comments say; with one step for many."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import converters
from lucid_port import modelzoo
from lucid_port.cli import main
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.catalogue import entry
from lucid_port.modelzoo.files import local_graph
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.optvis import render, serialization
from lucid_port.optvis.recipe_files import read_recipe
from parity_tests.docs import DOCS, ROOT, blocks
from parity_tests.docs.stand_ins import photograph
from parity_tests.event_files import runs
from parity_tests.networks import WITHOUT_CAFFE

START, README, LUCENT, LAYERS = DOCS / "start.md", ROOT / "README.md", DOCS / "from_lucent.md", DOCS / "layer_names.md"
LOGS = DOCS / "logs.md"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Renders of one step, or two pictures where several are asked for, in a folder of their own."""
    render_vis, render_many = render.render_vis, render.render_many

    def one_step(*args: Any, thresholds: Any = (512,), **options: Any) -> Any:
        return render_vis(*args, **{**options, "verbose": False, "thresholds": tuple(range(len(thresholds)))})

    def one_step_each(model: Any, units: str, *args: Any, **options: Any) -> Any:
        return render_many(model, units.replace("*", "0,1"), *args, **options, steps=1, size=64, verbose=False)

    monkeypatch.setattr(render, "render_vis", one_step)
    monkeypatch.setattr(render, "render_many", one_step_each, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def lucids_models(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    """Generated weights where a page downloads weights, and a graph of a reader's own."""
    monkeypatch.setattr(vision_models, "InceptionV1", vision_models.InceptionV1_seeded)
    monkeypatch.setattr(modelzoo, "timm", partial(modelzoo.timm, weights=None))
    Path("mine.pb").write_bytes(seeded_inceptionv1().SerializeToString())


def run(code: str, namespace: dict[str, Any]) -> None:
    """Runs code; a line `expression  # value` is checked."""
    exec(compile(code, "<page>", "exec"), namespace)
    for line in code.splitlines():
        expression, _, stated = line.partition("  # ")
        if re.match(r"[(\['\d]", stated) and not re.match(r"(\w+ = |from |import )", expression):
            value = stated.split(": ")[0] if stated.startswith("(") else stated
            assert repr(eval(expression, namespace)) == value or eval(expression, namespace) == eval(value), line


def test_the_start_page_runs(quick: None, lucids_models: None) -> None:
    namespace: dict[str, Any] = {"photo": torch.full((1, 3, 224, 224), 0.5)}
    for block in blocks(START, "python"):
        run(block, namespace)
    assert [one.unit for one in namespace["layer"]] == [0, 1]
    assert sorted(namespace["acts"]) == ["mixed4a_pre_relu", "softmax2"]
    assert isinstance(converters.load("mine"), converters.ConvertedModel)
    assert main(["rerender", "unit.png"]) == 0


def test_the_page_of_logs_runs(quick: None) -> None:
    for name in ("a", "b"):
        Path("photographs").mkdir(exist_ok=True)
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (72, 96, 3), np.uint8)).save(f"photographs/{name}.png")
    namespace: dict[str, Any] = {}
    for block in blocks(LOGS, "python"):
        run(block, namespace)
    assert runs(Path("runs")) == ["channels/mixed4a_8_and_1_more", "model", "often", "training", "unit8"]
    assert json.loads(Path("lines/log.jsonl").read_text())["step"] == 1
    assert Path("lines/0001.png").is_file()


def test_the_page_of_meshes_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for block in blocks(DOCS / "meshes.md", "python"):
        run(block.replace("steps=100", "steps=1"), namespace)
    assert {path.name for path in tmp_path.iterdir()} == {"ring.webp", "ring.glb"}


@pytest.mark.parametrize("page", [README, DOCS / "index.md"], ids=["README", "index"])
def test_the_first_code_runs(page: Path, quick: None) -> None:
    (code,) = blocks(page, "python")
    run(code, {})
    assert main(["rerender", "unit.png"]) == 0


def test_a_notebook_for_lucent_begins_so(quick: None) -> None:
    for block in blocks(LUCENT, "python"):
        run(block, {})


def test_layer_names_are_those_of_the_page(quick: None) -> None:
    namespace: dict[str, Any] = {"model": vision_models.InceptionV1_seeded()}
    for block in blocks(LAYERS, "python"):
        run(block, namespace)


ROUNDING = (
    1e-5  # of an array's maximum: activations that an objective holds differ by 1.6e-7 between one and two threads
)


def assert_same(here: Any, there: Any, where: str) -> None:
    """Plain data are equal, but for rounding in arrays that the network computed."""
    if isinstance(here, dict) and set(here) == {"array"}:
        found, expected = serialization.from_data(here), serialization.from_data(there)
        np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.abs(expected).max(), err_msg=where)
    elif isinstance(here, (dict, list)):
        assert type(here) is type(there), where
        assert len(here) == len(there), where
        keys = here if isinstance(here, dict) else range(len(here))
        for key in keys:
            assert_same(here[key], there[key], f"{where}.{key}")
    else:
        assert here == there, where


LONGEST_COMMENT = 65533  # bytes, in a JPEG
SAME = ("model", "objective", "image", "transforms", "optimizer", "seeds", "relu_gradient_override", "precision")


@pytest.mark.skipif(local_graph(entry("InceptionV1_caffe")) is None, reason=WITHOUT_CAFFE)
def test_the_pictures_code_runs_and_is_what_they_were_made_with(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them, with one step; a picture of one unit says itself how it was made."""
    monkeypatch.syspath_prepend(str(DOCS))
    import make_pictures

    names = make_pictures.namespace()
    names["render_vis"] = lambda *args, **options: render.render_vis(names["model"], *args, **options)
    for picture in make_pictures.PICTURES:
        if picture.code.startswith("lucid-port "):
            continue
        made = make_pictures.run(picture.code, names)
        assert all(np.isfinite(batch).all() for batch in make_pictures._batches(made)), picture.name
        if make_pictures.carries_recipe(made):
            here = made.recipe().to_data()
            if len(json.dumps(here, indent=1)) > LONGEST_COMMENT:
                continue
            there = read_recipe(picture.file).to_data()
            here["model"] = {**here["model"], "source": there["model"]["source"]}
            for key in SAME:
                assert_same(here[key], there[key], f"{picture.name}, {key}")
            assert there["steps"] == 256


def test_the_inspection_page_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    photograph(Path("dog.jpg"))
    namespace: dict[str, Any] = {}
    for block in blocks(DOCS / "inspection.md", "python"):
        run(block, namespace)
    assert namespace["kernels"].shape == (16, 7, 7, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dog.jpg", "figure.png", "maps.png", "weights.png"]
