"""docs/recipes.md lists the keys of a recipe file, with their defaults."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import serialization
from lucid_port.optvis.recipe_plan import Plan
from parity_tests.docs import DOCS, blocks

PAGE = DOCS / "recipes.md"
# What a recipe leaves to the code that it calls: no field says it.
ELSEWHERE = {"size": 128, "lr": 0.05}


def listed() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8").split("<!-- keys: start -->")[1].split("<!-- keys: end -->")[0]
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|", text, re.MULTILINE)
    return {key: default.strip().strip("`") for key, default in rows}


def test_keys_are_those_of_a_plan_in_its_order() -> None:
    assert list(listed()) == [one.name for one in fields(Plan)]


def test_defaults_are_those_of_a_plan() -> None:
    stated = {key: json.loads(default) if default else None for key, default in listed().items()}
    real: dict[str, Any] = {one.name: None if one.default is MISSING else one.default for one in fields(Plan)}
    assert stated == {**real, **ELSEWHERE}


def test_defaults_elsewhere_are_what_a_render_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def render_vis(model: Any, objective: Any, image: Any, optimizer: Any, *rest: Any, **options: Any) -> Any:
        seen.update(image=image, optimizer=optimizer)
        return None  # as if it had been interrupted

    monkeypatch.setattr("lucid_port.optvis.recipe_plan.render_vis", render_vis)
    with pytest.raises(KeyboardInterrupt):
        Plan("any", "layer:1").run(Path("x.png"), TinyInceptionV1(), [])
    from lucid_port.optvis.render import make_optimizer, make_param

    image = make_param(seen["image"])
    assert image.shape == (1, ELSEWHERE["size"], ELSEWHERE["size"], 3)
    optimizer = make_optimizer(seen["optimizer"], list(image.parameters()))
    assert optimizer.param_groups[0]["lr"] == ELSEWHERE["lr"]


@pytest.mark.parametrize("text", blocks(PAGE, "toml"))
def test_examples_are_recipes(text: str, tmp_path: Path) -> None:
    from lucid_port.optvis.recipe_files import read_document

    file = tmp_path / "recipe.toml"
    file.write_text(text, encoding="utf-8")
    plan = Plan.from_document(read_document(file))
    for part in (plan.objective, plan.image, plan.transforms):
        serialization.from_data(part)
