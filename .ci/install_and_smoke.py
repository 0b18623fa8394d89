"""Installs every distribution of a folder into a clean environment of its own, and runs the smoke test there."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

SMOKE = Path(__file__).with_name("smoke.py")


def main() -> None:
    files = sorted([*Path(sys.argv[1]).glob("*.whl"), *Path(sys.argv[1]).glob("*.tar.gz")])
    if len(files) != 2:
        raise SystemExit(f"a wheel and an sdist are wanted, found {[file.name for file in files]}")
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            venv.create(folder, with_pip=True)
            python = str(Path(folder) / "bin" / "python")
            subprocess.run([python, "-m", "pip", "install", "--quiet", str(file)], check=True)
            subprocess.run([python, str(SMOKE), folder], check=True, cwd=folder)
            print(f"{file.name} is well")


if __name__ == "__main__":
    main()
