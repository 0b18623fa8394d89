"""Shared by the tests of the documentation: the pages, and docs/ as a place to import from."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

sys.path.insert(0, str(DOCS))
