"""Reads networks from files and folders; `KINDS` lists the kinds of sources for the library and the command line."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from converters.errors import GraphError, nearest_names
from converters.paths import MODEL_FILE, naming_file, source_path
from converters.progress import Progress, silent
from converters.signatures import checked
from converters.tensorflow import freeze

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor, nn

    from converters.program.layer_info import Layers
    from converters.program.program import Metadata


class Network(Protocol):
    """An `nn.Module` with named layers, as `open_source` returns it."""

    layers: Layers
    outputs: tuple[str, ...]

    @property
    def left_out(self) -> Mapping[str, str]:
        """Layers of the source that could not be converted: name -> the reason, as a clause."""
        ...

    @property
    def metadata(self) -> Metadata:
        """Describes the input."""
        ...

    def activations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Values of the named layers, by name; (N, C, H, W) for images."""
        ...

    def layer_module(self, name: str) -> nn.Module:
        """Returns the module that computes a layer."""
        ...


@dataclass(frozen=True)
class Options:
    """Options of the readers, as `open_source` describes them; None if not set."""

    input_name: str | None = None
    metadata: Metadata | None = None
    fold: bool | None = None
    constants: Mapping[str, ArrayLike] | None = None
    outputs: Sequence[str] | None = None
    signature: str | None = None
    tags: Sequence[str] | None = None
    tensorflow_python: str | os.PathLike[str] | None = None
    keep_pb: str | os.PathLike[str] | None = None
    prototxt: str | os.PathLike[str] | None = None
    geometry: str | None = None
    layout: str | None = None
    layouts: Mapping[str, str] | None = None
    progress: Progress | None = None

    def given(self, *names: str) -> dict[str, Any]:
        """Returns the options that are set, restricted to `names` if any are passed."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if not names or f.name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    Attributes:
        name: the kind's name in messages.
        matches: whether a path is of this kind. The path exists, or is the prefix of a checkpoint's files.
        read: reads the network.
        options: names of the `Options` that `read` accepts.
    """

    name: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, Options], Network]
    options: frozenset[str]


@checked
def open_source(path: str | os.PathLike[str], **options: Any) -> Network:
    """Reads a network from a file or folder of any supported kind.

    Args:
        path: a frozen graph, a SavedModel, a checkpoint with its meta graph, a Caffe network, an ONNX file, or a folder
            that `converters.save` wrote.
        **options: each is optional, and applies only to some kinds of sources:
            input_name: name of the input, if there are several;
            metadata: describes the model's input (`Metadata`); saved folders have their own;
            fold: for TensorFlow graphs, fold batch norms into convolutions (see `convert`);
            constants: for TensorFlow graphs and ONNX files, values of inputs other than the image (see `convert`);
            outputs: names of the network's outputs; only what they need is read (not for saved folders);
            signature, tags: the signature and the graph of a SavedModel;
            tensorflow_python: a Python with TensorFlow, which freezes checkpoints and SavedModels;
            keep_pb: file to write the frozen graph of a checkpoint or SavedModel to;
            prototxt, geometry: for Caffe networks (see `converters.from_caffe`);
            layout: for ONNX files, the layout of the input, "NCHW" or "NHWC" (see `converters.from_onnx`);
            layouts: layer -> one letter for each axis of its value, as in {"tokens": "NLC"}: N images, C channels, H
                rows, W columns, L tokens, T times, G others; for layers whose axes are not known;
            progress: called with the current stage and the finished share of it (`converters.progress`).

    Returns:
        A `ConvertedModel`; for ONNX files an `OnnxNetwork`. Both implement `Network`.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: this kind of source does not accept one of the options.
        TypeError: there is no option of this name, or `path` is not a path.
        GraphError: the path is not of a supported kind, or is damaged; the message says what to do.
        TensorFlowMissingError: the source has to be frozen first, and TensorFlow is not installed.

    Example:
        >>> import tempfile
        >>> from converters.frozen.writer import GraphWriter
        >>> graph = GraphWriter()
        >>> relu = graph.op("relu", "Relu", [graph.placeholder("input", [None, None, None, 3])])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(list(open_source(graph.write(f"{folder}/graph.pb")).layers))
        ['input', 'relu']
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"A source is a path, not {type(path).__name__}.")
    place = source_path(path)
    with naming_file(place):
        kind = kind_of(place)
        checked = take_options(f"{path} is {kind.name}, which", kind.options, options)
        network = kind.read(place, checked)
    if checked.layouts is not None:
        network.layers = network.layers.stated(checked.layouts)
    return network


def take_options(subject: str, taken: frozenset[str], options: Mapping[str, Any]) -> Options:
    """Checks that a source accepts the options.

    Args:
        subject: the source, as the start of the sentence "... takes no ...".
        taken: names of the accepted options; `layouts`, `metadata` and `progress` are always accepted.
        options: as for `open_source`.

    Raises:
        ValueError: the source does not accept one of the options.
        TypeError: there is no option of this name.
    """
    known = {f.name for f in fields(Options)}
    unknown = sorted(set(options) - known)
    if unknown:
        hint = nearest_names(unknown[0], known)
        raise TypeError(f"There is no option {unknown[0]!r} for reading a network.{hint}")
    checked = Options(**options)
    refused = sorted(set(checked.given()) - taken - {"layouts", "metadata", "progress"})
    if refused:
        raise ValueError(f"{subject} takes no {refused[0]}.")
    return checked


def kind_of(path: Path) -> Kind:
    """Returns the kind of the source at a path.

    Raises:
        FileNotFoundError: the path does not exist.
        GraphError: the path is of no supported kind.
    """
    if not path.name:
        raise GraphError(f"{path} is a folder of other folders, not a network: name the network's own folder or file.")
    if not (_exists(path) or freeze.is_checkpoint(path)):
        raise FileNotFoundError(f"There is no file {path}.")
    if _exists(path) and not (path.is_file() or path.is_dir()):
        raise GraphError(f"{path} is a pipe or a device, and reading it may never end: name a file or a folder.")
    found = next((kind for kind in KINDS if kind.matches(path)), None)
    if found is None:
        raise GraphError(f"{path} is {_advice(path)} Supported are: {', '.join(kind.name for kind in KINDS)}.")
    return found


def is_frozen_here(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is a source that TensorFlow freezes before it is converted."""
    return looks_like_source(path) and kind_of(source_path(path)).options >= FREEZING


