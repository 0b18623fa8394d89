"""Whole renders against the running Lucid, state by state ("teacher forcing").

Free renders part ways within some dozen steps: rounding flips a decision of a ReLU or a maximum,
and the optimisation amplifies it; Lucid parts from itself as fast. So each recorded state is set,
with the draws that TensorFlow made there, and one step is compared.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import channels_first, channels_last
from lucid_port.optvis.param.cppn import _CPPN
from lucid_port.optvis.render import VisT, make_vis_T
from lucid_port.optvis.sampling import RandomSource
from parity_tests.comparisons import record
from parity_tests.networks import NETWORKS, WITHOUT_CAFFE
from parity_tests.optvis.cases import FOLDER, seeded
from parity_tests.optvis.make_references import RENDERS, settings

# `tox -e reference -- --check` records more states and has them compared from a folder of its own.
RENDER_FOLDER = Path(os.environ.get("LUCID_PORT_RENDERS") or FOLDER.parent / "renders")

SMOOTH_BOUND = 1e-5
"""Share of the gradient's maximum, at every state, where no decision can flip."""
ROUNDING_FACTOR = 2
"""Where TensorFlow's own rounding is larger (recorded: its float32 gradient against the one for which
its network and image compute in float64), the bound is twice that, as both sides round. Of 64 states
a render, 5 of 256 need it: there TensorFlow is up to 4e-5 from itself in float64, most of it its
Fourier transform (the port is nearer to the float64 values than TensorFlow at each of them)."""
MEDIAN_BOUND = 5e-6
"""The same on real networks: the median over states."""
MOST, MOST_BOUND = 0.7, 1e-5
"""On real networks this share of the states is within this bound: TensorFlow itself, its
parameters moved by one unit in the last place, exceeds it at 18 % of states."""
WORST_FACTOR = 3
"""On real networks no state is further than this many times the oracle's worst from itself, over
all recorded states of real networks: whether a state has a decision within reach of rounding is
chance, and the two implementations round in different places."""
UPDATE_BOUND = 2e-6
"""Share of the learning rate, beside one unit in the last place, for one update of Adam."""


class _Network:
    """A converted graph with a value range: what a render asks of a model."""

    labels: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        import converters

        self.network = converters.convert(NETWORKS[name].graph_def(), input_name=NETWORKS[name].input_name)
        chosen = settings(name)
        self.bgr = chosen["is_BGR"]
        low, high = (torch.tensor(v).reshape(1, -1, 1, 1) for v in chosen["image_value_range"])
        self.low, self.span = low, high - low

    def activations(self, image, names):
        image = image.flip(1) if self.bgr else image
        return self.network.activations(self.low + image * self.span, names)


@functools.lru_cache(maxsize=1)
def _network(name: str) -> _Network:
    if NETWORKS[name].graph_def() is None:
        pytest.skip(WITHOUT_CAFFE)
    return _Network(name)


def _arrays(name: str) -> dict[str, np.ndarray]:
    path = RENDER_FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.fail(f"{path.name} is missing: python -m parity_tests.optvis.make_references")
    with np.load(path) as archive:
        return {key.split("|", 1)[1].replace("~", "/"): archive[key] for key in archive.files}


def _build(expression: str) -> Any:
    scope = {"objectives": objectives, "param": param, "transform": transform, "seeded": seeded}
    return eval(expression, scope)  # from the table in make_references.py


def _variables(made) -> list[tuple[torch.nn.Parameter, Any, Any]]:
    """Parameters in the order of Lucid's variables, with the way from and to Lucid's layout."""
    found = []
    for leaf in made.leaves():
        if isinstance(leaf, _CPPN):
            for layer in [*leaf.hidden, leaf.last]:
                found.append((layer.weight, lambda t: t.permute(3, 2, 0, 1), lambda t: t.permute(2, 3, 1, 0)))
                found.append((layer.bias, lambda t: t, lambda t: t))
            continue
        for name, parameter in leaf.named_parameters(recurse=False):
            if name == "spectrum":
                found.append((parameter, lambda t: t, lambda t: t))
            else:
                found.append((parameter, channels_first, channels_last))
    return found


