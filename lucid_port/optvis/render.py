"""Rendering: optimise an image until a model sees in it what an objective asks for.

`render_vis` is the usual way; `make_vis_T` gives the object underneath, which can be
stepped, read and stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.coerce import (
    Model,
    OptimizerLike,
    ParamLike,
    ReluOverride,
    TransformsLike,
    make_optimizer,
    make_param,
    make_transform_f,
)
from lucid_port.optvis.engine.vis import Callback, VisT
from lucid_port.optvis.objectives import Objective, as_objective
from lucid_port.optvis.progress import LiveView, ProgressBar, TensorBoardLog
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.recipe_files import save_picture
from lucid_port.optvis.render_many import make_many_T, render_many  # noqa: F401  (Lucid has all renders in one module)
from lucid_port.optvis.sampling import DEFAULT_SEED, RandomSource

__all__ = [
    "Renders",
    "VisT",
    "make_optimizer",
    "make_param",
    "make_transform_f",
    "make_vis_T",
    "render_vis",
]


def make_vis_T(
    model: Model,
    objective_f: Any,
    param_f: ParamLike = None,
    optimizer: OptimizerLike = None,
    transforms: TransformsLike = None,
    relu_gradient_override: ReluOverride = False,
    *,
    seed: int | RandomSource = DEFAULT_SEED,
    device: torch.device | str | None = None,
    precision: str = "float32",
    compile: bool = False,
) -> VisT:
    """Set up a render without running it.

    Arguments as in `render_vis`; note that ReLU gradients are not overridden by default.
    """
    return VisT(
        model,
        objective_f,
        param_f,
        optimizer,
        transforms,
        relu_gradient_override,
        seed=seed,
        device=device,
        precision=precision,
        compile=compile,
    )


# The whole render -----------------------------------------------------------------------------


class Renders(list[np.ndarray]):
    """The list of pictures that a render returns, with what else is known of it.

    Attributes:
        steps: number of updates made.
        interrupted: whether it ended early.
        vis: the render itself, to go on with.
        taken_after: after how many updates each picture was taken.
        callbacks: what the caller had called after each update.
    """

    steps: int = 0
    interrupted: bool = False
    vis: VisT
    taken_after: Sequence[int] = ()
    callbacks: Sequence[Callback] = ()

    def recipe(self, index: int = -1, picture: int = 0) -> Recipe:
        """How one of the pictures was made.

        Args:
            index: which of the list.
            picture: which of its batch.

        Raises:
            IndexError: there is no such picture.
        """
        after = self.taken_after[index]
        value = self.vis.losses[after - 1]
        return Recipe.of(self.vis, steps=after, picture=picture, value=float(value), own_code=_said(self.callbacks))

    def save(self, path: str | os.PathLike[str], index: int = -1, picture: int = 0) -> Path:
        """Save one of the pictures with its recipe, in the file and beside it.

        Args:
            path: a picture's file name (.png, .jpg, .webp).
            index, picture: as for `recipe`.

        Returns:
            The path.

        Raises:
            IndexError: there is no such picture.
            ValueError: the extension is not a picture's.
        """
        return save_picture(self[index][picture], path, self.recipe(index, picture))

    @property
    def losses(self) -> np.ndarray:
        """Objective value before each update, float32 array."""
        return self.vis.losses[: self.steps]


def render_vis(
    model: Model,
    objective_f: Any,
    param_f: ParamLike = None,
    optimizer: OptimizerLike = None,
    transforms: TransformsLike = None,
    thresholds: Iterable[int] = (512,),
    print_objectives: Sequence[Any] | None = None,
    verbose: bool = True,
    relu_gradient_override: ReluOverride = True,
    use_fixed_seed: bool = False,
    *,
    seed: int | RandomSource = DEFAULT_SEED,
    device: torch.device | str | None = None,
    callbacks: Sequence[Callback] = (),
    log_dir: str | None = None,
    precision: str = "float32",
    compile: bool = False,
    live: bool = False,
) -> Renders:
    """Optimise an image for an objective; the port of Lucid's `render_vis`.

    Args:
        model: the model.
        objective_f: an objective, `"layer:channel"`, or a function of `T`.
        param_f: parameterization, or a function that makes one; `param.image(128)` by default.
        optimizer: see `make_optimizer`; TensorFlow's Adam with rate 0.05 by default.
        transforms: list of transforms; `standard_transforms` by default, `[]` for none.
        thresholds: steps after which to keep a picture. `max(thresholds) + 1` updates are made,
            and the picture of threshold i is that after i + 1 updates, as in Lucid.
        print_objectives: objectives to print at the thresholds.
        verbose: print at the thresholds, show the pictures in a notebook, draw a progress bar.
        relu_gradient_override: redirect ReLU gradients in the first 17 updates; "always" in all of them.
        use_fixed_seed: kept for Lucid's sake; every render is seeded.
        seed: of all random draws; a `RandomSource` is used as it is.
        device: where the image lives; that of the model's weights by default.
        callbacks: functions of the render (`VisT`), called after each update.
        log_dir: write loss and pictures for TensorBoard into this folder.
        precision: of the network: `"float32"`, strictly; `"tf32"`, on a GPU, convolutions and matrix products of
            float32 numbers rounded to 11 significant bits; `"bf16"`, the network in bfloat16 (8 bits). The last two
            give other pictures of the same kind: see docs/speed.md.
        compile: compile the network's part of the steps, once for each of the sizes that the transforms give (11 by
            default), from the 18th update on. The numbers stay the same up to rounding. It takes minutes before it
            begins to pay, if it does: see docs/speed.md.
        live: show the present picture while it renders, at most once a second, in a notebook; nothing elsewhere.
            `callbacks=[LiveView(...)]` of `lucid_port.optvis.progress` has settings.

    Returns:
        A list (`Renders`) with one float32 array [N, H, W, C] in [0, 1] for each distinct
        threshold, in order. Interrupting (Ctrl-C) or `VisT.stop` returns what there is.

    Raises:
        ValueError: no threshold, or a negative one, was given; there is no such device or precision.
        TypeError: an argument is not what it should be.
        Exception: what a callback, the objective or the model raises in a step comes through as it is, with what was
            rendered before it in its attribute `renders`.
    """
    wanted = _steps_of(thresholds)
    printed = [as_objective(objective) for objective in _listed(print_objectives)]
    vis = make_vis_T(
        model,
        objective_f,
        param_f,
        optimizer,
        transforms,
        relu_gradient_override,
        seed=seed,
        device=device,
        precision=precision,
        compile=compile,
    )
    hooks: list[Any] = list(callbacks)
    if verbose:
        hooks.append(ProgressBar(wanted[-1] + 1))
    if live:
        hooks.append(LiveView(keep=not verbose))  # when verbose, the last picture is shown below
    if log_dir is not None:
        hooks.append(TensorBoardLog(log_dir))
    return _run(vis, wanted, hooks, printed, verbose)


def _steps_of(thresholds: Any) -> list[int]:
    """Thresholds as distinct step numbers, in order."""
    steps: list[Any] = list(thresholds) if isinstance(thresholds, Iterable) else [thresholds]
    whole = [isinstance(t, (int, float, np.number)) and float(t).is_integer() and t >= 0 for t in steps]
    if not whole or not all(whole):
        raise ValueError(f"thresholds are whole step numbers from 0 on, as in (32, 512), not {thresholds!r}.")
    return sorted({int(t) for t in steps})


def _listed(objectives: Any) -> list[Any]:
    """Objectives to print: none, one, or several."""
    if objectives is None:
        return []
    return [objectives] if isinstance(objectives, (str, Objective)) else list(objectives)


def _said(callbacks: Sequence[Callback]) -> list[str]:
    """What a recipe says of callbacks, which may do anything with a render."""
    names = [getattr(callback, "__name__", type(callback).__name__) for callback in callbacks]
    ours = ("LiveView", "ProgressBar", "TensorBoardLog")
    return [f"The callback {name} was called after each update." for name in names if name not in ours]


def _run(vis: VisT, wanted: list[int], hooks: list[Any], printed: Sequence[Any], verbose: bool) -> Renders:
    pictures = Renders()
    taken_after: list[int] = []
    pictures.vis, pictures.callbacks, pictures.taken_after = vis, tuple(hooks), taken_after
    counts = [threshold + 1 for threshold in wanted]

    def keep() -> None:
        pictures.append(vis.image())
        taken_after.append(vis.steps)
        vis.watch.check()  # the picture waited for the device already
        _report(vis, vis.steps - 1, pictures[-1], hooks, printed, verbose)

    for hook in hooks:
        if hasattr(hook, "begin"):
            hook.begin(vis, counts[-1])
    try:
        loop.run(vis, counts, keep, hooks)
    except KeyboardInterrupt:
        pictures.interrupted = True
        if verbose:
            print(f"Interrupted at step {vis.steps}.")
    except Exception as error:
        error.renders = pictures  # type: ignore[attr-defined]  # minutes of work, for whoever catches it
        raise
    finally:
        pictures.steps = vis.steps
        for hook in hooks:
            if hasattr(hook, "close"):
                hook.close()
    vis.watch.check()
    return pictures


def _report(
    vis: VisT,
    index: int,
    picture: np.ndarray,
    hooks: list[Any],
    printed: Sequence[Any],
    verbose: bool,
) -> None:
    for hook in hooks:
        if hasattr(hook, "snapshot"):
            hook.snapshot(vis, picture)
    if not verbose:
        return
    assert vis.loss is not None
    print(index, vis.loss.cpu().numpy())
    if printed:
        for number, (objective, value) in enumerate(zip(printed, vis.evaluate(printed), strict=True), 1):
            description = as_objective(objective).description
            for one in np.atleast_1d(value.cpu().numpy()).ravel():
                print(f"{number:02d}: {description}: {one:7.2f}")
    _show(picture)


def _show(picture: np.ndarray) -> None:
    from lucid_port.misc.environment import is_notebook_environment

    if is_notebook_environment():
        from lucid_port.misc.io import show

        show(np.hstack(list(picture)))
