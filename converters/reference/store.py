"""Reference files: TensorFlow's values of a graph, small enough to commit.

A folder of references holds `manifest.json` and .npz files. The manifest describes, for every graph (by the fingerprint
of its structure and constants) and every input: the specification of the input, the version of TensorFlow, the shape of
every layer, and the layers that TensorFlow refused. Small layers are stored whole. For other layers the files hold a
sample and the means of all channels. The positions of the sample follow from the layer's name and shape; for images,
half of them are on the borders, where padding defects appear. Every defect changes the means. For networks with
thousands of layers, the samples are smaller and only some channels have means (`Amounts`).

Arrays are in TensorFlow's order: images are NHWC.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from converters.paths import user_path
from converters.reference.inputs import InputSpec, ReferencesError, Shape, array_sha256
from converters.reference.samples import USUAL, Amounts, Sample, SampleReader, take_sample

MANIFEST = "manifest.json"
FORMAT = 1
ENVIRONMENT = "LUCID_PORT_REFERENCES"


@dataclass(frozen=True)
class GradientReference:
    """TensorFlow's d mean(layer[..., channel]) / d input, image by image.

    Attributes:
        layer: name of the layer.
        channel: index of its channel.
        images: the gradient of each image of the batch, (1, H, W, C) each.
        moved: for each image, how much TensorFlow's own gradient changes at the sampled positions if every value of the
            input changes by one unit in the last place. This is the largest change in several draws, relative to the
            gradient's maximum.
    """

    layer: str
    channel: int
    images: Sequence[Sample]
    moved: Sequence[float]


@dataclass(frozen=True)
class InputReference:
    """TensorFlow's values of one graph for one input.

    Attributes:
        name: name of the input.
        spec: how to make the input.
        sha256: SHA-256 of the input's bytes.
        tensorflow: version of TensorFlow.
        shapes: layer -> shape, for every layer that was computed.
        refused: layer -> TensorFlow's message, for every layer that TensorFlow refuses to compute for this input.
        gradient_of: (layer, channel) of the gradients.
        file: path of the .npz file.
        member: key of the array in that file.
        amounts: how much of each array it holds.
    """

    name: str
    spec: InputSpec
    sha256: str
    tensorflow: str
    shapes: Mapping[str, Shape]
    refused: Mapping[str, str]
    gradient_of: Sequence[tuple[str, int]]
    file: Path
    member: str
    amounts: Amounts = USUAL

    def make_input(self) -> np.ndarray:
        """Returns the input, (N, H, W, C) float32.

        Raises:
            ReferencesError: the input made here differs from TensorFlow's input.
            ImportError: the input is a photo and scikit-image is not installed.
        """
        array = self.spec.make()
        if array_sha256(array) != self.sha256:
            raise ReferencesError(f"Input {self.name!r} made here differs from the one the references were made with.")
        return array

    def read(self) -> None:
        """Reads the values now instead of on first use."""
        self._samples  # noqa: B018  (a cached property)

    @cached_property
    def _samples(self) -> tuple[dict[str, Sample], list[GradientReference]]:
        with np.load(self.file) as arrays:
            reader = SampleReader(arrays[self.member])
        layers = {
            name: reader.sample(name, shape, self.amounts.layer, self.amounts.channels)
            for name, shape in self.shapes.items()
        }
        return layers, [self._gradient(reader, layer, channel) for layer, channel in self.gradient_of]

    def _gradient(self, reader: SampleReader, layer: str, channel: int) -> GradientReference:
        count, *size = self.spec.shape
        name, images, moved = f"{layer}:{channel}", [], []
        for _ in range(count):
            moved.append(float(reader.take(1)[0]))
            images.append(reader.sample(name, (1, *size), self.amounts.gradient))
        return GradientReference(layer, channel, images, moved)

    @property
    def layers(self) -> Mapping[str, Sample]:
        """The samples of all layers by name."""
        return self._samples[0]

    @property
    def gradients(self) -> Sequence[GradientReference]:
        """The gradients."""
        return self._samples[1]


@dataclass(frozen=True)
class References:
    """TensorFlow's values of one graph.

    Attributes:
        graph: name of the graph.
        fingerprint: `Graph.fingerprint()`.
        source: description of the graph and its origin.
        inputs: name of an input -> the values for it.
    """

    graph: str
    fingerprint: str
    source: str
    inputs: Mapping[str, InputReference]


@dataclass
class ReferenceWriter:
    """Collects references and writes them into a folder.

    Attributes:
        folder: target folder; created if missing.
        amounts: how much of each array to store.
    """

    folder: Path
    amounts: Amounts = USUAL
    _graphs: dict[str, dict[str, Any]] = field(default_factory=dict)
    _files: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    def add(
        self,
        graph: str,
        fingerprint: str,
        source: str,
        input_name: str,
        spec: InputSpec,
        result: Mapping[str, np.ndarray],
        file: str,
    ) -> None:
        """Adds the oracle's values of one graph for one input.

        Args:
            graph: name of the graph.
            fingerprint: its fingerprint.
            source: description of the graph and its origin.
            input_name: name of the input.
            spec: how the input was made.
            result: the oracle's result file, as `converters/reference/oracle_script.py` describes it.
            file: name of the .npz file for the values, relative to the folder.
        """
        report = json.loads(str(result["report"]))
        layers = {key.partition("/")[2]: result[key] for key in result if key.startswith("activation/")}
        gradients = [key.partition("/")[2] for key in result if key.startswith("gradient/")]
        amounts = self.amounts
        samples = [take_sample(name, value, amounts.layer, amounts.channels) for name, value in layers.items()]
        packed = [part for sample in samples for part in sample.pack()]
        for name in gradients:
            packed += _pack_gradient(name, result[f"gradient/{name}"], result.get(f"moved/{name}"), amounts.gradient)
        entry = self._graphs.setdefault(graph, {"fingerprint": fingerprint, "source": source, "inputs": {}})
        entry["inputs"][input_name] = {
            **asdict(spec),
            "sha256": array_sha256(spec.make()),
            "tensorflow": report["tensorflow"],
            "file": file,
            "layers": {name: "x".join(map(str, value.shape)) for name, value in layers.items()},
            "refused": report["refused"],
            "gradients": gradients,
            **({} if amounts == USUAL else {"amounts": asdict(amounts)}),
        }
        member = f"{graph}/{input_name}"
        self._files.setdefault(file, {})[member] = np.concatenate(packed) if packed else np.zeros(0, np.float32)

    def save(self) -> Path:
        """Writes all files.

        Returns:
            Path of the manifest.
        """
        for name, members in self._files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(path, **members)  # type: ignore[arg-type]
        return write_manifest(self.folder, self._graphs)


def _pack_gradient(name: str, gradient: np.ndarray, moved: np.ndarray | None, samples: int) -> Iterator[np.ndarray]:
    for index in range(len(gradient)):
        sample = take_sample(name, gradient[index : index + 1], samples)
        yield np.array([_moved(sample, moved[:, index]) if moved is not None else 0.0], np.float32)
        yield from sample.pack()


def _moved(sample: Sample, differences: np.ndarray) -> float:
    """Returns the greatest difference over all draws at the sampled positions, relative to the gradient's maximum."""
    flat = np.abs(differences.reshape(len(differences), -1))
    worst = float(np.max(flat if sample.positions is None else flat[:, sample.positions]))
    return worst / sample.maximum if sample.maximum else worst


