"""`lucid-port render`: renders units of a model as pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli import sources, units
from lucid_port.cli.completion import unit_names
from lucid_port.cli.console import Json, LogDir, Quiet, Seed, Source, check_log, print_result, remarks
from lucid_port.cli.limits import limited

if TYPE_CHECKING:
    from lucid_port.modelzoo.vision_base import Model
    from lucid_port.optvis.engine.callbacks import Callback
    from lucid_port.optvis.grammar import Picture
    from lucid_port.optvis.recipe import Recipe
    from lucid_port.optvis.render import Renders

Result = tuple[str, dict[str, Any]]
"""A sentence for people, and its facts for scripts."""


def layer_names(context: typer.Context, incomplete: str) -> list[str]:
    """Layers and classes of a model of the catalogue, for shell completion."""
    return unit_names(str(context.params.get("source")), incomplete)


Units = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="UNITS...",
        autocompletion=layer_names,
        help="What to render: 'LAYER:3', 'LAYER:3,7,20-25', 'LAYER:*', '-LAYER:3', 'LAYER:3 + 0.5*OTHER:8', "
        "'class:LABEL', 'LAYER@direction.npy', ... Without it, the layers and examples are listed.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="PATH",
        help="Picture to write (.png, .jpg, .webp, or .npy for any number of channels), film (.gif, .mp4), or folder "
        "for several.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        min=1, help="Height and width of the picture in pixels: 128, or the network's own size if it takes no other."
    ),
]
Transforms = Annotated[bool, typer.Option(help="Jitter, scale and rotate the picture in each step, as Lucid does.")]
Devices = Annotated[
    str | None, typer.Option(help="cpu, cuda (for several units: all GPUs), cuda:1, mps, ...; the CPU by default.")
]
Sheet = Annotated[
    bool,
    typer.Option("--sheet", help="Also draw all pictures of the folder as one, sheet.png, as lucid-port sheet does."),
]
Frames = Annotated[
    int | None,
    typer.Option(min=2, metavar="N", help="Frames of a film, 24 by default; a .webp is a film only with this option."),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Pictures in a batch; by default as many as fit in memory.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a picture of other settings, or the folder's pictures.")
]


@dataclass(frozen=True)
class _Request:
    """What a command renders, and how."""

    pictures: Sequence[Picture]
    changes: units.Changes
    output: Path
    size: int | None
    steps: int
    lr: float
    transforms: bool
    seed: int
    overwrite: bool

    def options(self, model: Model) -> dict[str, Any]:
        """Returns the arguments of `render_vis` and `render_many`."""
        from lucid_port.optvis import transform
        from lucid_port.optvis.optimizer import TFAdam

        chosen: Any = None if self.transforms else []
        if self.changes.alpha:
            chosen = [*(transform.standard_transforms if self.transforms else []), transform.collapse_alpha_random()]
        return {
            "optimizer": lambda parameters: TFAdam(parameters, lr=self.lr),
            "transforms": chosen,
            "seed": self.seed,
        }

    def image(self, model: Model, batch: int | None = None) -> Any:
        """Returns the image of a render of one unit, or None for the default."""
        from lucid_port.optvis import param
        from lucid_port.optvis.engine.formats import DEFAULT_SIZE, square

        if self.changes.alpha:
            return lambda: param.image(self.size or DEFAULT_SIZE, batch=batch, alpha=True)
        if self.size is None and batch is None:
            return None
        return lambda: square(model, self.size or DEFAULT_SIZE).image(batch)

    @property
    def text(self) -> str:
        return ", ".join(map(str, self.pictures))


@sources.takes_options
def command(
    source: Source,
    opening: sources.ModelOptions,
    wanted: Units = None,
    output: Output = None,
    negative: units.Negative = False,
    neuron: units.Neuron = False,
    deepdream: units.Deepdream = False,
    diversity: units.Diversity = None,
    alpha: units.Alpha = False,
    size: Size = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of updates; the default is Lucid's.")] = 513,
    lr: Annotated[float, typer.Option(help="Learning rate of Adam.")] = 0.05,
    seed: Seed = 0,
    transforms: Transforms = True,
    device: Devices = None,
    frames: Frames = None,
    sheet: Sheet = False,
    batch_size: BatchSize = None,
    overwrite: Overwrite = False,
    log_dir: LogDir = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Render pictures that maximize units of a network.

    Uses Lucid's default settings. Several pictures go into a folder, with a list of them (manifest.json). If a run is
    interrupted, the same command resumes it. docs/units.md lists what UNITS can say.

    Examples: lucid-port render InceptionV1_caffe mixed4a:300 -o eyes.png

    lucid-port render InceptionV1_caffe 'mixed4a:*' -o 4a --sheet

    lucid-port render TinyInceptionV1 class:spiral -o spiral.gif

    lucid-port render --torchvision resnet50 layer4.1.add:7 -o unit.png

    lucid-port render networks:small 'conv2:0-7' -o conv2 --value-range=0,1
    """
    from lucid_port.cli.offer import offer

    if not wanted:
        offer(source, opening)
        return
    from lucid_port.cli.sheet import SHEET, check_sheet, write_sheet
    from lucid_port.optvis.engine.devices import find_device
    from lucid_port.optvis.engine.diagnostics import refuse_failed
    from lucid_port.optvis.progress import logged

    if output is None:
        raise typer.BadParameter("name a picture to write, as in -o unit.png, or a folder", param_hint="'-o'")
    changes = units.Changes(negative, neuron, deepdream, alpha)
    pictures = changes.pictures(wanted)
    many = diversity is not None or _wants_folder(pictures, output)
    if not many:
        _check_file(output, frames, alpha)
        _refuse_folder_options(sheet=sheet, batch_size=batch_size)
    elif frames is not None:
        raise typer.BadParameter("a film shows one unit: name a file, as in -o unit.gif", param_hint="'--frames'")
    if sheet:
        check_sheet(output / SHEET, overwrite)
    place = find_device(device or "cpu")
    check_log(log_dir)
    model = opening.model_to_render(source, pictures).to(place)
    request = _Request(pictures, changes, output, size, limited(steps), lr, transforms, seed, overwrite)
    render: Callable[[Model, _Request], Result] = functools.partial(_render_one, frames=frames)
    if diversity is not None:
        render = functools.partial(_render_diverse, count=diversity)
    elif many:
        render = functools.partial(_render_many, batch_size=batch_size, device=device)
    with remarks(json), logged(log_dir):
        sentence, facts = render(model, request)
    if sheet and not facts.get("unfinished"):
        facts["sheet"] = write_sheet(output, overwrite=overwrite)
        sentence = f"{sentence}\n{facts['sheet']}"
    facts = {"output": output, "units": request.text, "size": size, "steps": request.steps, "seed": seed, **facts}
    print_result(sentence, facts, json)
    if facts.get("unfinished"):
        raise KeyboardInterrupt
    refuse_failed(facts["failed"])


