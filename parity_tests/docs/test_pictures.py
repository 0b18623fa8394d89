"""Pictures are there, are shown with the code that makes them, and what has a picture is complete."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from lucid_port.optvis import objectives, param, recipe_files, transform
from parity_tests.docs import DOCS, PAGES, ROOT


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/make_pages.py."""
    monkeypatch.syspath_prepend(str(DOCS))
    import make_pages

    return make_pages


def test_pages_show_the_code_of_their_pictures_and_the_commands_help(making: ModuleType) -> None:
    for page, text in making.pages().items():
        assert page.read_text(encoding="utf-8") == text, f"{page.name} is not up to date: python docs/make_pages.py"


def test_every_picture_is_there_and_shown_on_its_page(making: ModuleType) -> None:
    for picture in making.PICTURES:
        assert picture.file.is_file(), f"python docs/make_pictures.py {picture.name}"
        page = ROOT / picture.page if picture.page == "README.md" else DOCS / picture.page
        text = page.read_text(encoding="utf-8")
        assert picture.file.relative_to(page.parent).as_posix() in text
        assert picture.code in text


def test_no_picture_lies_about_unused() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for file in sorted(file for file in (DOCS / "images").rglob("*.*") if file.suffix != ".json"):
        assert file.relative_to(DOCS).as_posix() in text + settings, f"no page shows {file.name}"


def test_pictures_stay_small() -> None:
    sizes = {file: file.stat().st_size for file in (DOCS / "images").rglob("*.*")}
    whole_figures = {file for file in sizes if file.parent.name == "gallery"}
    assert sum(size for file, size in sizes.items() if file not in whole_figures) < 3 * 2**20
    assert all(sizes[file] < 700 * 2**10 for file in whole_figures)


def test_a_picture_of_one_unit_carries_the_recipe_that_its_code_says(making: ModuleType) -> None:
    recipe = recipe_files.read_recipe(DOCS / "images" / "objectives" / "neuron.jpg")
    assert recipe.model["name"] == "InceptionV1_caffe"
    assert recipe.objective == objectives.neuron("inception_4a_output", 300).to_data()
    assert (recipe.steps, recipe.own_code) == (256, ())


# Makers and helpers that are no objective, parameterization or transform by themselves.
NO_SECTION = {
    "Objective", "as_objective", "handle_batch", "wrap_objective",
    "Parameterization", "as_parameterization", "parameterization", "concat", "constant", "stack", "to_valid_rgb",
    "resize_bilinear_nd", "laplacian_pyramid", "naive",
    "Transform", "Compose", "as_transform",
}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "page"),
    [(objectives, "objectives.md"), (param, "parameterizations.md"), (transform, "transforms.md")],
    ids=["objectives", "param", "transform"],
)
def test_everything_public_has_a_section(module: ModuleType, page: str) -> None:
    headings = " ".join(re.findall(r"^#+ (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE))
    missing = [one for one in module.__all__ if one not in NO_SECTION and not re.search(rf"\b{one}\b", headings)]
    assert not missing


def test_the_readme_names_the_recipe_of_its_picture() -> None:
    from lucid_port.optvis.recipe_plan import Plan

    plan = Plan.from_document(recipe_files.read_document(DOCS / "units.toml"))
    assert plan.makes_folder
    assert len(plan.units) == 8
    assert Path(plan.output or "").name == "units"