def _compact_json(value: Any, indent: int = 0) -> str:
    """Returns JSON with one line per entry of an object, and each list on one line, so that diffs are readable."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    inner = " " * (indent + 1)
    lines = [f"{inner}{json.dumps(key)}: {_compact_json(item, indent + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"


def write_manifest(folder: Path, graphs: Mapping[str, Any]) -> Path:
    """Writes the manifest of a folder of references.

    Args:
        folder: created if missing.
        graphs: name of a graph -> its entry, plain data, as `ReferenceWriter` makes it.

    Returns:
        The path of the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST
    path.write_text(_compact_json({"format": FORMAT, "graphs": dict(graphs)}) + "\n", encoding="utf-8")
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the entries of a manifest by the graph's name, plain data.

    Raises:
        FileNotFoundError: the folder has no manifest.
        ReferencesError: the manifest is of another format.
    """
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if manifest.get("format") != FORMAT:
        raise ReferencesError(f"{folder / MANIFEST} has format {manifest.get('format')}; this version reads {FORMAT}.")
    graphs: dict[str, Any] = manifest["graphs"]
    return graphs


def read_references(folder: str | os.PathLike[str]) -> dict[str, References]:
    """Returns all references of a folder by the graph's name. Values are read on first use.

    Raises:
        FileNotFoundError: the folder has no manifest.
        ReferencesError: the manifest is of another format.
    """
    graphs = read_manifest(user_path(folder))
    return {name: _references(user_path(folder), name, entry) for name, entry in graphs.items()}


def _references(folder: Path, graph: str, entry: Mapping[str, Any]) -> References:
    inputs = {name: _input_reference(folder, graph, name, one) for name, one in entry["inputs"].items()}
    return References(graph, entry["fingerprint"], entry["source"], inputs)


def _input_reference(folder: Path, graph: str, name: str, entry: Mapping[str, Any]) -> InputReference:
    spec = InputSpec(
        entry["kind"], tuple(entry["shape"]), tuple(entry["low"]), tuple(entry["high"]), entry["seed"], entry["bgr"]
    )
    gradients = [text.rpartition(":") for text in entry["gradients"]]
    return InputReference(
        name=name,
        spec=spec,
        sha256=entry["sha256"],
        tensorflow=entry["tensorflow"],
        shapes={layer: _parse_shape(shape) for layer, shape in entry["layers"].items()},
        refused=entry["refused"],
        gradient_of=[(layer, int(channel)) for layer, _, channel in gradients],
        file=folder / entry["file"],
        member=f"{graph}/{name}",
        amounts=Amounts(**entry.get("amounts", {})),
    )


def _parse_shape(text: str) -> Shape:
    return tuple(int(size) for size in text.split("x")) if text else ()


def reference_folders() -> list[Path]:
    """Returns the folder in the environment variable (if set), then the one beside this package in a checkout."""
    named = os.environ.get(ENVIRONMENT)
    folders = [user_path(named)] if named else []
    return [*folders, Path(__file__).resolve().parents[2] / "reference_outputs"]


def find_references(fingerprint: str, folders: Sequence[Path] = ()) -> References | None:
    """Returns the references of a graph, or None if no folder has any.

    Args:
        fingerprint: `Graph.fingerprint()`, which is also `ConvertedModel.program.fingerprint`.
        folders: further folders, searched last.
    """
    for folder in (*reference_folders(), *folders):
        if (folder / MANIFEST).is_file():
            for references in read_references(folder).values():
                if references.fingerprint == fingerprint:
                    return references
    return None
