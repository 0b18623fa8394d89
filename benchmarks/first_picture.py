"""How long a newcomer waits for trained pictures: `python benchmarks/first_picture.py`.

**Method.** The checkout's last commit is cloned into a temporary folder, and the README's first block of commands runs
there as it stands, in an environment of its own that has pip and torch, and is made before. Times are of the clone, of
the block (installation from pip's cache, then the demo), and of showing the demo's page in Chromium. `--torch` says how
pip installs torch, such as a CPU build; by default the environment reads the torch of the running Python. Run it twice:
the first run fills pip's cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from timing import RESULTS, Report, console

ROOT = Path(__file__).resolve().parents[1]
BOUND = 180.0
"""Most seconds from the clone to the picture on the screen."""
BLOCK = re.compile(r"<!-- command: first picture -->\n```bash\n(.*?)\n```", re.DOTALL)


def first_block(text: str) -> str:
    """Returns the README's first block of commands.

    Raises:
        ValueError: there is none.
    """
    found = BLOCK.search(text)
    if found is None:
        raise ValueError("README.md has no block behind <!-- command: first picture -->.")
    return found[1]


def prepared(folder: Path, torch: str | None) -> dict[str, str]:
    """Makes an environment with torch, and returns the variables that activate it."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    if torch is not None:
        subprocess.run([programs / "pip", "install", "--quiet", *torch.split()], check=True)
    else:
        command = [programs / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        own = Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
        for package in Path(sysconfig.get_path("purelib")).iterdir():
            if package.name.startswith(
                ("torch", "nvidia", "triton", "functorch", "sympy", "mpmath", "networkx", "cuda")
            ):
                (own / package.name).symlink_to(package)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**variables, "VIRTUAL_ENV": str(folder), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def seconds(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> float:
    """Runs a command in a folder, and returns its wall time."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - started


def main(
    torch: Annotated[str | None, typer.Option(help="Arguments of pip install, as in 'torch --index-url URL'.")] = None,
    chromium: Annotated[str, typer.Option(help="The program.")] = "chromium",
    output: Annotated[Path, typer.Option(help="The result file.")] = RESULTS / "first_picture.json",
) -> None:
    """Clone, install, render, and show the page."""
    block = first_block((ROOT / "README.md").read_text(encoding="utf-8"))
    report = Report("Wall time, one run, from a clone of the last commit.", {"block": block, "torch": torch})
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        environment = prepared(folder / "venv", torch)
        clone, picture = folder / "clone", folder / "page.png"
        found = {"clone": seconds(["git", "clone", "--quiet", str(ROOT), str(clone)], folder, environment)}
        found["block"] = seconds(["bash", "-euo", "pipefail", "-c", block], clone, environment)
        page = clone / "demo.html"
        options = ["--headless", "--no-sandbox", "--window-size=1280,1500", f"--screenshot={picture}"]
        found["shown"] = seconds([shutil.which(chromium) or chromium, *options, page.as_uri()], folder, environment)
        if not picture.is_file():
            raise SystemExit("Chromium wrote no picture of the page.")
    found["total"] = sum(found.values())
    found["bound"] = BOUND
    report.save(output, found)
    console.print({name: round(value, 1) for name, value in found.items()})
    sys.exit(0 if found["total"] <= BOUND else 1)


if __name__ == "__main__":
    typer.run(main)
