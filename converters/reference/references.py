"""Reference files: what TensorFlow computed on a graph, small enough to commit.

A folder of references holds `manifest.json` and .npz files. The manifest says for every graph (by the fingerprint of
its structure and constants) and every input what was fed (a recipe that anyone can repeat), which TensorFlow ran, every
layer's shape, and which layers TensorFlow refused. A layer's values are kept whole where there are few; otherwise as a
sample at positions that follow from the layer's name and shape, half of them on the borders, where padding defects
live, with the means of all channels, which no defect anywhere leaves unchanged. For networks of thousands of layers
fewer are kept (`Amounts`), channels too.

Everything is in TensorFlow's order: images are NHWC.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

MANIFEST = "manifest.json"
FORMAT = 1
BORDER = 2  # rows or columns that count as the border
ENVIRONMENT = "LUCID_PORT_REFERENCES"

Shape = tuple[int, ...]


class ReferencesError(ValueError):
    """Reference files that do not fit together, or an input that cannot be repeated."""


@dataclass(frozen=True)
class Amounts:
    """How much is kept of an input's arrays.

    Attributes:
        layer: values of a layer; a smaller layer is kept whole.
        gradient: values of a gradient.
        channels: means of a layer's channels; None keeps all.
    """

    layer: int = 512
    gradient: int = 2048
    channels: int | None = None


USUAL = Amounts()


# -- inputs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How to make an input, bit for bit, on any machine.

    Attributes:
        kind: `noise` (uniform), `steps` (uniform over eight values, so that many are equal and zero is among them),
            `texture` (uniform at four scales, more like an image), or `photo` (a picture that scikit-image ships,
            cropped and subsampled by whole pixels so that no resampling is involved).
        shape: (N, H, W, C).
        low: each channel's least value, or one for all. A photo's pixel p becomes p / 255 * (high - low) + low.
        high: each channel's greatest value.
        seed: of the random kinds.
        bgr: whether a photo's channels are turned round.
    """

    kind: str
    shape: Shape
    low: tuple[float, ...]
    high: tuple[float, ...]
    seed: int = 0
    bgr: bool = False

    def make(self) -> np.ndarray:
        """The input, float32, (N, H, W, C).

        Raises:
            ImportError: a photo is asked for and scikit-image is not installed.
            ReferencesError: there is no such kind of input.
        """
        if self.kind not in _KINDS:
            raise ReferencesError(f"There is no input of kind {self.kind!r}; there are {', '.join(sorted(_KINDS))}.")
        low, high = np.array(self.low), np.array(self.high)
        return (_KINDS[self.kind](self) * (high - low) + low).astype(np.float32)


def _noise(recipe: Recipe) -> np.ndarray:
    return np.random.RandomState(recipe.seed).random_sample(recipe.shape)


def _steps(recipe: Recipe) -> np.ndarray:
    return np.floor(_noise(recipe) * 8) / 8


