"""Makes an environment with Lucent 0.1.8: `python -m parity_tests.lucent FOLDER`.

Lucent takes kornia 0.4.1 and older only, so it cannot be installed beside current packages. The environment has Lucent
alone, without its dependencies, and reads everything else from the Python that makes it: both networks run on one build
of torch. The variable LUCID_PORT_LUCENT names its Python, `FOLDER/bin/python`, to the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ENVIRONMENT = "LUCID_PORT_LUCENT"
PACKAGE = "torch-lucent==0.1.8"


def make_environment(folder: Path) -> Path:
    """Makes the environment anew and returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([str(python), "-c", script], check=True, capture_output=True, text=True).stdout.strip()
    shared = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    Path(packages, "shared.pth").write_text("".join(f"{path}\n" for path in shared))
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", PACKAGE], check=True)
    return python


def find_lucent() -> Path | None:
    """The Python that LUCID_PORT_LUCENT names, or None."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


if __name__ == "__main__":
    print(make_environment(Path(sys.argv[1])))