def looks_like_source(path: str | os.PathLike[str]) -> bool:
    """Returns whether a text is a path, not a model's name: it exists, or has a separator or a known suffix."""
    place = source_path(path)
    return not place.name or (
        _exists(place) or freeze.is_checkpoint(place) or os.sep in os.fspath(path) or place.suffix.lower() in SUFFIXES
    )


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (ValueError, OSError) as error:  # the path has a NUL, is too long, or is forbidden
        raise GraphError(f"{str(path)[:200]!r} cannot be read: {error}.") from error
    return True


# -- readers ----------------------------------------------------------------------------------------------------------


def _read_frozen(path: Path, options: Options) -> Network:
    from converters.conversion import convert

    return convert(path, **options.given(*FROZEN, "metadata", "progress"))


def _read_saved(path: Path, options: Options) -> Network:
    from converters.conversion import load

    return load(path)


def _read_saved_model(path: Path, options: Options) -> Network:
    return _freeze_and_convert(freeze.freeze_saved_model, path, options, "signature", "tags")


def _read_checkpoint(path: Path, options: Options) -> Network:
    return _freeze_and_convert(freeze.freeze_checkpoint, _meta_file(path) or path, options)


def _freeze_and_convert(
    function: Callable[..., freeze.Frozen], path: Path, options: Options, *own_options: str
) -> Network:
    from converters.conversion import convert

    (options.progress or silent)("freezing in TensorFlow", None)
    shared = ("input_name", "outputs", "constants", "tensorflow_python")
    frozen = function(path, **options.given(*shared, *own_options))
    if options.keep_pb is not None:
        freeze.keep(frozen, options.keep_pb)
    given = options.given(*CONVERTING, "metadata", "progress")
    return convert(frozen.data, **{"input_name": frozen.input_name, **given})


def _read_caffe(path: Path, options: Options) -> Network:
    from converters.caffe import from_caffe

    given = options.given("prototxt", "geometry", "input_name", "outputs", "metadata", "progress")
    if path.suffix == ".prototxt":
        given = {"prototxt": path, **given}
        path = path.with_suffix(".caffemodel")
        if not path.is_file():
            raise GraphError(
                f"{given['prototxt']} has no weights: give the .caffemodel, and this file as its prototxt (--prototxt)."
            )
    return from_caffe(path, **given)


def _read_onnx(path: Path, options: Options) -> Network:
    from converters.onnx.reading.conversion import from_onnx

    return from_onnx(path, **options.given("input_name", "layout", "outputs", "constants", "metadata"))


# -- kinds ------------------------------------------------------------------------------------------------------------

