"""The public names and their arguments are as they were."""

from __future__ import annotations

from pathlib import Path

from parity_tests.public_api import lines

FROZEN = Path(__file__).with_name("public_api.txt")


def test_the_public_names_are_frozen():
    frozen, now = FROZEN.read_text(encoding="utf-8").splitlines(), list(lines())
    gone, new = sorted(set(frozen) - set(now)), sorted(set(now) - set(frozen))
    assert not gone, f"gone or changed, which breaks users' code: {gone}"
    assert not new, f"new; if it is meant, python -m parity_tests.public_api > {FROZEN.name}: {new}"
