"""`lucid-port demo`: the whole job on the bundled model, offline, as one page."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lucid_port.cli.console import Device

if TYPE_CHECKING:
    import numpy as np

    from lucid_port.modelzoo.vision_base import Model

MODEL = "TinyInceptionV1"
REFERENCES = "data/references"  # in the package `lucid_port.modelzoo`
LOGITS = "softmax2_pre_activation"
UNITS = ("conv2d2:5", "conv2d2:20", "mixed3a:7", "mixed3b:31", "mixed4a:12", "mixed4c:40")
CLASSES = ("spiral", "checks", "star", "circles", "vertical stripes", "face")
SIZE, STEPS = 96, 192


@dataclass
class _Log:
    """What was done, and how long it took.

    Attributes:
        rows: sentence, the command that does the same, seconds.
    """

    rows: list[tuple[str, str, float]] = field(default_factory=list)

    @contextmanager
    def part(self, what: str, command: str) -> Iterator[None]:
        """Times a part."""
        typer.echo(f"{what} ...", err=True)
        started = time.monotonic()
        yield
        self.rows.append((what, command, time.monotonic() - started))


def command(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Page to write.")] = Path("demo.html"),
    steps: Annotated[int, typer.Option(min=1, help="Updates of each picture.")] = STEPS,
    device: Device = None,
) -> None:
    """Convert the bundled model, compare it with TensorFlow, see what its units look for: one page, offline.

    Example: lucid-port demo -o demo.html
    """
    from converters.atomic import write_bytes
    from lucid_port.cli.report import document
    from lucid_port.modelzoo.nets_factory import open_model
    from lucid_port.optvis.acceleration import find_device

    place = find_device(device or "cpu")
    log = _Log()
    with log.part("Converting the frozen TensorFlow graph", f"lucid-port convert {MODEL} -o tiny"):
        model = open_model(MODEL)
    with log.part("Comparing every layer with TensorFlow's values", f"lucid-port convert {MODEL} -o tiny --check"):
        checked, versions = _comparisons(model)
    model = model.to(place)
    with log.part(
        "Rendering six channels", f"lucid-port render {MODEL} 'mixed4a:*' -o DIR --size {SIZE} --steps {steps}"
    ):
        channels = _render(model, list(UNITS), steps)
    with log.part("Rendering six classes", f"lucid-port render {MODEL} {LOGITS}:0 -o class.png --size {SIZE}"):
        classes = _render(model, [f"{LOGITS}:{_number(model, name)}" for name in CLASSES], steps)
    body = _body(model, log, checked, versions, channels, classes)
    write_bytes(output, document("lucid_port, on its bundled model", body).encode())
    failed = [one for one in checked if not one.passed]
    seconds = sum(taken for *_, taken in log.rows)
    typer.echo(f"{output}: {len(checked)} comparisons with TensorFlow, {len(failed)} beyond bounds; {seconds:.0f} s")
    if failed:
        raise ValueError(f"{len(failed)} comparisons are beyond their bounds; {output} has them first.")


def _comparisons(model: Model) -> tuple[list[Any], str]:
    """Every layer against the values that come with the package, and TensorFlow's versions."""
    from converters.check import check_model
    from converters.references import find_references
    from lucid_port.cli.report import Comparison

    network: Any = model.network
    with resources.as_file(resources.files("lucid_port.modelzoo").joinpath(REFERENCES)) as folder:
        references = find_references(network.program.fingerprint, [folder])
        if references is None:
            raise ValueError(f"The package lacks TensorFlow's values for {MODEL}: install lucid_port again.")
        rows = check_model(network, references)
    versions = ", ".join(sorted({one.tensorflow for one in references.inputs.values()}))
    return [Comparison(row.layer, row.input, row.error, row.bound) for row in rows], versions


def _number(model: Model, label: str) -> int:
    return model.labels.index(label)


def _render(model: Model, units: Sequence[str], steps: int) -> list[np.ndarray]:
    from lucid_port.optvis.render_many import render_many

    found = render_many(model, list(units), size=SIZE, steps=steps)
    if found.interrupted:
        raise KeyboardInterrupt
    return [one.image for one in found if one.image is not None]


def _body(
    model: Model,
    log: _Log,
    checked: Sequence[Any],
    versions: str,
    channels: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
) -> str:
    from lucid_port.cli.report import comparisons

    layers = "".join(f"<tr><td>{html.escape(layer.name)}</td><td>{layer.depth}</td></tr>" for layer in model.layers)
    timings = "".join(
        f"<tr><td>{html.escape(what)}</td><td class=number>{seconds:.1f} s</td>"
        f"<td><code>{html.escape(line)}</code></td></tr>"
        for what, line, seconds in log.rows
    )
    return (
        "<p>TinyInceptionV1 has InceptionV1's layers at a quarter of their width, and was trained on pictures that its "
        "own code draws. Its graph is a frozen TensorFlow graph as any other: what follows works alike for yours.</p>"
        f"<h2>What was done</h2><table><tr><th>what</th><th>time</th><th>command</th></tr>{timings}</table>"
        f"<h2>What classes look like to it</h2>{_pictures(classes, CLASSES)}"
        f"<h2>What channels look for</h2>{_pictures(channels, UNITS)}"
        f"<h2>Layers</h2><table><tr><th>name</th><th>channels</th></tr>{layers}</table>"
        f"<h2>Against TensorFlow {html.escape(versions)}</h2>{comparisons(checked)}"
        "<h2>Yours</h2><p>A frozen graph, a checkpoint, a Caffe or ONNX file, or a PyTorch network: "
        "<code>lucid-port convert FILE -o mymodel</code>, then <code>lucid-port layers mymodel</code> and "
        "<code>lucid-port render mymodel LAYER:UNIT -o unit.png --value-range=-117,138</code>.</p>"
    )


def _pictures(pictures: Sequence[np.ndarray], names: Sequence[str]) -> str:
    from lucid_port.misc.io.serialize_array import serialize_array

    shown = []
    for picture, name in zip(pictures, names, strict=True):
        data = base64.b64encode(serialize_array(picture, (0, 1), "png")).decode()
        shown.append(
            f'<figure style="display:inline-block;margin:0 10px 10px 0"><img width="{SIZE}" height="{SIZE}" '
            f'alt="{html.escape(name)}" src="data:image/png;base64,{data}">'
            f"<figcaption class=note>{html.escape(name)}</figcaption></figure>"
        )
    return f"<div>{''.join(shown)}</div>"