def _is_film(output: Path, frames: int | None) -> bool:
    suffix = output.suffix.lower()
    return suffix in (".gif", ".mp4") or (suffix == ".webp" and frames is not None)


def _wants_folder(pictures: Sequence[Picture], output: Path) -> bool:
    """Whether to write a folder: there are several units, or the path has no extension or is a folder.

    Raises:
        ValueError: there are several units, but the path is a picture's or a film's.
    """
    from lucid_port.misc.io.films import FILMS
    from lucid_port.optvis.recipe_files import OUTPUTS

    several = len(pictures) > 1 or pictures[0].is_several
    if several and output.suffix.lower() in (*OUTPUTS, *FILMS) and not output.is_dir():
        text = ", ".join(map(str, pictures))
        raise ValueError(f"{text!r} names several units, which do not fit into the file {output}: give a folder.")
    return several or output.is_dir() or not output.suffix


def _check_file(output: Path, frames: int | None, alpha: bool) -> None:
    """Checks the path of a picture or a film before the work.

    Raises:
        ValueError, OSError: it cannot be written.
        typer.BadParameter: an option does not fit it.
    """
    from lucid_port.misc.io.films import check_film_path
    from lucid_port.optvis.recipe_files import check_output

    if _is_film(output, frames):
        check_film_path(output)
    elif frames is not None:
        raise typer.BadParameter("films end in .gif, .webp or .mp4", param_hint="'--frames'")
    else:
        check_output(output)
    if alpha and (_is_film(output, frames) or output.suffix.lower() in (".jpg", ".jpeg")):
        raise typer.BadParameter("pictures with transparency end in .png, .webp or .npy", param_hint="'--alpha'")