def _texture(recipe: Recipe) -> np.ndarray:
    random, (count, height, width, channels) = np.random.RandomState(recipe.seed), recipe.shape
    total = np.zeros(recipe.shape)
    for block in (1, 4, 16, 64):
        coarse = random.random_sample((count, -(-height // block), -(-width // block), channels))
        total += coarse.repeat(block, 1).repeat(block, 2)[:, :height, :width]
    return total / 4


def _photo(recipe: Recipe) -> np.ndarray:
    from skimage import data

    count, height, width, channels = recipe.shape
    picture = data.astronaut()[::2, ::2][:height, :width, :channels]
    if recipe.bgr:
        picture = picture[..., ::-1]
    return np.repeat(picture[None].astype(np.float64) / 255.0, count, 0)


_KINDS = {"noise": _noise, "steps": _steps, "texture": _texture, "photo": _photo}


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


# -- values -----------------------------------------------------------------------------------------------------------


def sample_positions(shape: Shape, name: str, count: int) -> np.ndarray:
    """Flat positions at which a large array is sampled.

    Half are uniform. For images the other half lie on the borders: top, bottom, left, right and corners in turn.

    Args:
        shape: the array's, NHWC for images.
        name: what it is called; different names get different positions.
        count: how many.

    Returns:
        (count,) int64.
    """
    random = np.random.RandomState(zlib.crc32(name.encode()))
    uniform = random.randint(0, int(np.prod(shape)), count, dtype=np.int64)
    if len(shape) != 4:
        return uniform
    border = count // 2
    batch, height, width, channels = shape
    rows, columns = random.randint(0, height, border), random.randint(0, width, border)
    turn = np.arange(border) % 5
    depth_rows, depth_columns = (random.randint(0, min(BORDER, size), border) for size in (height, width))
    opposite = random.randint(0, 2, (2, border)).astype(bool)  # which of the four corners
    at_top, at_bottom = (turn == 0) | ((turn == 4) & opposite[0]), (turn == 1) | ((turn == 4) & ~opposite[0])
    at_left, at_right = (turn == 2) | ((turn == 4) & opposite[1]), (turn == 3) | ((turn == 4) & ~opposite[1])
    rows = np.where(at_top, depth_rows, np.where(at_bottom, height - 1 - depth_rows, rows))
    columns = np.where(at_left, depth_columns, np.where(at_right, width - 1 - depth_columns, columns))
    images, depths = random.randint(0, batch, border), random.randint(0, channels, border)
    uniform[:border] = np.ravel_multi_index((images, rows, columns, depths), shape)
    return uniform


@dataclass(frozen=True)
class Sample:
    """What is kept of one array.

    Attributes:
        name: the layer's, with its channel for a gradient.
        shape: of the whole array.
        maximum: greatest absolute value of the whole array.
        means: means of the channels (last axis) in `channels`; empty where the array is kept whole.
        values: the whole array, flat, or the values at `positions`.
        positions: None where the array is kept whole.
        channels: whose means are kept; None for all.
    """

    name: str
    shape: Shape
    maximum: float
    means: np.ndarray
    values: np.ndarray
    positions: np.ndarray | None
    channels: np.ndarray | None = None

    def error(self, other: np.ndarray) -> float:
        """Greatest difference of another array of the same shape, relative to `maximum`.

        Returns:
            The error; infinity where the other holds NaN, or differs from an array of zeros.
        """
        if not other.size:
            return 0.0
        flat = other.reshape(-1)
        values = flat if self.positions is None else flat[self.positions]
        means = channel_means(other, self.channels) if self.means.size else self.means
        return self._relative(values, means)

    def distance(self, other: Sample) -> float:
        """Greatest difference of another sample of the same layer, relative to `maximum`."""
        return self._relative(other.values, other.means) if self.values.size else 0.0

    def _relative(self, values: np.ndarray, means: np.ndarray) -> float:
        worst = max(_distance(values, self.values), _distance(means, self.means) if means.size else 0.0)
        if worst == 0.0:
            return 0.0
        return worst / self.maximum if self.maximum > 0 else float("inf")


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    distance = float(np.max(np.abs(a - b)))
    return distance if distance == distance else float("inf")  # NaN is as far as can be


def take_sample(name: str, array: np.ndarray, samples: int = USUAL.layer, means: int | None = None) -> Sample:
    """The sample of an array that a reference keeps.

    Args:
        name: what the array is called.
        array: any shape.
        samples: how many values; a smaller array is kept whole.
        means: of how many channels; None for all.
    """
    maximum = float(np.max(np.abs(array))) if array.size else 0.0
    positions = _positions(array.shape, name, samples)
    flat = array.reshape(-1)
    if positions is None:
        return Sample(name, array.shape, maximum, np.zeros(0, np.float32), flat, None)
    channels = _channels(array.shape, name, means)
    return Sample(name, array.shape, maximum, channel_means(array, channels), flat[positions], positions, channels)


def channel_means(array: np.ndarray, channels: np.ndarray | None = None) -> np.ndarray:
    """Mean over all axes but the last, of the given channels or of all, summed in float64, as float32."""
    flat = array.reshape(-1, array.shape[-1])
    return (flat if channels is None else flat[:, channels]).mean(0, dtype=np.float64).astype(np.float32)


def _positions(shape: Shape, name: str, samples: int) -> np.ndarray | None:
    return None if int(np.prod(shape)) <= samples else sample_positions(shape, name, samples)


def _channels(shape: Shape, name: str, count: int | None) -> np.ndarray | None:
    if count is None or shape[-1] <= count:
        return None
    random = np.random.RandomState(zlib.crc32(name.encode()))
    return np.sort(random.permutation(shape[-1])[:count])


def _pack(sample: Sample) -> list[np.ndarray]:
    return [np.array([sample.maximum], np.float32), sample.means, sample.values.astype(np.float32)]


class _Reader:
    """Takes samples off a packed array, in the order in which they were put there."""

    def __init__(self, packed: np.ndarray) -> None:
        self._packed, self._next = packed, 0

    def take(self, count: int) -> np.ndarray:
        self._next += count
        if self._next > len(self._packed):
            raise ReferencesError("A reference file is shorter than the manifest says; make the references again.")
        return self._packed[self._next - count : self._next]

    def sample(self, name: str, shape: Shape, samples: int, means: int | None = None) -> Sample:
        maximum = float(self.take(1)[0])
        positions = _positions(shape, name, samples)
        if positions is None:
            return Sample(name, shape, maximum, np.zeros(0, np.float32), self.take(int(np.prod(shape))), None)
        channels = _channels(shape, name, means)
        kept = self.take(shape[-1] if channels is None else len(channels))
        return Sample(name, shape, maximum, kept, self.take(samples), positions, channels)


# -- references of one graph ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GradientReference:
    """TensorFlow's d mean(layer[..., channel]) / d input, image by image.

    Attributes:
        layer: whose channel.
        channel: which.
        images: the gradient of each image of the batch, (1, H, W, C) each.
        moved: for each image, how far TensorFlow's own gradient moves at the sampled positions when every value of the
            input moves by one unit in the last place, relative to the gradient's maximum; the worst of several draws.
    """

    layer: str
    channel: int
    images: Sequence[Sample]
    moved: Sequence[float]


@dataclass(frozen=True)
class InputReference:
    """What TensorFlow computed of one graph for one input.

    Attributes:
        name: of the input.
        recipe: how to make it.
        sha256: of its bytes.
        tensorflow: version.
        shapes: every layer that was computed, and its shape.
        refused: layers that TensorFlow refuses to compute for this input, and what it says.
        gradient_of: (layer, channel) of the gradients.
        file: path of the .npz file.
        member: the array in it.
        amounts: how much of each array it holds.
    """

    name: str
    recipe: Recipe
    sha256: str
    tensorflow: str
    shapes: Mapping[str, Shape]
    refused: Mapping[str, str]
    gradient_of: Sequence[tuple[str, int]]
    file: Path
    member: str
    amounts: Amounts = USUAL

    def make_input(self) -> np.ndarray:
        """The input, (N, H, W, C) float32.

        Raises:
            ReferencesError: the input made here is not the one that TensorFlow was fed.
            ImportError: the input is a photo and scikit-image is not installed.
        """
        array = self.recipe.make()
        if array_sha256(array) != self.sha256:
            raise ReferencesError(f"Input {self.name!r} made here differs from the one the references were made with.")
        return array

    def read(self) -> None:
        """Reads the values now, so that the file is not needed later."""
        self._samples  # noqa: B018  (a cached property)

    @cached_property
    def _samples(self) -> tuple[dict[str, Sample], list[GradientReference]]:
        with np.load(self.file) as arrays:
            reader = _Reader(arrays[self.member])
        layers = {
            name: reader.sample(name, shape, self.amounts.layer, self.amounts.channels)
            for name, shape in self.shapes.items()
        }
        return layers, [self._gradient(reader, layer, channel) for layer, channel in self.gradient_of]

    def _gradient(self, reader: _Reader, layer: str, channel: int) -> GradientReference:
        count, *size = self.recipe.shape
        name, images, moved = f"{layer}:{channel}", [], []
        for _ in range(count):
            moved.append(float(reader.take(1)[0]))
            images.append(reader.sample(name, (1, *size), self.amounts.gradient))
        return GradientReference(layer, channel, images, moved)

    @property
    def layers(self) -> Mapping[str, Sample]:
        """Every layer's values."""
        return self._samples[0]

    @property
    def gradients(self) -> Sequence[GradientReference]:
        """The gradients."""
        return self._samples[1]


@dataclass(frozen=True)
class References:
    """What TensorFlow computed of one graph.

    Attributes:
        graph: a name for the graph.
        fingerprint: `Graph.fingerprint()`.
        source: what the graph is and where it comes from.
        inputs: by name.
    """

    graph: str
    fingerprint: str
    source: str
    inputs: Mapping[str, InputReference]


# -- folders ----------------------------------------------------------------------------------------------------------


@dataclass
class ReferenceWriter:
    """Collects references and writes them into a folder.

    Attributes:
        folder: where to; made if missing.
        amounts: how much of each array to keep.
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
        recipe: Recipe,
        result: Mapping[str, np.ndarray],
        file: str,
    ) -> None:
        """Adds what the oracle computed of one graph for one input.

        Args:
            graph: a name for the graph.
            fingerprint: its fingerprint.
            source: what it is and where it comes from.
            input_name: a name for the input.
            recipe: how the input was made.
            result: the oracle's result file, as `converters/reference/oracle_script.py` describes it.
            file: name of the .npz file to keep the values in, relative to the folder.
        """
        report = json.loads(str(result["report"]))
        layers = {key.partition("/")[2]: result[key] for key in result if key.startswith("activation/")}
        gradients = [key.partition("/")[2] for key in result if key.startswith("gradient/")]
        amounts = self.amounts
        samples = [take_sample(name, value, amounts.layer, amounts.channels) for name, value in layers.items()]
        packed = [part for sample in samples for part in _pack(sample)]
        for name in gradients:
            packed += _pack_gradient(name, result[f"gradient/{name}"], result.get(f"moved/{name}"), amounts.gradient)
        entry = self._graphs.setdefault(graph, {"fingerprint": fingerprint, "source": source, "inputs": {}})
        entry["inputs"][input_name] = {
            **asdict(recipe),
            "sha256": array_sha256(recipe.make()),
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


def _pack_gradient(
    name: str, gradient: np.ndarray, moved: np.ndarray | None, samples: int
) -> Iterator[np.ndarray]:  # fmt: skip
    for index in range(len(gradient)):
        sample = take_sample(name, gradient[index : index + 1], samples)
        yield np.array([_moved(sample, moved[:, index]) if moved is not None else 0.0], np.float32)
        yield from _pack(sample)


def _moved(sample: Sample, differences: np.ndarray) -> float:
    """Greatest difference, over draws, at the sampled positions, relative to the gradient's maximum."""
    flat = np.abs(differences.reshape(len(differences), -1))
    worst = float(np.max(flat if sample.positions is None else flat[:, sample.positions]))
    return worst / sample.maximum if sample.maximum else worst


def _compact_json(value: Any, indent: int = 0) -> str:
    """JSON with a line for every entry of an object and one line for every list, so that changes can be read."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value)
    inner = " " * (indent + 1)
    lines = [f"{inner}{json.dumps(key)}: {_compact_json(item, indent + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"


def write_manifest(folder: Path, graphs: Mapping[str, Any]) -> Path:
    """Writes the manifest of a folder of references.

    Args:
        folder: made if missing.
        graphs: entries by the graph's name, plain data, as `ReferenceWriter` makes them.

    Returns:
        Its path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST
    path.write_text(_compact_json({"format": FORMAT, "graphs": dict(graphs)}) + "\n", encoding="utf-8")
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """The entries of a manifest by the graph's name, plain data.

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
    """All references of a folder, by the graph's name; values are read when they are asked for.

    Raises:
        FileNotFoundError: the folder has no manifest.
        ReferencesError: the manifest is of another format.
    """
    graphs = read_manifest(Path(folder))
    return {name: _references(Path(folder), name, entry) for name, entry in graphs.items()}


def _references(folder: Path, graph: str, entry: Mapping[str, Any]) -> References:
    inputs = {name: _input_reference(folder, graph, name, fed) for name, fed in entry["inputs"].items()}
    return References(graph, entry["fingerprint"], entry["source"], inputs)


def _input_reference(folder: Path, graph: str, name: str, entry: Mapping[str, Any]) -> InputReference:
    recipe = Recipe(
        entry["kind"], tuple(entry["shape"]), tuple(entry["low"]), tuple(entry["high"]), entry["seed"], entry["bgr"]
    )
    gradients = [text.rpartition(":") for text in entry["gradients"]]
    return InputReference(
        name=name,
        recipe=recipe,
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
    """Folders to look in: that of the environment variable, then the one beside this package in a checkout."""
    named = os.environ.get(ENVIRONMENT)
    folders = [Path(named)] if named else []
    return [*folders, Path(__file__).resolve().parents[2] / "reference_outputs"]


def find_references(fingerprint: str, folders: Sequence[Path] = ()) -> References | None:
    """The references of a graph, or None where no folder has any.

    Args:
        fingerprint: `Graph.fingerprint()`, which is also `ConvertedModel.program.fingerprint`.
        folders: where else to look, last.
    """
    for folder in (*reference_folders(), *folders):
        if (folder / MANIFEST).is_file():
            for references in read_references(folder).values():
                if references.fingerprint == fingerprint:
                    return references
    return None