def _set(variables, arrays, key) -> None:
    with torch.no_grad():
        for number, (parameter, to_ours, _) in enumerate(variables):
            value = torch.from_numpy(arrays[f"{key}variable{number:02d}"].astype(np.float32))
            parameter.copy_(to_ours(value))


def _vis(job, made, replay: dict[str, list[np.ndarray]]) -> VisT:
    """A render of a job with TensorFlow's draws."""
    made.reset(RandomSource())
    transforms = [getattr(transform, kind)(**kwargs) for kind, kwargs in job["transforms"]]
    objective, source = _build(job["objective"]), RandomSource(replay=replay)
    return make_vis_T(_network(job["network"]), objective, made, None, transforms, True, seed=source)


def _gradient_errors(job, arrays) -> list[float]:
    errors = []
    made = _build(job["param"])
    for step in arrays["states"]:
        key = f"state{step:03d}/"
        replay = {k.split("draw:")[1]: [v] for k, v in arrays.items() if k.startswith(key + "draw:")}
        vis = _vis(job, made, replay)
        variables = _variables(made)
        _set(variables, arrays, key)
        vis.steps = int(step)
        value, gradients = vis.value_and_gradients()
        by_parameter = dict(zip(map(id, vis.parameters), gradients, strict=True))
        flat = np.concatenate([to_lucid(by_parameter[id(p)]).reshape(-1).numpy() for p, _, to_lucid in variables])
        largest = float(arrays[key + "largest"])
        errors.append(float(np.abs(flat[arrays["positions"]] - arrays[key + "gradient"]).max()) / largest)
        np.testing.assert_allclose(value.numpy(), arrays[key + "loss"], rtol=1e-3, err_msg=key)
    return errors


def _jobs(smooth: bool) -> list[Any]:
    return [pytest.param(r, id=r["name"]) for r in RENDERS if r["network"].endswith("smooth") == smooth]


@pytest.mark.parametrize("job", _jobs(smooth=True))
def test_gradient_on_smooth_networks(job):
    arrays = _arrays(job["name"])
    errors = np.asarray(_gradient_errors(job, arrays))
    rounding = np.asarray([float(arrays[f"state{step:03d}/rounding"]) for step in arrays["states"]])
    bounds = np.maximum(SMOOTH_BOUND, ROUNDING_FACTOR * rounding)
    worst = int(np.argmax(errors / bounds))
    record(errors[worst], bounds[worst], "gradient, the worst of all states")
    assert (errors <= bounds).all(), json.dumps([errors.tolist(), bounds.tolist()])


@functools.cache
def _oracles_own_worst() -> float:
    """Largest change of the oracle's gradient when its parameters move by one unit in the last place."""
    worst = 0.0
    for job in RENDERS:
        if not job["network"].endswith("smooth"):
            arrays = _arrays(job["name"])
            worst = max(worst, *(float(v.max()) for k, v in arrays.items() if k.endswith("/moved")))
    return worst


@pytest.mark.parametrize("job", _jobs(smooth=False))
def test_gradient_on_real_networks(job):
    arrays = _arrays(job["name"])
    errors = _gradient_errors(job, arrays)
    record(float(np.median(errors)), MEDIAN_BOUND, "gradient, the median of all states")
    record(max(errors), WORST_FACTOR * _oracles_own_worst(), "gradient, the worst of all states")
    assert np.median(errors) <= MEDIAN_BOUND, json.dumps(errors)
    assert np.mean(np.asarray(errors) <= MOST_BOUND) >= MOST, json.dumps(errors)
    own = _oracles_own_worst()
    assert max(errors) <= WORST_FACTOR * own, f"oracle's own {own}: {json.dumps(errors)}"