def _refuse_folder_options(**options: object) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        name = given[0].replace("_", "-")
        raise typer.BadParameter(f"--{name} is for folders: give a folder, or leave the option out for one picture.")


def _render_one(model: Model, request: _Request, frames: int | None) -> Result:
    import numpy as np

    from lucid_port.optvis.engine.diagnostics import refuse_failed
    from lucid_port.optvis.films import FRAMES, FilmFrames
    from lucid_port.optvis.recipe_files import check_output, refuse_another, save_film_with_recipe

    (unit,) = request.changes.units(request.pictures, model)
    film = FilmFrames(frames or FRAMES) if _is_film(request.output, frames) else None
    if film is None:
        check_output(request.output, 4 if request.changes.alpha else model.image_shape[-1])
    _check_channels(request.pictures, model)
    image = request.image(model)
    if request.output.exists() and not request.overwrite:
        refuse_another(request.output, _recipe(model, request, unit, image))
    pictures = _rendered(model, request, unit, image, [] if film is None else [film])
    failed = {} if pictures.failed_at is None else {request.text: pictures.failed_at}
    if not np.isfinite(pictures[-1]).all():
        refuse_failed(failed)
    if film is None:
        pictures.save(request.output, index=-1)
    else:
        save_film_with_recipe(film.frames(), request.output, pictures.recipe())
    reached = float(pictures.losses[-1])
    height, width = pictures[-1].shape[1:3]
    sentence = f"{request.output}: {request.text}, {height}x{width}, {pictures.steps} steps, objective {reached:.2f}"
    return sentence, {"steps": pictures.steps, "objective": reached, "size": _size(height, width), "failed": failed}


def _check_channels(pictures: Sequence[Picture], model: Model) -> None:
    """Checks that the layers and channels exist, before the render."""
    from lucid_port.optvis.grammar import Channels
    from lucid_port.recipes.inputs import check_units

    for picture in pictures:
        for term in picture.terms:
            if isinstance(term.target, Channels) and term.target.ranges is not None:
                check_units(model, term.target.layer, [last for _, last in term.target.ranges])


def _rendered(model: Model, request: _Request, unit: Any, image: Any, callbacks: Sequence[Callback]) -> Renders:
    from lucid_port.optvis import render
    from lucid_port.optvis.progress import ProgressBar

    pictures = render.render_vis(
        model,
        unit,
        image,
        thresholds=(request.steps - 1,),
        verbose=False,
        callbacks=[*callbacks, ProgressBar(request.steps)],
        **request.options(model),
    )
    if not pictures:
        raise KeyboardInterrupt
    if pictures.vis.format.note:
        typer.echo(pictures.vis.format.note)
    return pictures


def _recipe(model: Model, request: _Request, unit: Any, image: Any) -> Recipe:
    """Returns the recipe of a render before it is made."""
    from lucid_port.optvis.engine.vis import VisT
    from lucid_port.optvis.recipe import Recipe

    vis = VisT(model, unit, image, relu_gradient_override=True, **request.options(model))
    return Recipe.of(vis, steps=request.steps)


def _size(height: int, width: int) -> int | list[int]:
    return height if height == width else [height, width]


