"""The page on models says what the catalogue says."""

from __future__ import annotations

from pathlib import Path

from parity_tests.modelzoo import page

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_table_is_up_to_date():
    """`python -m parity_tests.modelzoo.page` prints it anew."""
    assert page.table() in PAGE.read_text(encoding="utf-8")


def test_the_table_has_lucids_31_models():
    assert len(page.table().splitlines()) == 2 + 31
