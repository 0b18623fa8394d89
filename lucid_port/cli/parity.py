"""`lucid-port parity`: writes a page that compares a model with TensorFlow."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lucid_port.cli.console import Json, Quiet, Source, check_page_path, print_result
from lucid_port.cli.sources import require_file

if TYPE_CHECKING:
    from lucid_port.cli.report import Comparison

# The checkout, which has the tests; an installed package has none.
ROOT = Path(__file__).resolve().parents[2]
TESTS = tuple(
    f"parity_tests/optvis/test_{name}_oracle.py"
    for name in ("misc", "objectives", "overrides", "params", "renders", "transforms")
)
"""The tests that compare functions with Lucid."""


def command(
    source: Source = "InceptionV1_seeded",
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Page to write.")] = Path(
        "parity.html"
    ),
    python: Annotated[
        str | None, typer.Option(help="A Python with TensorFlow, for a model without recorded values.")
    ] = None,
    functions: Annotated[bool, typer.Option(help="Also compare every function with Lucid.")] = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare a model with TensorFlow, and write a page.

    Example: lucid-port parity InceptionV1_caffe -o parity.html
    """
    from converters.atomic import write_bytes
    from converters.reference.check import check_model
    from lucid_port.cli.comparison import references_of
    from lucid_port.cli.report import Comparison, page, pictures_of, refuse_failures
    from lucid_port.modelzoo.nets_factory import graph_file, open_network

    require_file(source, "lucid-port parity")
    check_page_path(output)
    network = open_network(source)
    references = references_of(network, graph_file(source), python)
    rows = check_model(network, references, gradients=True)
    # Rounding may flip a ReLU, which changes gradients. `moved` measures this: the change of TensorFlow's own gradient
    # if the last bit of the input changes.
    flips = 3 * max((row.moved for row in rows), default=0.0)
    layers = [
        Comparison(
            f"{row.kind} {row.layer}",
            row.input,
            row.error if row.shape == row.expected else math.inf,
            max(row.bound, flips) if row.kind == "gradient" else row.bound,
        )
        for row in rows
    ]
    made = _function_comparisons() if functions else []
    text = page(source, references, layers, made, pictures_of(ROOT / "docs" / "images" / "finished.jpg"))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, text.encode())
    failed = sum(not one.passed for one in [*layers, *made])
    print_result(
        f"{output}: {len(layers)} comparisons of layers, {len(made)} of functions, {failed} beyond bounds",
        {"output": output, "layers": len(layers), "functions": len(made), "failed": failed},
        json,
    )
    refuse_failures(failed, output)


def _function_comparisons() -> list[Comparison]:
    """Runs the tests that compare functions with the real Lucid, and collects their errors."""
    from converters.atomic import scratch_folder
    from lucid_port.cli.report import read_log

    if not (ROOT / "parity_tests").is_dir():
        raise ValueError(
            "Functions are compared by the tests in the project's checkout: use --no-functions without it."
        )
    with scratch_folder() as folder:
        log = folder / "comparisons.jsonl"
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-n", "0", *TESTS],
            cwd=ROOT,
            env={**os.environ, "LUCID_PORT_PARITY_LOG": str(log)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # 1: tests failed, and the log has their errors. Any other code means that they did not run.
        if run.returncode not in (0, 1) or not log.exists():
            last = (run.stdout.strip().splitlines() or ["nothing was printed"])[-1]
            raise ValueError(f"The comparisons of functions could not be run: {last}.")
        return read_log(log)
