"""`lucid-port microscope`: a site with a page for each unit of a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lucid_port.cli import sources
from lucid_port.cli.console import (
    Device,
    Json,
    LogDir,
    PathCommand,
    Quiet,
    Source,
    check_log,
    names_in,
    print_result,
    print_text,
    remarks,
)

if TYPE_CHECKING:
    from lucid_port.microscope.estimate import Estimate
    from lucid_port.modelzoo.vision_base import Model

ASKED_FROM = 2.0
"""Hours from which on the command asks before it begins."""

MAKE = "make"


class _Group(TyperGroup):
    """Commands of which `make` need not be named: `lucid-port microscope MODEL` makes a site."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `make` before the name of a model."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [MAKE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_Group, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})


def _names(text: str) -> Any:
    return typer.Option(metavar="NAME,...", help=text)


SitePath = Annotated[Path, typer.Argument(metavar="SITE", help="Folder of the site.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the site.")]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Pictures, with a subfolder for each class or without. TinyInceptionV1 has its own drawings.",
    ),
]
Layers = Annotated[str | None, _names("Layers; by default Lucid's list, or the outputs of blocks.")]
Units = Annotated[
    list[str] | None,
    typer.Option(metavar="LAYER:N,...", help="Units, as in mixed4a:3,7,20-25; all by default. Can be repeated."),
]
Techniques = Annotated[str | None, _names("channel, channel-negative (both by default), neuron, diversity, or all.")]
Quality = Annotated[
    str | None,
    typer.Option(help="preview (64 pixels, 64 steps; the default), standard (Lucid's defaults) or microscope."),
]
WholePictures = Annotated[
    str | None, typer.Option(help="Whole pictures in the site: none, small (512 pixels; the default) or full.")
]
Images = Annotated[
    list[Path] | None,
    typer.Option(metavar="PICTURE", help="A picture whose caricature is made in each layer. Can be repeated."),
]
ExecutorName = Annotated[
    str | None, typer.Option(help="here, processes or ray; by default processes, if there are several cores.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Number of workers; one for each GPU or core.")]
Part = Annotated[str | None, typer.Option(metavar="3/16", help="Do one part of the tasks; merge completes the site.")]
Budget = Annotated[
    str | None, typer.Option(metavar="2h", help="Time: the units with the most selective examples come first.")
]
SeedOfAll = Annotated[int | None, typer.Option(min=0, help="Seed of all random draws.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Renders in a batch.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before work that takes more than two hours.")]
ShowStatus = Annotated[bool, typer.Option("--status", help="Only say what exists.")]


