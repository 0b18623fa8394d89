"""Wraps the networks that people bring, and checks each against plain forward hooks: `python benchmarks/coverage.py`.

Each network runs in a process of its own with a limit of memory and time, with random weights. A stopped run goes on
where it was (`--fresh` begins again). `--page` writes `docs/coverage.md` from the result file.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "coverage.json"
PAGE = ROOT / "docs" / "coverage.md"

CHECKS = {
    "wrapped": "wrapped",
    "values": "values equal hooks",
    "functions": "functions have names",
    "units": "unit 5 is feature 5",
    "start": "default render",
}


def one(name: str, gigabytes: float) -> None:
    """Checks a network in this process, and prints the results as JSON."""
    import coverage_checks
    import coverage_networks
    import torch

    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("\n" + json.dumps(coverage_checks.check(coverage_networks.entry(name))))


def run(name: str, gigabytes: float, seconds: float) -> dict[str, Any]:
    """Checks a network in a process of its own."""
    command = [sys.executable, __file__, "--one", name, "--gigabytes", str(gigabytes)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"name": name, "error": f"took more than {seconds:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return {"name": name, "error": lines[-1][:300]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the summary, as lines of Markdown."""
    import coverage_checks

    lines = ["| check | networks |", "|---|---|"]
    for check, title in CHECKS.items():
        passed, total = coverage_checks.share(results, check)
        lines.append(f"| {title} | {passed} of {total} ({100 * passed / total:.1f} %) |")
    wraps = [result["wrap_seconds"] for result in results if "wrap_seconds" in result]
    describes = [result["describe_seconds"] for result in results if "describe_seconds" in result]
    counted = Counter[str]()
    for result in results:
        counted["right"] += result.get("units_right", 0)
        counted["wrong"] += len(result.get("units_wrong", ()))
        counted["refused"] += len(result.get("units_refused", ()))
        counted["untold"] += result.get("units_untold", 0)
        counted["layers"] += result.get("modules", 0) + result.get("functions", 0)
    refused = 100 * counted["refused"] / max(1, counted["layers"])
    return [
        *lines,
        "",
        f"The median time to wrap a network is {statistics.median(wraps):.2f} s (the longest {max(wraps):.1f} s), and "
        f"to describe its layers {statistics.median(describes):.2f} s (the longest {max(describes):.1f} s).",
        "",
        f"Of {counted['layers']} named layers, {counted['right']} modules have the channel axis that an independent "
        f"rule gives, {counted['wrong']} another one, and {counted['refused']} ({refused:.2f} %) are refused until "
        f"`layouts=` states their axes. For {counted['untold']} modules the rule gives no answer.",
    ]


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns the page of the documentation."""
    import coverage_checks

    rows = []
    for result in results:
        marks = ["yes" if passed else "no" for passed in coverage_checks.passes(result).values()]
        layers = result.get("modules", 0) + result.get("functions", 0)
        wrap = f"{result['wrap_seconds']:.2f}" if "wrap_seconds" in result else ""
        refused = len(result.get("units_refused", ()))
        rows.append(f"| {result['name']} | {' | '.join(marks)} | {layers} | {refused} | {wrap} |")
    titles = " | ".join(CHECKS.values())
    return "\n".join(
        [
            "# Coverage",
            "",
            "`python benchmarks/coverage.py` wraps networks of torchvision, timm, transformers and other packages with",
            "random weights, and compares every layer with plain forward hooks on the untouched network.",
            "",
            *table(results),
            "",
            "The independent rule for the channel axis is the type of the module (convolutions and batch norms: axis",
            "1; linear layers and layer norms: the last), or the one axis whose size stays when the batch and the",
            "image change, or the one axis that has a number of features that the module states.",
            "",
            f"| network | {titles} | layers | refused | s to wrap |",
            f"|---|{'---|' * len(CHECKS)}---:|---:|---:|",
            *rows,
            "",
        ]
    )


def _read(output: Path) -> dict[str, dict[str, Any]]:
    known = json.loads(output.read_text()) if output.exists() else {"networks": []}
    return {result["name"]: result for result in known["networks"]}


def _write(output: Path, results: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
    partial = output.with_suffix(".partial")
    listed = [results[name] for name in names if name in results]
    partial.write_text(json.dumps({"networks": listed}, indent=1) + "\n")
    os.replace(partial, output)


def main(
    networks: Annotated[list[str] | None, typer.Argument(help="Parts of names; all by default.")] = None,
    workers: int = 2,
    gigabytes: Annotated[float, typer.Option(help="Limit of memory of each process.")] = 6.0,
    seconds: Annotated[float, typer.Option(help="Limit of time of each network.")] = 300.0,
    fresh: Annotated[bool, typer.Option(help="Check again the networks that the result file has.")] = False,
    output: Path = RESULTS,
    one_name: Annotated[str | None, typer.Option("--one", hidden=True)] = None,
    only_page: Annotated[bool, typer.Option("--page", help="Write docs/coverage.md from the results.")] = False,
) -> None:
    """Check the networks, and write the results."""
    if one_name is not None:
        return one(one_name, gigabytes)
    if only_page:
        PAGE.write_text(page(list(_read(output).values())))
        return None
    import coverage_networks

    names = coverage_networks.names()
    chosen = [name for name in names if not networks or any(part in name for part in networks)]
    if not chosen:
        raise typer.BadParameter(f"no network has {' or '.join(networks or ())} in its name")
    results = {} if fresh and not networks else _read(output)
    waiting = [name for name in chosen if fresh or name not in results]
    with ThreadPoolExecutor(workers) as pool:
        for number, result in enumerate(pool.map(lambda name: run(name, gigabytes, seconds), waiting), 1):
            results[result["name"]] = result
            _write(output, results, names)
            print(f"{number}/{len(waiting)} {result['name']}: {result.get('error') or _failed(result)}", flush=True)
    print("\n".join(table([results[name] for name in chosen])))
    return None


def _failed(result: Mapping[str, Any]) -> str:
    import coverage_checks

    errors = [f"{key}: {value}" for key, value in result.items() if key.endswith("_error")]
    failed = [name for name, passed in coverage_checks.passes(result).items() if not passed]
    return "; ".join([f"fails {', '.join(failed)}" if failed else "passes", *errors])


if __name__ == "__main__":
    typer.run(main)
