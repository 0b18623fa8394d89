"""`lucid-port demo`: converts, checks and renders the bundled model, and writes one page."""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli.console import Device, Json, Quiet, Seed, check_page_path, print_result
from lucid_port.cli.limits import limited
from lucid_port.misc.threads import torch_threads

if TYPE_CHECKING:
    import numpy as np

    from lucid_port.cli.report import Comparison
    from lucid_port.modelzoo.vision_base import Model

MODEL = "TinyInceptionV1"
LOGITS = "softmax2_pre_activation"
UNITS = ("conv2d2:5", "mixed3b:17", "mixed3b:31", "mixed4a:8", "mixed4a:32", "mixed4a:37")
CLASSES = ("spiral", "circles", "heart", "honeycomb", "flower", "rays")
SIZE, CLASS_SIZE = 96, 112
SCALE = 2  # pixels of the page for each pixel of a picture
STEPS, CLASS_STEPS = 192, 128
# Frequencies are scaled by f^-1.5 instead of Lucid's f^-1, which keeps grain small.
SMOOTH = {
    "param": "to_valid_rgb",
    "args": {
        "t": {"param": "fft_image", "args": {"shape": [1, CLASS_SIZE, CLASS_SIZE, 3], "decay_power": 1.5}},
        "decorrelate": True,
        "sigmoid": True,
    },
}


@dataclass
class _Log:
    """The parts of the work and their durations.

    Attributes:
        rows: (description, the command that does the same or "", seconds).
    """

    rows: list[tuple[str, str, float]] = field(default_factory=list)

    @contextmanager
    def part(self, what: str, command: str = "") -> Iterator[None]:
        """Context of one part, which is timed."""
        typer.echo(f"{what} ...", err=True)
        started = time.monotonic()
        yield
        self.rows.append((what, command, time.monotonic() - started))


def command(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Page to write.")] = Path("demo.html"),
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates of each picture; by default 192, and 128 for classes.")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Convert, check and render the bundled model offline.

    Writes one page.

    Example: lucid-port demo -o demo.html
    """
    from converters.atomic import write_bytes
    from lucid_port.cli.report import refuse_failures, worst_first
    from lucid_port.misc.templates import render
    from lucid_port.modelzoo.nets_factory import open_model
    from lucid_port.optvis.engine.devices import find_device

    check_page_path(output)
    place = find_device(device or "cpu")
    log = _Log()
    with torch_threads(1):  # for small pictures a second thread saves little, and on busy cores it costs time
        with log.part("Converting the frozen TensorFlow graph", f"lucid-port convert {MODEL} -o tiny"):
            model = open_model(MODEL)
        again = f"lucid-port convert {MODEL} -o tiny --check --overwrite"
        with log.part("Comparing every layer with TensorFlow's values", again):
            checked, tensorflow = _comparisons(model)
        model = model.to(place)
        channels = channels_recipe(limited(steps or STEPS), seed)
        classes = classes_recipe(model, limited(steps or CLASS_STEPS), seed)
        with log.part("Rendering six channels"):
            channel_pictures = _render(model, channels)
        with log.part("Rendering six of 28 classes"):
            class_pictures = _render(model, classes)
    text = render(
        "demo.html",
        log=log.rows,
        class_size=SCALE * CLASS_SIZE,
        classes=list(zip(CLASSES, _addresses(_drawings(model)), _addresses(class_pictures), strict=True)),
        channel_size=SCALE * SIZE,
        channels=list(zip(UNITS, _addresses(channel_pictures), strict=True)),
        classes_recipe=json_format.dumps(classes, indent=1),
        channels_recipe=json_format.dumps(channels, indent=1),
        tensorflow=tensorflow,
        checked=worst_first(checked),
        layers=model.layers,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, text.encode())
    failed = sum(not one.passed for one in checked)
    seconds = sum(taken for *_, taken in log.rows)
    print_result(
        f"{output}: {len(checked)} comparisons with TensorFlow, {failed} beyond bounds; {seconds:.0f} s",
        {"output": output, "comparisons": len(checked), "failed": failed, "seconds": round(seconds, 1)},
        json,
    )
    refuse_failures(failed, output)


def channels_recipe(steps: int, seed: int) -> dict[str, Any]:
    """The recipe for the pictures of channels, for `lucid-port run`."""
    return {"model": MODEL, "units": list(UNITS), "size": SIZE, "steps": steps, "seed": seed, "output": "channels"}


def classes_recipe(model: Model, steps: int, seed: int) -> dict[str, Any]:
    """The recipe for the pictures of classes, for `lucid-port run`."""
    units = [f"{LOGITS}:{model.labels.index(name)}" for name in CLASSES]
    return {"model": MODEL, "units": units, "image": SMOOTH, "steps": steps, "seed": seed, "output": "classes"}


def _comparisons(model: Model) -> tuple[list[Comparison], str]:
    """Compares every layer with the package's recorded values; also returns TensorFlow's version."""
    from converters.reference.check import check_model
    from converters.reference.store import find_references
    from lucid_port.cli.comparison import versions
    from lucid_port.cli.report import Comparison
    from lucid_port.modelzoo.files import PACKAGE_REFERENCES

    network: Any = model.network
    references = find_references(network.program.fingerprint, [PACKAGE_REFERENCES])
    if references is None:
        raise ValueError(f"The package lacks TensorFlow's values for {MODEL}: install lucid_port again.")
    rows = check_model(network, references)
    return [Comparison(row.layer, row.input, row.error, row.bound) for row in rows], versions(references)


def _render(model: Model, recipe: Mapping[str, Any]) -> list[np.ndarray]:
    from lucid_port.optvis import serialization
    from lucid_port.optvis.render_many import render_many

    image = recipe.get("image")
    found = render_many(
        model,
        recipe["units"],
        None if image is None else lambda: serialization.from_data(image),
        size=recipe.get("size"),
        steps=recipe["steps"],
        seed=recipe["seed"],
    )
    if found.interrupted:
        raise KeyboardInterrupt
    return [one.image for one in found if one.image is not None]


def _drawings(model: Model) -> list[np.ndarray]:
    import torch

    from lucid_port.modelzoo.tiny.drawings import draw

    labels = torch.tensor([model.labels.index(name) for name in CLASSES])
    pictures = draw(labels, (CLASS_SIZE, CLASS_SIZE), torch.Generator().manual_seed(0))
    return list(pictures.permute(0, 2, 3, 1).numpy())


def _addresses(pictures: Sequence[np.ndarray]) -> list[str]:
    """The `data:` URL of each picture."""
    from lucid_port.misc.io.serialize_array import serialize_array
    from lucid_port.misc.templates import data_url

    return [data_url(serialize_array(picture, (0, 1), "png"), "png") for picture in pictures]
