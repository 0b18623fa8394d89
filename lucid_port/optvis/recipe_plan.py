"""Plans: hand-written TOML or JSON documents that configure a render.

A plan contains the settings that differ from the defaults:

    model = "InceptionV1_caffe"
    units = "inception_4a_output:300-309"
    size = 160
    output = "eyes"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from converters import schema
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.misc.offline import offline
from lucid_port.optvis import objectives, serialization
from lucid_port.optvis.engine.callbacks import Callback
from lucid_port.optvis.engine.coerce import Model, ReluOverride
from lucid_port.optvis.engine.diagnostics import failed_at, refuse_failed
from lucid_port.optvis.engine.formats import square
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many.picture_folder import check_folder
from lucid_port.optvis.many.unit_spec import name_of, names_several
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.recipe import Precision, Recipe, is_recipe, make_optimizer, missing_model
from lucid_port.optvis.recipe_files import check_output, refuse_another, save_picture
from lucid_port.optvis.render import render_vis
from lucid_port.optvis.render_many import STEPS, render_many

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """Configuration of a render.

    Attributes:
        model: Name in the catalog, or a path.
        units: Units as for `render_many`, such as `"mixed4a_pre_relu:*"`; several are saved in a folder.
        objective: One objective in place of units: `"layer:channel"` or plain data.
        size: Height and width in pixels.
        image: Parameterization as plain data, in place of a size.
        steps: Number of updates.
        lr: Learning rate of Lucid's Adam.
        optimizer: Optimizer in place of a learning rate: `{optimizer = "SGD", args = {lr = 1.0}}`.
        transforms: "standard", or a list of plain data; an empty list for no transforms.
        seed, seeds, per_image, relu_gradient_override, precision, compile: As for `render_vis` and `render_many`.
        value_range, bgr: Range and channel order of the model's input, if the model does not state them.
        output: Path of the picture, or of the folder for several pictures.
        sheet, batch_size: As for `render_many`.

    Raises:
        ValueError: A setting is missing, of another type or out of range, or two settings exclude each other.

    Example:
        >>> plan = Plan("TinyInceptionV1", "mixed4a:3-5", size=32)
        >>> plan.makes_folder
        True
    """

    model: str
    units: str | Sequence[Any] | None = None
    objective: str | Mapping[str, Any] | None = None
    size: schema.Positive | None = None
    image: Mapping[str, Any] | None = None
    steps: schema.Positive = STEPS
    lr: float | None = None
    optimizer: Mapping[str, Any] | None = None
    transforms: Literal["standard"] | Sequence[Mapping[str, Any]] = "standard"
    seed: schema.Natural = 0
    seeds: Sequence[schema.Natural] | None = None
    per_image: bool = False
    relu_gradient_override: ReluOverride = True
    precision: Precision = "float32"
    compile: bool = False
    value_range: Sequence[float | Sequence[float]] | None = None
    bgr: bool | None = None
    output: str | None = None
    sheet: bool = False
    batch_size: schema.Positive | None = None

    def __post_init__(self) -> None:
        schema.check_fields(self, "A recipe")
        for one, other in (("units", "objective"), ("size", "image"), ("lr", "optimizer")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"A recipe has either {one} or {other}, not both.")
        if self.units is None and self.objective is None:
            raise ValueError("The recipe does not say what to render: give units, as in units = 'mixed4a:*'.")

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Plan:
        """Makes a plan from a parsed document.

        Raises:
            ValueError: A key is unknown, or the model is missing.
        """
        schema.check_table(document, schema.hints_of(cls), "A recipe")
        if "model" not in document:
            raise ValueError("The recipe names no model, as in model = 'InceptionV1'.")
        return cls(**document)

    @property
    def makes_folder(self) -> bool:
        """Whether the plan makes several pictures."""
        if self.units is None:
            return False
        return not isinstance(self.units, str) or names_several(self.units) or self.sheet

    def open_model(self) -> Model:
        """Opens the model by its name or path. Nothing is downloaded: a plan may come from another author.

        Raises:
            ConnectionError: The model is not on this machine.
        """
        from lucid_port.modelzoo.nets_factory import open_model

        value_range = None if self.value_range is None else tuple(self.value_range)
        with offline(missing_model(self.model)):
            return open_model(self.model, image_value_range=value_range, is_BGR=self.bgr)

    def target(self) -> Path:
        """Returns the path of `output`, inside of the current folder: a plan may come from another author.

        Raises:
            ValueError: The plan has no output, or one elsewhere.
        """
        if not self.output:
            raise ValueError("The recipe does not say where to write: give output in it, or -o.")
        if not self.output.isprintable():
            raise ValueError(f"The recipe's output {self.output!r:.200} has characters that are not printed.")
        output = user_path(self.output)
        if not output.resolve().is_relative_to(Path.cwd().resolve()):
            raise ValueError(
                f"The recipe's output {self.output} is outside of the current folder, where recipes do not write: say "
                "where to write with -o."
            )
        return output

    @checked
    def run(self, output: Path, model: Model, callbacks: list[Callback], verbose: bool = True) -> list[Path]:
        """Renders and saves the pictures.

        Args:
            output: Path of the picture, or of the folder for several pictures.
            model: Model from `open_model`, on its device.
            callbacks: Functions that are called after each update of a single picture.
            verbose: Whether to show progress.

        Returns:
            The paths of the pictures.

        Raises:
            FloatingPointError: The objective of a unit became NaN or infinite. The other pictures are saved.
            KeyboardInterrupt: The render was interrupted. Finished pictures are saved; the same call
                continues with the others.
        """
        return (self._run_many if self.makes_folder else self._run_one)(output, model, callbacks, verbose)

    def _run_one(self, output: Path, model: Model, callbacks: list[Callback], verbose: bool) -> list[Path]:
        if self.seeds is not None or self.per_image:
            raise ValueError("A recipe of one picture has a seed, not seeds or per_image.")
        check_output(output, getattr(model, "image_shape", (None,))[-1])
        objective = self.units if self.objective is None else self.objective
        pictures = render_vis(
            model,
            objectives.as_objective(serialization.from_data(objective), model),
            self._image(model),
            self._optimizer(),
            self._transforms(),
            thresholds=(self.steps - 1,),
            verbose=False,
            relu_gradient_override=self.relu_gradient_override,
            seed=self.seed,
            precision=self.precision,
            compile=self.compile,
            callbacks=callbacks,
        )
        if not pictures:
            raise KeyboardInterrupt
        paths = [pictures.save(output)] if np.isfinite(pictures[-1]).all() else []
        name = objective if isinstance(objective, str) else name_of(pictures.vis.objective)
        refuse_failed({name: pictures.failed_at})
        return paths

    @checked
    def recipe(self, model: Model) -> Recipe:
        """Returns the recipe of the picture of a plan of one picture, before its render."""
        objective = self.units if self.objective is None else self.objective
        vis = VisT(
            model,
            objectives.as_objective(serialization.from_data(objective), model),
            self._image(model),
            self._optimizer(),
            self._transforms(),
            self.relu_gradient_override,
            seed=self.seed,
            precision=self.precision,
            compile=self.compile,
        )
        return Recipe.of(vis, steps=self.steps)

    def _image(self, model: Model) -> Callable[[], Any] | None:
        size = self.size
        if self.image is not None:
            return lambda: serialization.from_data(self.image)
        return None if size is None else lambda: square(model, size).image()

    def _run_many(self, output: Path, model: Model, callbacks: list[Callback], verbose: bool) -> list[Path]:
        assert self.units is not None
        if self.compile:
            raise ValueError("compile is for recipes of one picture.")
        renders = render_many(
            model,
            self.units,
            None if self.image is None else lambda: serialization.from_data(self.image),
            self._optimizer(),
            self._transforms(),
            self.relu_gradient_override,
            size=self.size,
            steps=self.steps,
            seed=self.seed,
            seeds=self.seeds,
            per_image=self.per_image,
            precision=self.precision,
            batch_size=self.batch_size,
            output=output,
            sheet=self.sheet,
            verbose=verbose,
        )
        if renders.interrupted:
            raise KeyboardInterrupt
        refuse_failed(renders.failed)
        return list(dict.fromkeys(one.path for one in renders if one.path is not None))

    def _optimizer(self) -> Callable[[Any], Any] | None:
        if self.optimizer is not None:
            return make_optimizer(self.optimizer)
        rate = self.lr
        return None if rate is None else lambda parameters: TFAdam(parameters, lr=rate)

    def _transforms(self) -> Any:
        if self.transforms == "standard":
            return None
        return serialization.from_data(self.transforms)


def run_document(
    document: Mapping[str, Any],
    output: Path | None,
    device: str | None,
    callbacks: Callable[[int], list[Callback]],
    model: Any = None,
    overwrite: bool = True,
) -> list[Path]:
    """Renders and saves the pictures of a document: a plan, or the recipe of a picture.

    Args:
        document: Parsed document.
        output: Path of the picture or folder, in place of the document's.
        device: Device of the render.
        callbacks: Function from the number of steps to the callbacks of a single picture.
        model: Model to use instead of the document's.

    Returns:
        The paths of the pictures.

    Raises:
        FloatingPointError: The objective became NaN or infinite. Finite pictures are saved.
        ValueError: A setting is missing.
    """
    if is_recipe(document):
        recipe = Recipe.from_data(document)
        if output is None:
            raise ValueError("The recipe of a picture does not say where to write it: give an output (-o).")
        check_output(output)
        if not overwrite:
            refuse_another(output, recipe)
        model = recipe.open_model() if model is None else model
        check_output(output, getattr(model, "image_shape", (None,))[-1])
        picture, losses = recipe.render_with_losses(model, device=device, callbacks=callbacks(recipe.steps))
        paths = [save_picture(picture, output, recipe)] if np.isfinite(picture).all() else []
        refuse_failed({str(output): failed_at(losses, picture)})
        return paths
    plan = Plan.from_document(document)
    target = user_path(output) if output is not None else plan.target()
    (check_folder if plan.makes_folder else check_output)(target)
    model = plan.open_model() if model is None else model
    model = model if device is None else model.to(device)
    if not overwrite and not plan.makes_folder and target.exists():
        refuse_another(target, plan.recipe(model))
    return plan.run(target, model, callbacks(plan.steps))
