"""Which tests run a line: measured once, kept in a file outside the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

from parity_tests.mutants.sources import ROOT, source_files

# Fast tests of the mutated parts, files that take minutes last.
TESTS = (
    *("converters/test_op_parity.py", "converters/test_network_parity.py", "converters/test_forms.py"),
    "converters/test_layers.py",
    *("converters/test_bad_input.py", "converters/test_model.py", "converters/test_storage.py"),
    *("optvis/test_parts.py", "optvis/test_params_oracle.py", "optvis/test_transforms_oracle.py"),
    *("optvis/test_objectives_oracle.py", "optvis/test_overrides_oracle.py", "optvis/test_misc_oracle.py"),
    "test_public_api.py",
    *("optvis/test_arguments.py", "optvis/test_render.py", "optvis/test_warnings.py", "optvis/test_formats.py"),
    "recipes",
    *("optvis/test_recipes.py", "optvis/test_contexts.py", "optvis/test_diagnostics.py"),
    *("converters/test_partial.py", "converters/test_selection.py", "converters/test_onnx_exporters.py"),
    *("optvis/test_renders_oracle.py", "optvis/test_acceleration.py", "optvis/test_axes_of_layers.py"),
)


def default_cache() -> Path:
    """`lucid_port/mutants` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "lucid_port" / "mutants"


def files_to_measure(only: tuple[str, ...] = ()) -> list[str]:
    """The test files that are measured, relative to the repository's root."""
    found = []
    for name in only or tuple(f"parity_tests/{test}" for test in TESTS):
        path = ROOT / name
        found += [path] if path.suffix == ".py" else sorted(path.glob("test_*.py"))
    return [path.relative_to(ROOT).as_posix() for path in found]


@dataclass
class Contexts:
    """Measured contexts.

    Attributes:
        folder: where `contexts.coverage` and `contexts.json` are.
        seconds: CPU time of each test that passed.
        sources: the mutated files as they were when their lines were measured.
    """

    folder: Path
    seconds: dict[str, float]
    sources: dict[str, str]

    @classmethod
    def load(cls, folder: Path) -> Contexts:
        """Reads the folder, which may not exist yet."""
        path = folder / "contexts.json"
        stored = json.loads(path.read_text()) if path.exists() else {}
        return cls(folder, stored.get("seconds", {}), stored.get("sources", {}))

    def collect(self, test_file: str, seconds: float) -> str:
        """Measures the tests of a file in a new process, and returns the last line of pytest's output.

        Lines are those of the first measurement's sources: measure into a new folder when much has changed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary, "contexts.coverage")
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-o",
                "addopts=",
                "-m",
                "not slow",
                "-p",
                "no:cacheprovider",
            ]
            command += [
                "-p",
                "parity_tests.mutants.collecting",
                "--contexts",
                str(path),
                "--contexts-seconds",
                str(seconds),
            ]
            environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run([*command, test_file], cwd=ROOT, env=environment, text=True, capture_output=True)
            if path.exists():
                self._add(path)
        return (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]

    def _add(self, path: Path) -> None:
        current = {name: (ROOT / name).read_text() for name in source_files()}
        if self.sources and self.sources != current:
            changed = sorted(name for name, text in current.items() if self.sources.get(name) != text)
            raise ValueError(f"{', '.join(changed)} changed after the first measurement; delete {self.folder}.")
        measured = CoverageData(str(path))
        measured.read()
        data = CoverageData(str(self.folder / "contexts.coverage"))
        data.read()
        data.update(measured)
        data.write()
        self.seconds |= json.loads(path.with_suffix(".json").read_text())
        self.sources = current
        stored = {"seconds": self.seconds, "sources": self.sources}
        (self.folder / "contexts.json").write_text(json.dumps(stored))
