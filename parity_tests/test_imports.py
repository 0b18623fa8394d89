"""An import draws no random numbers, starts no thread, and loads no plotting library and no TensorFlow."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

import pytest

import converters
import lucid_port

UNWANTED = ("matplotlib", "tensorflow", "IPython", "transformers", "timm", "torchvision", "skimage", "sklearn", "umap")
CHILD = """
import importlib, json, random, sys, threading, warnings
import numpy, torch

def state():
    return random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()

warnings.simplefilter("ignore")
before, threads, found = state(), threading.active_count(), {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    changed = ["random state"] * (state() != before)
    changed += ["threads"] * (threading.active_count() != threads)
    changed += [one for one in json.loads(sys.argv[2]) if one in sys.modules]
    if changed:
        found[name] = changed
        break
print(json.dumps(found))
"""


def _modules(package):
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda name: None)
    return [name for _, name, _ in found if not name.endswith(("__main__", "_script"))]


@pytest.mark.filterwarnings("ignore")
def test_no_module_changes_the_process_that_imports_it():
    names = [*_modules(converters), *_modules(lucid_port)]
    assert len(names) > 200
    arguments = [json.dumps(names), json.dumps(UNWANTED)]
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {}
