"""What a path may hold, and the reader for each kind: one list for the library and the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from converters.conversion import convert, load
from converters.errors import GraphError, nearest_names
from converters.program import storage
from converters.program.layer_info import LayerInfo
from converters.program.program import Metadata
from converters.progress import Progress, silent
from converters.tensorflow import freeze


class Network(Protocol):
    """What every reader gives: an `nn.Module` with named layers."""

    metadata: Metadata
    outputs: tuple[str, ...]

    @property
    def layers(self) -> Mapping[str, LayerInfo]:
        """Every layer by name."""
        ...

    def activations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Some layers' values, NCHW, by name."""
        ...

    def layer_module(self, name: str) -> nn.Module:
        """The module that computes a layer."""
        ...


@dataclass(frozen=True)
class Options:
    """What a reader may be told; `open_source` says what each means. None: not said."""

    input_name: str | None = None
    metadata: Metadata | None = None
    fold: bool | None = None
    constants: Mapping[str, Any] | None = None
    outputs: Sequence[str] | None = None
    signature: str | None = None
    tags: Sequence[str] | None = None
    tensorflow_python: str | os.PathLike[str] | None = None
    keep_pb: str | os.PathLike[str] | None = None
    prototxt: str | os.PathLike[str] | None = None
    geometry: str | None = None
    layout: str | None = None
    progress: Progress | None = None

    def given(self) -> dict[str, Any]:
        """Those that were said."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}

    def some(self, *names: str) -> dict[str, Any]:
        """Those of some names that were said."""
        return {name: value for name, value in self.given().items() if name in names}


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    Attributes:
        name: what it is called in messages.
        matches: whether a path, which exists or is a checkpoint's, is of this kind.
        read: makes the network.
        options: names of the `Options` that it takes.
    """

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, Options], Any]
    options: frozenset[str]


