"""The files that are mutated."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

MUTATED = (
    "converters/functional",
    "converters/layers",
    "converters/lowering/ops",
    "lucid_port/optvis/param",
    "lucid_port/optvis/transform.py",
    "lucid_port/optvis/resampling.py",
    "lucid_port/optvis/objectives",
    "lucid_port/optvis/overrides",
    "lucid_port/optvis/optimizer.py",
    "lucid_port/recipes",
)


def source_files(only: tuple[str, ...] = ()) -> list[str]:
    """The mutated files, relative to the repository's root, sorted.

    Args:
        only: files or folders that limit them; none takes all.

    Raises:
        ValueError: one of `only` contains no mutated file.
    """
    paths = [
        path for part in MUTATED for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))
    ]
    names = sorted(path.relative_to(ROOT).as_posix() for path in paths)
    if not only:
        return names
    chosen = {part: [name for name in names if f"{name}/".startswith(f"{part.rstrip('/')}/")] for part in only}
    for part, found in chosen.items():
        if not found:
            raise ValueError(f"{part!r} contains no mutated file; files are mutated in {', '.join(MUTATED)}.")
    return sorted({name for found in chosen.values() for name in found})


def module_name(path: str) -> str:
    """The name by which a file is imported: `lucid_port/optvis/param/__init__.py` is `lucid_port.optvis.param`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
