"""Linux refuses memory to a process: batches are halved, and pictures have the bits of batches of that size."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lucid_port.cli import main
from lucid_port.misc.io import load
from lucid_port.optvis.recipe_files import read_recipe
from parity_tests.optvis.many import manifest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process's memory")

ROOT = Path(__file__).resolve().parent.parent

# A network with small weights and large activations.
NETWORK = """
import torch
from torch import nn
from lucid_port.modelzoo.from_torch import from_torch

def wide():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 12, 3))
    return from_torch(layers, image_value_range=(0, 1), image_shape=(64, 64, 3))
"""

LIMIT = """
import ctypes, resource, sys, torch

torch.set_num_threads(1)

def limit_memory(megabytes):
    ctypes.CDLL(None).malloc_trim(0)  # memory that is free in the heap would add to the limit
    used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * 2**20, resource.RLIM_INFINITY))

def lift_limit():
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)
"""

IN_MEMORY = """
import json, warnings
import numpy as np
from networks import wide
from lucid_port.optvis.render_many import render_many
from lucid_port.recipes.activation_atlas.render import render_icons

model = wide()

def units(batch_size):
    options = {"size": 192, "steps": 1, "transforms": [], "verbose": False, "batch_size": batch_size}
    return render_many(model, "2:0-7", **options).pictures

def icons(batch_size):
    options = {"size": 192, "steps": 1, "attempts": 1, "transforms": [], "batch_size": batch_size}
    return render_icons(model, np.eye(12, dtype=np.float32)[:8], "2", **options)[0]

make = {"render_many": units, "in_batches": icons}[sys.argv[1]]
make(1)
limit_memory(100)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = np.stack(make(8))
lift_limit()
sentences = [str(one.message) for one in caught if "do not fit" in str(one.message)]
last = int(sentences[-1].split("at most ")[1].rstrip(".")) if sentences else 8
print(json.dumps([last, np.array_equal(found, np.stack(make(last)))]))
"""

TOO_LARGE = """
from networks import wide
from lucid_port.optvis import param
from lucid_port.optvis.render import render_vis

model = wide()
limit_memory(100)
try:
    render_vis(model, "2:0", lambda: param.image(1500), thresholds=(0,), transforms=[], verbose=False)
except MemoryError as error:
    print(error)
"""

KILLED = """
import os, signal
from lucid_port.cli import main
from lucid_port.optvis.engine.vis import VisT

step, made = VisT.step, []

def killing(vis):
    if len(made) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    value = step(vis)
    made.append(vis.param.shape[0])
    return value

assert main(["render", "networks:wide", "2:0", "-o", "one.png", *sys.argv[1:]]) == 0
VisT.step = killing
limit_memory(100)
main(["render", "networks:wide", "2:*", "-o", "units", "--batch-size", "6", *sys.argv[1:]])
"""
OPTIONS = ["--size", "192", "--steps", "1", "--no-transforms"]


def _child(code, folder, *arguments):
    (folder / "networks.py").write_text(NETWORK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-c", LIMIT + code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def _answer(code, folder, *arguments):
    done = _child(code, folder, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("recipe", ["render_many", "in_batches"])
def test_the_batch_halves_when_the_system_refuses_memory(tmp_path, recipe):
    last, is_same = json.loads(_answer(IN_MEMORY, tmp_path, recipe))
    assert last < 8, "memory was not short"
    assert is_same, f"the pictures are not those of batch_size={last}"


def test_a_render_that_does_not_fit_says_so(tmp_path):
    sentence = _answer(TOO_LARGE, tmp_path)
    assert sentence.startswith("The render does not fit into the memory of cpu: make the image smaller")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder whose run was killed after it had halved its batches, and was taken up by a process without a limit."""
    place = tmp_path_factory.mktemp("folder")
    done = _child(KILLED, place, *OPTIONS)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert "images do not fit into the memory of cpu together" in done.stderr
    finished = manifest(place / "units")
    (size,) = finished["batch_sizes"].values()
    assert len(finished["units"]) == 2 * size < 12
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(place)
        patched.syspath_prepend(str(place))
        patched.delitem(sys.modules, "networks", raising=False)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for name, batch_size in (("units", 6), ("asked", size)):
            command = ["render", "networks:wide", "2:*", "-o", name, "--batch-size", str(batch_size), *OPTIONS]
            assert main(command) == 0
        yield place
        torch.set_num_threads(threads)
        sys.modules.pop("networks", None)


def test_a_resumed_folder_has_the_batch_size_of_the_killed_run(folder):
    sizes = manifest(folder / "units")["batch_sizes"]
    assert list(sizes) == ["12 units of 2, at most 6"]
    assert sizes[next(iter(sizes))] < 6
    for unit in range(12):
        name = f"2_{unit:04d}.png"
        found, asked = load(folder / "units" / name), load(folder / "asked" / name)
        np.testing.assert_array_equal(found, asked)
        assert read_recipe(folder / "units" / name).seeds == read_recipe(folder / "asked" / name).seeds


@pytest.mark.parametrize("unit", [0, 7, 11])
def test_a_picture_of_a_halved_batch_is_rendered_again_from_its_recipe(folder, capsys, unit):
    assert main(["rerender", f"units/2_{unit:04d}.png", "--model", "networks:wide"]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