def open_source(path: str | os.PathLike[str], **options: Any) -> Any:
    """A network from a path, whatever kind of file or folder it is (`KINDS`).

    Args:
        path: a frozen graph, a SavedModel, a checkpoint with its meta graph, a Caffe network, an ONNX file, or a folder
            that `converters.save` wrote.
        **options: None, or left out, where the source says it itself:
            input_name: the input, where there are several;
            metadata: what the model wants to be fed (`Metadata`), unless a saved folder says so;
            fold: of a graph of TensorFlow, whether evaluations fold batch norms into convolutions (see `convert`);
            constants: of a graph of TensorFlow, values for placeholders that are not the image (see `convert`);
            outputs: of a checkpoint or a SavedModel, the nodes to keep, with all that they need;
            signature, tags: which of a SavedModel's signatures and graphs;
            tensorflow_python: a Python that has TensorFlow, for the freezing of checkpoints and SavedModels;
            keep_pb: file that the frozen graph of these is kept in;
            prototxt, geometry: of a Caffe network (see `converters.from_caffe`);
            layout: of an ONNX file's image, "NCHW" or "NHWC" (see `converters.from_onnx`);
            progress: told how far it has come (`converters.progress`).

    Returns:
        A `ConvertedModel`; for ONNX an `OnnxNetwork`, which is used in the same way (`Network`).

    Raises:
        FileNotFoundError: there is nothing at this path.
        ValueError: an option that this kind of source does not take.
        TypeError: there is no such option.
        GraphError: the path holds nothing that can be read; the sentence says what can, or what is wrong.
        TensorFlowMissingError: the weights lie apart from the graph, and there is no TensorFlow to freeze them.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"A source is a path, not {type(path).__name__}.")
    place = Path(path)
    kind = kind_of(place)
    told = take_options(f"{path} is {kind.name}, which", kind.options, options)
    return kind.read(place, told)


def take_options(subject: str, taken: frozenset[str], options: Mapping[str, Any]) -> Options:
    """Options, checked to be some that a source takes.

    Args:
        subject: the source, as the beginning of a sentence that goes on with "takes no ...".
        taken: names of those that it takes, besides the metadata and the progress.
        options: as for `open_source`.

    Raises:
        ValueError: one is given that the source does not take.
        TypeError: there is no such option.
    """
    known = {f.name for f in fields(Options)}
    unknown = sorted(set(options) - known)
    if unknown:
        hint = nearest_names(unknown[0], known)
        raise TypeError(f"There is no option {unknown[0]!r} for the reading of a network.{hint}")
    told = Options(**options)
    refused = sorted(set(told.given()) - taken - {"metadata", "progress"})
    if refused:
        raise ValueError(f"{subject} takes no {refused[0]}.")
    return told


def kind_of(path: Path) -> Kind:
    """What a path holds.

    Raises:
        FileNotFoundError: there is nothing at this path.
        GraphError: nothing that can be read.
    """
    if not (_exists(path) or freeze.is_checkpoint(path)):
        raise FileNotFoundError(f"There is no file {path}.")
    found = next((kind for kind in KINDS if kind.matches(path)), None)
    if found is None:
        raise GraphError(f"{path} is {_advice(path)} What can be read: {', '.join(kind.name for kind in KINDS)}.")
    return found


def is_frozen_here(path: str | os.PathLike[str]) -> bool:
    """Whether a path holds what is frozen in TensorFlow before it is converted."""
    place = Path(path)
    return looks_like_source(path) and kind_of(place).options >= FREEZING


def looks_like_source(path: str | os.PathLike[str]) -> bool:
    """Whether a text is a path rather than a name: something is there, or it is written as only paths are."""
    place = Path(path)
    return (
        _exists(place) or freeze.is_checkpoint(place) or os.sep in os.fspath(path) or place.suffix.lower() in SUFFIXES
    )


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (ValueError, OSError) as error:  # a NUL in it, too long, or forbidden
        raise GraphError(f"{str(path)[:200]!r} cannot be read: {error}.") from error
    return True


# -- readers ----------------------------------------------------------------------------------------------------------


def _read_frozen(path: Path, options: Options) -> Any:
    return convert(path, **options.some(*CONVERTING, "metadata", "progress"))


def _read_saved(path: Path, options: Options) -> Any:
    return load(path)


def _read_saved_model(path: Path, options: Options) -> Any:
    (options.progress or silent)("freezing in TensorFlow", None)
    told = options.some("input_name", "outputs", "signature", "tags", "constants", "tensorflow_python")
    return _convert_frozen(freeze.freeze_saved_model(path, **told), options)


def _read_checkpoint(path: Path, options: Options) -> Any:
    (options.progress or silent)("freezing in TensorFlow", None)
    path = _meta_file(path) or path
    told = options.some("input_name", "outputs", "constants", "tensorflow_python")
    return _convert_frozen(freeze.freeze_checkpoint(path, **told), options)


def _convert_frozen(frozen: freeze.Frozen, options: Options) -> Any:
    if options.keep_pb is not None:
        freeze.keep(frozen, options.keep_pb)
    told = options.some(*CONVERTING, "metadata", "progress")
    return convert(frozen.data, **{"input_name": frozen.input_name, **told})


def _read_caffe(path: Path, options: Options) -> Any:
    from converters.caffe import from_caffe

    if path.suffix == ".prototxt":
        model = path.with_suffix(".caffemodel")
        if not model.is_file():
            raise GraphError(
                f"{path} has no weights: give the .caffemodel, and this file as its prototxt (--prototxt)."
            )
        path, options = model, Options(**{"prototxt": path, **options.given()})
    return from_caffe(path, **options.some("prototxt", "geometry", "input_name", "metadata", "progress"))


def _read_onnx(path: Path, options: Options) -> Any:
    from converters.onnx.reading.conversion import from_onnx

    return from_onnx(path, **options.some("input_name", "layout", "metadata"))


# -- kinds ------------------------------------------------------------------------------------------------------------

CONVERTING = frozenset({"input_name", "fold", "constants"})
FREEZING = CONVERTING | {"outputs", "tensorflow_python", "keep_pb"}
FROZEN_SUFFIXES = (".pb", ".graphdef", "")
# How files begin, whatever they are called.
NODE_TAG = b"\x0a"  # a GraphDef that has a node; no ONNX file
ONNX_TAG = b"\x08"  # an ONNX file: the version of its form; no GraphDef
SAVED_MODEL_START = b"\x08\x01\x12"  # a SavedModel's file: version 1, and a graph


def _is_saved(path: Path) -> bool:
    return path.is_dir() and (path / storage.MODEL_FILE).is_file()


def _meta_file(path: Path) -> Path | None:
    """The meta graph in a folder that has one."""
    found = sorted(path.glob(f"*{freeze.META}")) if path.is_dir() else []
    return found[0] if len(found) == 1 else None


def _is_checkpoint(path: Path) -> bool:
    return path.suffix == freeze.META or freeze.is_checkpoint(path) or _meta_file(path) is not None


def _is_frozen(path: Path) -> bool:
    """Whether a file may be a GraphDef: by its name, or, where that says nothing, by its first byte."""
    if not path.is_file() or _is_saved_model_file(path):
        return False
    if path.suffix.lower() in FROZEN_SUFFIXES:
        return True
    return _known_suffix(path) is None and _start(path).startswith(NODE_TAG)


def _is_onnx(path: Path) -> bool:
    """Whether a file may be ONNX: by its first byte, where its name is that of an ONNX file or of a frozen graph."""
    if not path.is_file():
        return False
    if path.suffix.lower() == ".onnx":
        return not _start(path).startswith(NODE_TAG)
    begins_so = _start(path).startswith(ONNX_TAG) and not _is_saved_model_file(path)
    return begins_so and path.suffix.lower() in FROZEN_SUFFIXES


def _is_saved_model_file(path: Path) -> bool:
    return path.is_file() and _start(path) == SAVED_MODEL_START


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(SAVED_MODEL_START))


KINDS: tuple[Kind, ...] = (
    Kind("a folder written by converters.save", _is_saved, _read_saved, frozenset()),
    Kind(
        "a SavedModel of TensorFlow (a folder with saved_model.pb)",
        freeze.is_saved_model,
        _read_saved_model,
        FREEZING | {"signature", "tags"},
    ),
    Kind("a checkpoint of TensorFlow 1 with its graph (.meta)", _is_checkpoint, _read_checkpoint, FREEZING),
    Kind(
        "a Caffe network (.caffemodel)",
        lambda path: path.suffix.lower() in (".caffemodel", ".prototxt"),
        _read_caffe,
        frozenset({"input_name", "prototxt", "geometry"}),
    ),
    Kind(
        "an ONNX file (.onnx)",
        _is_onnx,
        _read_onnx,
        frozenset({"input_name", "layout"}),
    ),
    Kind("a frozen TensorFlow graph (.pb)", _is_frozen, _read_frozen, CONVERTING),
)

SUFFIXES = (".pb", freeze.META, ".onnx", ".caffemodel", ".prototxt", ".json")

# What to do with files that hold networks in forms that are not read here.
_KERAS = "a file of Keras: load it with Keras, write model.export(folder), and give that folder."
_TORCH = (
    "a file of PyTorch, which holds weights without a network: make the module, load them, and use modelzoo.from_torch."
)
_CHECKPOINT = (
    "a file of a checkpoint, which holds weights without a graph: TensorFlow's .meta file has to lie beside it."
)
ADVICE: Mapping[str, str] = {
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".keras": _KERAS,
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".safetensors": "a file of weights without a network: where converters.save wrote it, give its folder.",
    ".json": "a file of text: where converters.save wrote it, give its folder.",
    ".tflite": "a file of TensorFlow Lite: make it ONNX (python -m tf2onnx.convert --tflite FILE --output FILE.onnx).",
    ".ckpt": _CHECKPOINT,
    ".index": _CHECKPOINT,
    ".pbtxt": "a graph as text: read it with google.protobuf.text_format, and write its SerializeToString() as .pb.",
    ".zip": "an archive: unpack it, and give what is in it.",
    ".tar": "an archive: unpack it, and give what is in it.",
    ".tgz": "an archive: unpack it, and give what is in it.",
    ".gz": "an archive: unpack it, and give what is in it.",
}


def _known_suffix(path: Path) -> str | None:
    """The suffix that `ADVICE` knows a file by."""
    name = path.name.lower()
    if ".ckpt" in name or ".data-" in name:
        return ".ckpt"
    return path.suffix.lower() if path.suffix.lower() in ADVICE else None


def _advice(path: Path) -> str:
    """What a path is that no reader takes, and what to do with it."""
    if path.is_dir():
        return "a folder that holds no model."
    if _is_saved_model_file(path):
        return "a SavedModel's file under another name: call it saved_model.pb, beside its folder variables."
    suffix = _known_suffix(path)
    return "no file that is known here." if suffix is None else ADVICE[suffix]