def _render_many(model: Model, request: _Request, *, batch_size: int | None, device: str | None) -> Result:
    from lucid_port.optvis import param
    from lucid_port.optvis.engine.formats import DEFAULT_SIZE
    from lucid_port.optvis.render_many import render_many

    side = request.size or DEFAULT_SIZE
    renders = render_many(
        model,
        request.changes.units(request.pictures, model),
        (lambda batch: param.image(side, batch=batch, alpha=True)) if request.changes.alpha else None,
        size=None if request.changes.alpha else request.size,
        steps=request.steps,
        output=request.output,
        devices=None if device is None or device == "cuda" else [device],
        batch_size=batch_size,
        overwrite=request.overwrite,
        **request.options(model),
    )
    height, width = renders.size
    done = {"pictures": [one.path for one in renders], "reused": renders.reused, "size": _size(height, width)}
    done["failed"] = renders.failed
    if renders.interrupted:
        left = renders.asked - len(renders)
        sentence = f"{request.output}: {len(renders)} of {renders.asked} units; the same command resumes it"
        return sentence, {**done, "unfinished": left}
    there = f", {renders.reused} of them were there" if renders.reused else ""
    count = f"{renders.asked} unit{'s' * (renders.asked != 1)}"
    sentence = f"{request.output}: {count} of {request.text}, {height}x{width}, {request.steps} steps{there}"
    return sentence, {**done, "unfinished": 0}


def _render_diverse(model: Model, request: _Request, *, count: int) -> Result:
    """Renders several pictures of each unit; finished ones of the same settings are kept."""
    from lucid_port.optvis import objectives
    from lucid_port.optvis.many.picture_folder import check_folder, file_stem
    from lucid_port.optvis.objectives.from_text import objective_of, single_pictures
    from lucid_port.optvis.recipe_files import OUTPUTS, refuse_another
    from lucid_port.recipes.feature_visualization import DIVERSITY
    from lucid_port.recipes.inputs import channels_of

    if request.changes.alpha:
        raise typer.BadParameter("it cannot be joined with --diversity", param_hint="'--alpha'")
    if request.output.suffix.lower() in (*OUTPUTS, ".gif", ".mp4") and not request.output.is_dir():
        raise typer.BadParameter(f"it makes {count} pictures: name a folder with -o", param_hint="'--diversity'")
    check_folder(request.output)
    _check_channels(request.pictures, model)
    counted = functools.partial(channels_of, model)
    singles = [one for picture in request.pictures for one in single_pictures(picture, model, counted)]
    paths: list[Path] = []
    reused, failed = 0, {}
    for single in singles:
        files = [request.output / f"{file_stem(str(single))}_{number}.png" for number in range(count)]
        objective = objective_of(single, model) - DIVERSITY * objectives.diversity(_layer_of(single))
        image = request.image(model, batch=count)
        paths += files
        if not request.overwrite and any(file.exists() for file in files):
            recipe = _recipe(model, request, objective, image)
            for file in files:
                refuse_another(file, recipe)
            if all(file.exists() for file in files):
                reused += 1
                continue
        made = _rendered(model, request, objective, image, [])
        if made.failed_at is not None:
            failed[str(single)] = made.failed_at
            continue
        for number, file in enumerate(files):
            made.save(file, index=-1, picture=number)
    there = f", {reused} of them were there" if reused else ""
    several = f"{len(singles)} unit{'s' * (len(singles) != 1)}"
    sentence = f"{request.output}: {count} pictures of each of {several}, {request.steps} steps{there}"
    return sentence, {"pictures": paths, "reused": reused, "failed": failed, "unfinished": 0}


def _layer_of(picture: Picture) -> str:
    """The layer whose Gram matrices are to differ: the unit's, after its ReLU.

    Raises:
        typer.BadParameter: the picture is not of a channel.
    """
    from lucid_port.optvis.grammar import Channels

    target = picture.terms[0].target
    if not isinstance(target, Channels):
        raise typer.BadParameter(f"{picture} is not a channel of a layer", param_hint="'--diversity'")
    return target.layer.removesuffix("_pre_relu")