CONVERTING = frozenset({"input_name", "fold", "constants"})
FROZEN = CONVERTING | {"outputs"}
FREEZING = FROZEN | {"tensorflow_python", "keep_pb"}
MAX_LISTED = 10_000  # names of an archive's files that are looked at
FROZEN_SUFFIXES = (".pb", ".graphdef", "")
# First bytes of the files, independent of their names.
NODE_TAG = b"\x0a"  # a GraphDef with a node; never an ONNX file
ONNX_TAG = b"\x08"  # an ONNX file (its version field); never a GraphDef
SAVED_MODEL_START = b"\x08\x01\x12"  # a saved_model.pb: version 1, then a graph


def _is_saved(path: Path) -> bool:
    return path.is_dir() and (path / MODEL_FILE).is_file()


def _meta_file(path: Path) -> Path | None:
    """Returns the meta graph in a folder, if there is exactly one."""
    found = sorted(path.glob(f"*{freeze.META}")) if path.is_dir() else []
    return found[0] if len(found) == 1 else None


def _is_checkpoint(path: Path) -> bool:
    return path.suffix == freeze.META or freeze.is_checkpoint(path) or _meta_file(path) is not None


def _is_frozen(path: Path) -> bool:
    """Returns whether a file may be a GraphDef: by its suffix, or by its first byte if the suffix is unknown."""
    if not path.is_file() or _is_saved_model_file(path):
        return False
    if path.suffix.lower() in FROZEN_SUFFIXES:
        return True
    return _known_suffix(path) is None and _start(path).startswith(NODE_TAG)


def _is_onnx(path: Path) -> bool:
    """Returns whether a file may be an ONNX file: the first byte decides, because suffixes are ambiguous."""
    if not path.is_file():
        return False
    if path.suffix.lower() == ".onnx":
        return not _start(path).startswith(NODE_TAG)
    starts_as_onnx = _start(path).startswith(ONNX_TAG) and not _is_saved_model_file(path)
    return starts_as_onnx and path.suffix.lower() in FROZEN_SUFFIXES


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
        frozenset({"input_name", "outputs", "prototxt", "geometry"}),
    ),
    Kind(
        "an ONNX file (.onnx)",
        _is_onnx,
        _read_onnx,
        frozenset({"input_name", "layout", "outputs", "constants"}),
    ),
    Kind("a frozen TensorFlow graph (.pb)", _is_frozen, _read_frozen, FROZEN),
)

SUFFIXES = (".pb", freeze.META, ".onnx", ".caffemodel", ".prototxt", ".json")

# Advice for files that hold networks in unsupported formats.
_KERAS = "a Keras file: load it with Keras, call model.export(folder), and give that folder."
_TORCH = "a PyTorch file with weights only: build the module, load the weights, and call modelzoo.from_torch."
_SCRIPT = (
    "a scripted or traced PyTorch network (TorchScript), whose layers are not read: give the network that it was made "
    "from to modelzoo.from_torch, or export that network to ONNX."
)
_CHECKPOINT = "a checkpoint file with weights only: put TensorFlow's .meta file into the same folder."
_ARCHIVE = "an archive: unpack it, and give the file or folder in it."
ADVICE: Mapping[str, str] = {
    ".h5": _KERAS,
    ".hdf5": _KERAS,
    ".keras": _KERAS,
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".safetensors": "a file with weights only: if converters.save wrote it, give its folder.",
    ".json": "a text file: if converters.save wrote it, give its folder.",
    ".tflite": "a TensorFlow Lite file: convert it (python -m tf2onnx.convert --tflite FILE --output FILE.onnx).",
    ".ckpt": _CHECKPOINT,
    ".index": _CHECKPOINT,
    ".pbtxt": "a graph as text: parse it with google.protobuf.text_format, and write its SerializeToString() as .pb.",
    ".zip": _ARCHIVE,
    ".tar": _ARCHIVE,
    ".tgz": _ARCHIVE,
    ".gz": _ARCHIVE,
}


def _known_suffix(path: Path) -> str | None:
    """Returns the key of `ADVICE` for a file."""
    name = path.name.lower()
    if ".ckpt" in name or ".data-" in name:
        return ".ckpt"
    return path.suffix.lower() if path.suffix.lower() in ADVICE else None


def _is_script(path: Path) -> bool:
    """Returns whether a file is a TorchScript archive: it holds the code of a network."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist()[:MAX_LISTED])
    except (OSError, zipfile.BadZipFile):
        return False


def _advice(path: Path) -> str:
    """Returns the kind of an unsupported file or folder, and how to convert it."""
    if path.is_dir():
        return "a folder that holds no model."
    if _is_saved_model_file(path):
        return "a SavedModel's file under another name: call it saved_model.pb, beside its folder variables."
    if _is_script(path):
        return _SCRIPT
    suffix = _known_suffix(path)
    return "no file of a known kind." if suffix is None else ADVICE[suffix]