@pytest.mark.parametrize("job", [pytest.param(r, id=r["name"]) for r in RENDERS])
def test_update(job):
    """Given the oracle's gradient, moments and step, the next parameters."""
    arrays = _arrays(job["name"])
    positions = arrays["positions"]
    for step in arrays["states"]:
        key = f"state{step:03d}/"
        numbered = sorted(k for k in arrays if k.startswith(key + "variable"))
        full = np.concatenate([arrays[k].astype(np.float32).reshape(-1) for k in numbered])
        parameter = torch.nn.Parameter(torch.from_numpy(full[positions]))
        optimizer = TFAdam([parameter], lr=0.05)
        powers = [np.float32(0.9), np.float32(0.999)]
        for _ in range(int(step)):
            powers = [powers[0] * np.float32(0.9), powers[1] * np.float32(0.999)]
        optimizer.state[parameter] = {
            "exp_avg": torch.from_numpy(arrays[key + "m"].copy()),
            "exp_avg_sq": torch.from_numpy(arrays[key + "v"].copy()),
            "beta1_power": float(powers[0]),
            "beta2_power": float(powers[1]),
        }
        parameter.grad = torch.from_numpy(arrays[key + "gradient"].copy())
        optimizer.step()
        theirs = arrays[key + "next"]
        allowed = UPDATE_BOUND * 0.05 + np.spacing(np.abs(theirs))
        assert (np.abs(parameter.detach().numpy() - theirs) <= allowed).all(), key


FREE_FACTOR = 10
"""A free render is no further from the oracle's (mean over pixels) than this many times what the
oracle is from itself when its initial parameters, and the constant it pads with, are multiplied by
1 +- 1e-6 (recorded: all alike, and 6 draws with random signs)."""
FREE_STEPS_MISSED = 1
"""On real networks one step of a render may be further away: the step at which a decision flips is
chance. Measured: 94 of 96 steps hold; at the last step of caffe_neuron and the second of seeded_gray
the port's flips first. 30 draws instead of 6 give the same."""
FREE_FLOOR = 1e-5
"""Distances below this are rounding, whatever the oracle's own: 1/400 of a grey level."""


@functools.cache
def _free_run(name: str) -> tuple[list[float], list[float]]:
    """Distance of the port to the oracle, and what is allowed, at each step."""
    job = next(render for render in RENDERS if render["name"] == name)
    arrays = _arrays(name + "_free")
    steps = len(arrays["path"])
    replay: dict[str, list[np.ndarray]] = {}
    for step in range(steps):
        for key in sorted(k for k in arrays if k.startswith(f"step{step}/draw:")):
            replay.setdefault(key.split("draw:")[1], []).append(arrays[key])
    made = _build(job["param"])
    vis = _vis(job, made, replay)
    _set(_variables(made), arrays, "")
    distances, allowed = [], []
    for step in range(steps):
        vis.step()
        picture = vis.image().reshape(-1)[arrays["pixels"]]
        distances.append(float(np.abs(picture - arrays["path"][step]).mean()))
        allowed.append(max(FREE_FACTOR * float(arrays["own_mean"][:, step].max()), FREE_FLOOR))
    return distances, allowed


@pytest.mark.parametrize("job", _jobs(smooth=True))
def test_first_steps_of_a_free_render_on_smooth_networks(job):
    distances, allowed = _free_run(job["name"])
    assert all(d <= a for d, a in zip(distances, allowed, strict=True)), f"{distances} {allowed}"


@pytest.mark.parametrize("job", _jobs(smooth=False))
def test_first_steps_of_a_free_render_on_real_networks(job):
    _network(job["network"])  # skips where the graph is not at hand
    distances, allowed = _free_run(job["name"])
    missed = sum(d > a for d, a in zip(distances, allowed, strict=True))
    assert missed <= FREE_STEPS_MISSED, f"{distances} {allowed}"
