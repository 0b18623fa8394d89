"""Rendering: optimize an image for an objective of a model.

`render_vis` makes a whole render. `make_vis_T` returns a render that can be stepped, read and
stopped.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.memory import is_out_of_memory
from converters.signatures import checked
from lucid_port.misc.environment import is_notebook_environment
from lucid_port.misc.event_writers import LogDir, check_log_dir
from lucid_port.misc.io.displaying import curve_html, pictures_html
from lucid_port.misc.io.films import FILMS, even_frames
from lucid_port.misc.io.showing import show
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.callbacks import Callback, check_callbacks, notify
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
from lucid_port.optvis.engine.diagnostics import failed_at
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.films import FRAMES
from lucid_port.optvis.objectives import Objective, as_objective, nhwc
from lucid_port.optvis.objectives.base import ObjectiveLike
from lucid_port.optvis.progress import LiveView, ProgressBar
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.recipe_files import save_film_with_recipe, save_picture
from lucid_port.optvis.render_log import TensorBoardLog, of_render
from lucid_port.optvis.render_many import make_many_T, render_many  # Lucid has all renders in one module
from lucid_port.optvis.sampling import DEFAULT_SEED, RandomSource

__all__ = [
    "Renders",
    "VisT",
    "make_many_T",
    "make_optimizer",
    "make_param",
    "make_transform_f",
    "make_vis_T",
    "nhwc",
    "render_many",
    "render_vis",
]

make_vis_T = VisT  # Lucid's name


class Renders(list[np.ndarray]):
    """The pictures of a render, a list of float32 arrays [N, H, W, C] in [0, 1].

    Attributes:
        steps: Number of updates made.
        interrupted: Whether Ctrl-C ended the render.
        vis: The render, which can be continued.
        taken_after: Number of updates before each picture.
        callbacks: Callbacks of the render.

    Pickles and deep copies keep the pictures, `losses` and recipes, but neither `vis` nor `callbacks`, which may hold
    anything.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.optvis import param
        >>> model = get_model("TinyInceptionV1")
        >>> renders = render_vis(model, "mixed4a:8", lambda: param.image(32), thresholds=[0, 2], verbose=False)
        >>> len(renders), renders.taken_after, renders.losses.shape
        (2, [1, 3], (3,))
        >>> path = renders.save("unit.png")
        >>> renders.recipe().steps
        3
    """

    steps: int = 0
    interrupted: bool = False
    vis: VisT
    taken_after: Sequence[int] = ()
    callbacks: Sequence[Callback] = ()
    _kept: tuple[np.ndarray, list[Recipe]] | None = None  # losses and recipes of a copy

    def __getattr__(self, name: str) -> Any:
        if name == "vis":
            raise AttributeError("This copy of a render has no vis, as pickles and deep copies keep its results only.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __copy__(self) -> Renders:
        copied = type(self)(self)
        vars(copied).update(vars(self))
        return copied

    def __reduce__(self) -> tuple[type[Renders], tuple[list[np.ndarray]], dict[str, Any]]:
        state = {
            "steps": self.steps,
            "interrupted": self.interrupted,
            "taken_after": tuple(self.taken_after),
            "_kept": (self.losses, [self.recipe(index) for index in range(len(self))]),
        }
        return type(self), (list(self),), state

    @property
    def failed_at(self) -> int | None:
        """First update, from 1 on, at which the objective or the last picture was NaN or infinite; None if finite."""
        return failed_at(self.losses, self[-1] if self else np.zeros(0))

    @checked
    def recipe(self, index: int = -1, picture: int = 0) -> Recipe:
        """Returns the recipe of one picture.

        Args:
            index: Index into the list.
            picture: Index into the batch.

        Raises:
            IndexError: There is no such picture.
        """
        self._check_index(index, picture)
        if self._kept is not None:
            return replace(self._kept[1][index], picture=picture)
        after = self.taken_after[index]
        value = self.vis.losses[after - 1]
        own_code = _callback_notes(self.callbacks)
        return Recipe.of(self.vis, steps=after, picture=picture, value=float(value), own_code=own_code)

    @checked
    def save(self, path: str | os.PathLike[str], index: int | None = None, picture: int = 0) -> Path:
        """Saves one picture, or a film of all, with its recipe beside it and, in a picture, in the file.

        Args:
            path: File name that ends in .png, .jpg or .webp, or in .npy, .npz or .json for an array [H, W, C]. A name
                that ends in .gif or .mp4, or in .webp if there are several pictures and no index, makes a film: up to
                24 of the pictures, of which successive ones differ equally.
            index: Index into the list; the last picture by default.
            picture: Index into the batch.

        Returns:
            The path.

        Raises:
            IndexError: There is no such picture.
            ValueError: The extension is not that of a picture, a film or an array.
            converters.MissingPackageError: The package for MP4 files is missing.
        """
        at = -1 if index is None else index
        recipe = self.recipe(at, picture)
        suffix = Path(path).suffix.lower()
        if suffix in FILMS and index is None and (suffix != ".webp" or len(self) > 1):
            frames = [pictures[picture] for pictures in self]
            return save_film_with_recipe([frames[one] for one in even_frames(frames, FRAMES)], path, recipe)
        return save_picture(self[at][picture], path, recipe)

    def __repr__(self) -> str:
        if not len(self):
            return "Renders([])"
        count, height, width, channels = self[-1].shape
        batch = f" of {count}" if count > 1 else ""
        pictures = f"{len(self)} picture{'s' * (len(self) > 1)}{batch}, {height} x {width} x {channels}"
        return f"<Renders: {pictures}, after {', '.join(map(str, self.taken_after)) or self.steps} updates>"

    def _repr_html_(self) -> str:
        """Returns the pictures at twice their size with the number of updates, and the objective's curve in a fold."""
        pictures = [picture for batch in self for picture in batch]
        after = self.taken_after or [self.steps] * len(self)
        captions = [
            f"{steps} update{'s' * (steps > 1)}" + (f", picture {number}" if len(batch) > 1 else "")
            for steps, batch in zip(after, self, strict=True)
            for number in range(len(batch))
        ]
        losses = self.losses
        last = f": {losses[-1]:.4g}" if len(losses) else ""
        return pictures_html(pictures, captions) + curve_html(losses, f"Objective{last}")

    def _check_index(self, index: int, picture: int) -> None:
        if not -len(self) <= index < len(self):
            raise IndexError(f"There is no picture {index}: {len(self)} were taken.")
        if not -len(self[index]) <= picture < len(self[index]):
            raise IndexError(f"There is no picture {picture} in a batch of {len(self[index])}.")

    @property
    def losses(self) -> np.ndarray:
        """The objective's value before each update, float32 [steps]."""
        return self.vis.losses[: self.steps] if self._kept is None else self._kept[0]