@sources.takes_options
def make(
    source: Source,
    opening: sources.ModelOptions,
    output: Output,
    data: Data = None,
    layers: Layers = None,
    units: Units = None,
    techniques: Techniques = None,
    quality: Quality = None,
    originals: WholePictures = None,
    image: Images = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    part: Part = None,
    budget: Budget = None,
    seed: SeedOfAll = None,
    batch_size: BatchSize = None,
    device: Device = None,
    log_dir: LogDir = None,
    yes: Yes = False,
    status: ShowStatus = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a site with a page for each unit of a network.

    The pages open from a file and need no server. An interrupted command goes on when it is repeated; layers, units,
    techniques and pictures that are named later are added.

    Examples: lucid-port microscope TinyInceptionV1 -o site

    lucid-port microscope InceptionV1_caffe -o site --data photographs --layers inception_4a_output --quality standard

    lucid-port microscope merge site
    """
    if status:
        given = {"--data": data, "--layers": layers, "--units": units, "--techniques": techniques, "--quality": quality}
        ignored = [name for name, value in given.items() if value is not None]
        if ignored:
            raise typer.BadParameter(f"--status reads the folder of the site alone: leave out {', '.join(ignored)}")
        _print_status(output, json)
        return
    from lucid_port.microscope.run import make_site
    from lucid_port.optvis.engine.devices import find_device

    hours = None if budget is None else hours_of(budget)
    place = find_device(device or "cpu")
    check_log(log_dir)
    model = opening.model(source).to(place)
    with remarks(json):
        site = make_site(
            model,
            output,
            data,
            layers=None if layers is None else names_in(layers),
            units=units or None,
            techniques=None if techniques is None else names_in(techniques),
            quality=quality,
            originals=originals,  # type: ignore[arg-type]  # is checked
            images=image or (),
            executor=executor,
            workers=workers,
            part=part,
            budget=hours,
            seed=seed,
            batch_size=batch_size,
            confirm=_confirm(yes),
            verbose=True,
            log_dir=log_dir,
        )
    _print_site(output, part, site is not None, json)


def merge(
    site: SitePath,
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER...", help="Further folders that parts were written to.")
    ] = None,
    model: sources.Model_ = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Complete a site whose tasks were done by several commands with --part.

    Example: lucid-port microscope merge site
    """
    from lucid_port.microscope.run import merge_site

    with remarks(json):
        merge_site(_model_of(site, folders or (), model), site, folders or ())
    _print_site(site, None, True, json)


def check(site: SitePath, quiet: Quiet = False, json: Json = False) -> None:
    """List what a static host refuses, and links that lead nowhere.

    Hosts take files of at most 100 MB and sites of at most 1 GB. The exit code is 1 if there is a fault.

    Example: lucid-port microscope check site
    """
    from lucid_port.microscope import upkeep

    found = upkeep.check(site)
    lines = [f"{one.path or site}: {one.reason}" for one in found]
    text = "\n".join(lines) or f"{site}: no faults"
    print_result(text, {"faults": [{"path": one.path, "reason": one.reason} for one in found]}, json)
    if found:
        raise typer.Exit(1)


def remove(
    site: SitePath,
    picture: Annotated[
        str, typer.Argument(metavar="PICTURE", help="Path of the picture in the data, or its number with #, as #12.")
    ],
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Take a picture out of every page, crop, copy and table of a site, for good.

    A later run leaves it out as well.

    Example: lucid-port microscope remove site cats/photo.jpg
    """
    from lucid_port.microscope import upkeep

    number = picture[1:]
    key = int(number) if picture.startswith("#") and number.isascii() and number.isdigit() else picture
    shown = upkeep.remove(site, key)
    print_result(f"{picture} was taken out: {shown} examples showed it.", {"examples": shown}, json)


def compare(
    first: Annotated[Path, typer.Argument(metavar="SITE", help="A site.")],
    second: Annotated[Path, typer.Argument(metavar="OTHER", help="Another site of the same pictures.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the pages.")],
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Set two sites of the same pictures side by side: two checkpoints of a network, or two networks.

    Each unit stands beside the unit of the same number, and beside the unit that responds most like it.

    Example: lucid-port microscope compare epoch10 epoch90 -o comparison
    """
    from lucid_port.microscope import upkeep

    found = upkeep.compare(first, second, output)
    index = output / "index.html"
    print_result(str(index), {"output": index, "layers": [one.layer for one in found]}, json)


def _model_of(site: Path, folders: Sequence[Path], source: str | None) -> Model:
    """Returns the model of a site: the one that is named, or the one that its runs had."""
    from lucid_port.microscope import state
    from lucid_port.microscope.names import Places

    found = next((one for folder in (site, *folders) if (one := state.read(Places(folder))) is not None), None)
    if found is None:
        raise FileNotFoundError(f"{site} holds no parts of a site.")
    about = dict(found.about)
    named = source or about.get("source") or (about["name"] if about.get("in_catalogue") else None)
    if source is None and named is not None and sources.names_function(str(named)):
        raise ValueError(
            f"The site's model is the function {named}, which runs only if you name it: pass --model {named}."
        )
    if named is None:
        raise ValueError("The site's model has no name that opens it here: name it with --model.")
    return sources.open_described(str(named), about)


def _print_status(output: Path, json: bool) -> None:
    from lucid_port.microscope.run import status

    found = status(output)
    print_result(str(found), {"output": output, "done": dict(found.done), "total": dict(found.total)}, json)


def _print_site(output: Path, part: str | None, is_made: bool, json: bool) -> None:
    index = output / "index.html"
    if part is not None:
        print_result(f"{output}: part {part} is done", {"output": output, "part": part}, json)
    elif is_made:
        print_result(str(index), {"output": index}, json)
    else:
        print_text("Nothing was made.")


def _confirm(yes: bool) -> Callable[[Estimate], bool]:
    """Returns the function that asks before long work."""

    def confirm(estimate: Estimate) -> bool:
        if yes or estimate.hours <= ASKED_FROM:
            return True
        import sys

        if not sys.stdin.isatty():
            raise ValueError(f"{estimate}: pass --yes to begin, or --budget 2h for the most selective units.")
        return typer.confirm(f"{estimate}. Begin?", err=True)

    return confirm


_UNITS_OF_TIME = {"s": 1 / 3600, "m": 1 / 60, "min": 1 / 60, "h": 1.0, "": 1.0, "d": 24.0}


def hours_of(text: str) -> float:
    """Returns the hours of a text, as in "2h", "90min" or "1.5".

    Raises:
        typer.BadParameter: It has another form.

    Example:
        >>> hours_of("2h"), hours_of("90min")
        (2.0, 1.5)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|)\s*", text)
    if found is None or not float(found[1]):
        raise typer.BadParameter(f"a time is written as 2h or 90min, not {text!r}", param_hint="'--budget'")
    return float(found[1]) * _UNITS_OF_TIME[found[2]]


COMMANDS: dict[str, tuple[Callable[..., None], type]] = {
    MAKE: (make, sources.ModelCommand),
    "merge": (merge, PathCommand),
    "check": (check, PathCommand),
    "remove": (remove, PathCommand),
    "compare": (compare, PathCommand),
}
"""Name -> command and its class."""
