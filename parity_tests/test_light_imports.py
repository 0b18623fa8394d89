"""Packages import what they export on use; commands that read no network do not import torch."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PACKAGES = ("converters", "lucid_port.modelzoo", "lucid_port.misc.io")
COMMAND = """
import contextlib, io, sys
from lucid_port.cli import main
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
    main(sys.argv[1:])
print(out.getvalue(), "torch" in sys.modules, sep="\\n")
"""


def run(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env={**_environment(), **environment}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def _environment():
    return {key: value for key, value in os.environ.items() if key != "LUCID_PORT_MODELZOO"}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("--help", "doctor"),
        ("models", "InceptionV1"),
        ("models TinyInceptionV1", "mixed4a"),
        ("models TinyInceptionV1 --labels", "spiral"),
        ("layers --help", "--grep"),
        ("render TinyInceptionV1", "mixed4a:"),
        ("layers Incepton", "Did you mean InceptionV1"),
        ("layers nothing.pb", "There is no file"),
        ("layers nothing.pb --sizes", "There is no file"),
        ("layers ResnetV1_50_slim", "Could not find the network"),
    ],
)
def test_commands_that_read_no_network_do_not_import_torch(command, says, tmp_path):
    printed = run(COMMAND, *command.split(), LUCID_PORT_CACHE=str(tmp_path))
    assert says in printed
    assert printed.endswith("False")


def test_sheets_are_drawn_without_torch(tmp_path):
    for number in range(3):
        Image.new("RGB", (20, 12), (number, 0, 0)).save(tmp_path / f"{number}.png")
    assert run(COMMAND, "sheet", str(tmp_path)).splitlines() == [str(tmp_path / "sheet.png"), "", "False"]
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("lucid-port mod", "models"),
        ("lucid-port render Tiny", "TinyInceptionV1"),
        ("lucid-port models Res", "ResnetV1"),
    ],
)
def test_completion_does_not_import_torch(words, offered):
    code = """
import atexit, sys
atexit.register(lambda: print("torch" in sys.modules))
from lucid_port.cli.app import app
app(prog_name="lucid-port")
"""
    environment = {
        "_LUCID_PORT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
        "_TYPER_COMPLETE_ARGS": words,
    }
    printed = run(code, **environment)
    assert offered in printed
    assert printed.endswith("False")


@pytest.mark.parametrize(
    "module",
    ["lucid_port.optvis.many", "lucid_port.modelzoo.files", "converters.sources", "lucid_port.misc.io", "converters"],
)
def test_light_modules_do_not_import_torch(module):
    assert run(f"import {module}, sys; print('torch' in sys.modules)") == "False"


# Each line runs in its own process: names have to be found in any order of imports.
ORDERS = (
    "import lucid_port.modelzoo.timm; import lucid_port.modelzoo as z; z.timm.__name__; callable(z.timm) or exit(1)",
    "from lucid_port.modelzoo.timm import timm; import lucid_port; lucid_port.modelzoo.timm is timm or exit(1)",
    "from lucid_port.modelzoo import timm; import lucid_port.modelzoo.timm as again; timm is again or exit(1)",
    "import lucid_port.modelzoo as z; f = z.timm; import lucid_port.modelzoo.timm; z.timm is f or exit(1)",
    "import importlib; m = importlib.import_module('lucid_port.modelzoo.timm'); import lucid_port.modelzoo as z; "
    "(m.timm is z.timm and m is not z.timm) or exit(1)",
    "from lucid_port.modelzoo.huggingface import huggingface; from lucid_port.modelzoo import *; "
    "all(map(callable, (timm, torchvision, from_torch, huggingface))) or exit(1)",
    "from converters import convert; import converters; converters.convert is convert or exit(1)",
    "import converters; converters.convert; converters.errors.GraphError is converters.GraphError or exit(1)",
    "import converters.conversion; import converters; converters.convert is converters.conversion.convert or exit(1)",
    "import converters; converters.layers.LAYERS",
    "from converters import *; issubclass(GraphError, ConverterError) or exit(1)",
    "from lucid_port.misc.io.saving import save; from lucid_port.misc import io; io.save is save or exit(1)",
    "from lucid_port.misc import io; io.showing.show is io.show or exit(1)",
)


FORKS = """
import json, multiprocessing, sys
import torch  # once, before the forks

def work(code):
    exec(code, {})

for code in json.loads(sys.argv[1]):
    process = multiprocessing.get_context("fork").Process(target=work, args=(code,))
    process.start()
    process.join()
    print(process.exitcode, code)
"""


def test_names_are_found_in_every_order_of_imports():
    if not hasattr(os, "fork"):  # Windows
        for code in ORDERS:
            run(code)
        return
    printed = run(FORKS, json.dumps(ORDERS))
    assert printed.splitlines() == [f"0 {code}" for code in ORDERS]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_and_has_its_public_names(package):
    module = importlib.import_module(package)
    listed = json.loads(run(f"import {package} as p, json; print(json.dumps(dir(p)))"))
    assert set(module.__all__) <= set(listed)
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match=f"{package!r} has no attribute 'nothing'"):
        module.nothing  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_same_names_from_the_same_modules(package):
    module = importlib.import_module(package)
    seen = {}
    for block in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for line in block.body:
                seen.update({alias.name: line.module for alias in line.names})
    assert sorted(seen) == sorted(module.__all__)
    for name, place in seen.items():
        assert getattr(importlib.import_module(place), name) is getattr(module, name)