@checked(
    instead={  # keywords of Lucent's render_vis
        "preprocess": "the model does the preprocessing, see image_value_range of modelzoo.from_torch",
        "progress": "verbose=False hides the progress bar",
        "show_image": "verbose=True shows the pictures in a notebook",
        "show_inline": "verbose=True shows the pictures in a notebook",
        "save_image": "save the pictures with render_vis(...).save(path)",
        "image_name": "save the pictures with render_vis(...).save(path)",
        "fixed_image_size": "add the transform lambda image: torch.nn.functional.interpolate(image, (size, size))",
    }
)
def render_vis(
    model: Model,
    objective_f: ObjectiveLike,
    param_f: ParamLike = None,
    optimizer: OptimizerLike = None,
    transforms: TransformsLike = None,
    thresholds: Iterable[int] | int = (512,),
    print_objectives: ObjectiveLike | Iterable[ObjectiveLike] | None = None,
    verbose: bool = True,
    relu_gradient_override: ReluOverride = True,
    use_fixed_seed: bool = False,
    *,
    seed: int | RandomSource = DEFAULT_SEED,
    device: torch.device | str | None = None,
    callbacks: Sequence[Callback] = (),
    log_dir: LogDir | None = None,
    precision: str = "float32",
    compile: bool = False,
    live: bool = False,
) -> Renders:
    """Optimizes an image for an objective; the port of Lucid's `render_vis`.

    Args:
        model: The model.
        objective_f: An objective, a function of `T`, or a text: `"layer:channel"`, `"class:goldfish"`,
            `"mixed4a:3 - 0.5*mixed4b:8"`, ...; see `lucid_port.optvis.grammar`.
        param_f: Parameterization, or a function that makes it; an image of 128 pixels or the network's size by default.
        optimizer: Optimizer, or a function of the list of parameters; TensorFlow's Adam with rate 0.05 by default.
        transforms: A transform or a list, `[]` for none. By default `standard_transforms`, and `crop_or_pad_to` if the
            network takes one size only.
        thresholds: Steps after which to keep a picture. `max(thresholds) + 1` updates are made; the picture of
            threshold i is taken after i + 1 updates, as in Lucid.
        print_objectives: Objectives to print at the thresholds.
        verbose: Whether to print at the thresholds, show the pictures in a notebook and draw a progress bar.
        relu_gradient_override: Whether to redirect ReLU gradients in the first 17 updates; "always": in all updates.
        use_fixed_seed: Has no effect: every render is seeded.
        seed: Seed of all random draws, or a `RandomSource`.
        device: Device of the image; that of the model's weights by default.
        callbacks: Functions that are called with the render (`VisT`) after each update. A callback may have methods:
            `begin(vis, total)` is called before the first update with the number of updates, `snapshot(vis, picture)`
            at each threshold with its pictures [N, H, W, C], and `close()` at the end, even after an error.
        log_dir: Folder for a TensorBoard log, or a writer with its methods, which stays open; see docs/logs.md.
        precision: Precision of the network. `"float32"` does not use TF32. `"tf32"` rounds the inputs of convolutions
            and matrix products to 11 significant bits on a GPU. `"bf16"` uses bfloat16 (8 bits). The last two give
            different pictures of the same kind: see docs/speed.md.
        compile: Whether to compile the network's part of the steps from the 18th update on, for each image size that
            the transforms give (11 by default). It takes minutes, and may not pay: see docs/speed.md.
        live: Whether to show the current picture in a notebook once a second; `progress.LiveView` has more settings.

    Returns:
        A list (`Renders`) with one float32 array [N, H, W, C] in [0, 1] for each distinct threshold, ascending. After
        Ctrl-C or `VisT.stop`, it has the pictures made so far.

    Raises:
        TypeError, ValueError, OSError: An argument is wrong, such as a threshold, a device or a folder of logs.
        Exception: Any error in a step, such as MemoryError; its attribute `renders` has the pictures made so far.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> pictures = render_vis(get_model("TinyInceptionV1"), "mixed4a:8", thresholds=[0, 2], verbose=False)
        >>> [picture.shape for picture in pictures], pictures.steps
        ([(1, 128, 128, 3), (1, 128, 128, 3)], 3)
    """
    counts, printed, own = _update_counts(thresholds), _objectives(print_objectives, model), check_callbacks(callbacks)
    check_log_dir(log_dir)
    with _memory_errors("cpu"):  # the image is made on the host
        vis = VisT(
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
    shown = [*_shown(counts[-1], verbose, live), *_logs(vis, log_dir, own)]
    return _run(vis, counts, [*own, *shown], printed, verbose)


def _shown(steps: int, verbose: bool, live: bool) -> list[Callback]:
    shown: list[Callback] = [ProgressBar(steps)] if verbose else []
    shown += [LiveView(keep=not verbose)] if live else []  # if verbose, the last picture is shown below
    return shown


def _logs(vis: VisT, log_dir: LogDir | None, own: Sequence[Callback]) -> list[Callback]:
    """Returns the log of a render: in a folder, or in that of the enclosing block of `logged`."""
    notes = _callback_notes(own)
    return of_render(vis, own_code=notes) if log_dir is None else [TensorBoardLog(log_dir, about={"own_code": notes})]


@contextlib.contextmanager
def _memory_errors(device: str) -> Iterator[None]:
    """Context that raises a clearer error if a device's memory runs out."""
    try:
        yield
    except Exception as error:
        short = _memory_error(error, device)
        if short is not None:
            raise short from error
        raise


def _objectives(given: ObjectiveLike | Iterable[ObjectiveLike] | None, model: Model) -> list[Objective]:
    """Returns a list of objectives for None, one objective or several."""
    if given is None:
        return []
    if isinstance(given, str) or callable(given):
        return [as_objective(given, model)]
    listed = checks.items(given, "print_objectives", "an objective or a list of objectives")
    return [as_objective(objective, model) for objective in listed]


def _update_counts(thresholds: Iterable[int] | int) -> list[int]:
    """Returns the number of updates before each picture, distinct and in ascending order."""
    steps = list(thresholds) if isinstance(thresholds, Iterable) else [thresholds]
    whole = [isinstance(t, (int, float, np.number)) and float(t).is_integer() and t >= 0 for t in steps]
    if not whole or not all(whole):
        shown = checks.shown(thresholds)
        raise ValueError(f"thresholds are whole step numbers from 0 on, as in (32, 512), not {shown}.")
    return sorted({int(t) + 1 for t in steps})


def _callback_notes(callbacks: Sequence[Callback]) -> list[str]:
    """Returns a sentence for a recipe about each user's own callback, which may have changed the render."""
    names = [getattr(callback, "__name__", type(callback).__name__) for callback in callbacks]
    ours = ("FilmFrames", "LiveView", "ProgressBar", "TensorBoardLog")
    return [f"The callback {name} was called after each update." for name in names if name not in ours]


def _run(
    vis: VisT, counts: Sequence[int], callbacks: Sequence[Callback], printed: Sequence[Objective], verbose: bool
) -> Renders:
    pictures, taken_after = Renders(), list[int]()
    if verbose and vis.format.note:
        print(vis.format.note)
    pictures.vis, pictures.callbacks, pictures.taken_after = vis, tuple(callbacks), taken_after

    def keep() -> None:
        pictures.append(vis.image())
        taken_after.append(vis.steps)
        vis.watch.check()  # costs no wait, as reading the picture has synchronized with the device
        vis.watch.check_picture(pictures[-1])
        notify(callbacks, "snapshot", vis, pictures[-1])
        if verbose:
            _report(vis, pictures[-1], printed)

    try:
        loop.run(vis, counts, keep, callbacks)
    except KeyboardInterrupt:
        pictures.interrupted = True
        if verbose:
            print(f"Interrupted at step {vis.steps}.")
    except Exception as error:
        short = _memory_error(error, vis.device)
        raised: Any = short or error
        raised.renders = pictures
        if short is not None:
            raise short from error
        raise
    finally:
        pictures.steps = vis.steps
    vis.watch.check()
    return pictures


def _memory_error(error: Exception, device: torch.device | str) -> MemoryError | None:
    """Returns a clearer error if the host's memory ran out; None for other errors, and for torch's own of GPUs."""
    if isinstance(error, torch.OutOfMemoryError) or not is_out_of_memory(error):
        return None
    place = "cpu" if isinstance(error, MemoryError) else device  # Python and NumPy use the host's memory
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return MemoryError(
        f"The render does not fit into the memory of {place}: make the image smaller, or free memory ({reason})."
    )


def _report(vis: VisT, picture: np.ndarray, printed: Sequence[Objective]) -> None:
    """Prints the values of the objectives; shows the pictures in a notebook."""
    assert vis.loss is not None
    print(vis.steps - 1, vis.loss.cpu().numpy())
    values = vis.evaluate(printed) if printed else []
    for number, (objective, value) in enumerate(zip(printed, values, strict=True), 1):
        for one in np.atleast_1d(value.cpu().numpy()).ravel():
            print(f"{number:02d}: {objective.description}: {one:7.2f}")
    if is_notebook_environment():
        show(np.hstack(list(picture)))
