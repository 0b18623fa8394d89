"""Caffe networks: the layers of a file, and the graph of the layers that process an image.

In Caffe, values ("blobs") have names of their own, and a layer may overwrite its input. Files list layers in the order
in which they run, so a name refers to the value that was last written under it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.caffe.blobs import Blob, Contents, read_blobs
from converters.caffe.messages import CaffeMessage, enum_name
from converters.errors import GraphError, nearest_names
from converters.frozen.graph import Output

MAX_SIDE = 2**16  # largest number of rows, columns or channels of an input
MAX_NAME = 256  # largest number of characters of a name or a type; real ones have at most a few dozen

# Layers that produce the network's input: their first blob is the image, the second its label.
DATA_LAYERS = frozenset({"Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData"})
INPUT_LAYER = "Input"
# Layers that return their input at inference.
PASSED = frozenset({"Dropout", "Split"})
# Layers that only report on a network, or write to files.
DROPPED = frozenset({"Accuracy", "HDF5Output", "Silence"})
SOFTMAX_LOSS = "SoftmaxWithLoss"
LOSSES = frozenset(
    {
        SOFTMAX_LOSS,
        "ContrastiveLoss",
        "EuclideanLoss",
        "HingeLoss",
        "InfogainLoss",
        "MultinomialLogisticLoss",
        "SigmoidCrossEntropyLoss",
    }
)
FUSED_WITH_RELU = frozenset({"Convolution", "InnerProduct", "BatchNorm"})
PROBABILITIES = "prob"  # name of the softmax that replaces the loss in deployed networks

# Old type names whose new names are not just the camel-case form, with the new names.
_V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": SOFTMAX_LOSS,
    "TANH": "TanH",
}

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Layer:
    """A layer of a file.

    Attributes:
        name: Caffe's name, unchanged.
        type: name of the layer's type in the new format, such as `InnerProduct`.
        bottoms, tops: names of the blobs that the layer reads and writes.
        message: the LayerParameter or V1LayerParameter; their parameters have the same names.
        blobs: the layer's weights.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: CaffeMessage
    blobs: Sequence[Blob] = ()


@dataclass(frozen=True)
class Node:
    """A layer in the graph.

    Attributes:
        layer: the layer.
        inputs: the outputs that it reads.
        scale: the Scale layer that is fused into a BatchNorm layer.
        relu: whether the ReLU after the layer is fused into it.
    """

    layer: Layer
    inputs: tuple[Output, ...]
    scale: Layer | None = None
    relu: bool = False


@dataclass(frozen=True)
class Entry:
    """The network's input.

    Attributes:
        name: the input's name.
        output: the output under which layers read it.
        shape: (channels, height, width); None for sizes that the file does not state.
        stated: the sizes that the file states; an image has four or none.
    """

    name: str
    output: Output
    shape: Shape
    stated: tuple[int, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether the input may be an image: its rank is 4 or unknown."""
        return len(self.stated) in (0, 4)


@dataclass(frozen=True)
class Net:
    """A network at inference.

    Attributes:
        entry: the image.
        nodes: the layers, in topological order.
        outputs: name of a blob, or of a layer without a node of its own -> the output of a node that has its value.
        left_out: name of a layer that runs at inference and has no node -> the reason, as a clause.
    """

    entry: Entry
    nodes: tuple[Node, ...]
    outputs: Mapping[str, Output] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


def read_layers(message: CaffeMessage, contents: Contents | None = None) -> list[Layer]:
    """Reads the layers of a NetParameter, in the new or the old format.

    Args:
        message: the NetParameter.
        contents: the values of its blobs, if the file has weights.

    Raises:
        GraphError: the file mixes both formats, or has the format from before 2014.
    """
    if message.layers and message.layer:
        raise GraphError("The network mixes layers of Caffe's old and new file format.")
    field = "layer" if message.layer else "layers"
    return [
        _layer(layer, tuple(read_blobs(layer.blobs, (field, number), contents or {})))
        for number, layer in enumerate(getattr(message, field))
    ]


def definitions(message: CaffeMessage, weights: Iterable[Layer]) -> list[Layer]:
    """Returns the layers of a .prototxt that run at inference, with the weights of a .caffemodel.

    As in Caffe, layers get the weights of the layer of the same name, whatever its type.
    """
    blobs = {layer.name: layer.blobs for layer in weights}
    return [replace(layer, blobs=blobs.get(layer.name, ())) for layer in read_layers(message) if _is_used(layer)]


def build_net(
    message: CaffeMessage, layers: Sequence[Layer], input_name: str | None = None, complete: bool = False
) -> Net:
    """Builds the inference graph of a network.

    Removes dropout, losses, and layers that the main loss (the last one with the greatest weight) does not depend on.
    The softmax of the main loss stays, under the name that it has in deployed networks.

    Args:
        message: the NetParameter of the definition, which may name inputs.
        layers: its layers with their weights.
        input_name: name of the input, if there are several.
        complete: keep the layers that the main loss does not depend on.

    Raises:
        GraphError: a layer reads a blob that no layer before it writes, two layers have the same name, or there is not
            exactly one input.
    """
    _require_one_of_each([*map(_text, message.input), *(layer.name for layer in layers)])
    connected = _connect(message, layers)
    nodes, left_out = connected.nodes, connected.left_out
    if connected.losses:
        nodes, beside = _deployed(nodes, connected.losses)
        if complete:
            nodes += beside
        else:
            why = "the network's main loss does not depend on it: name it in outputs (--outputs)"
            left_out |= {node.layer.name: why for node in beside}
    read = {source for node in nodes for source in node.inputs}
    entries = connected.entries
    entry = _one_entry([entry for entry in entries if entry.output in read], entries, input_name)
    nodes, fused = _fuse(nodes)
    made = {
        name: replace(output, node=fused.get(output.node, output.node)) for name, output in connected.outputs.items()
    }
    made |= {name: Output(node) for name, node in fused.items()}
    here = {entry.output.node, *(node.layer.name for node in nodes)}
    outputs = {name: output for name, output in made.items() if output.node in here}
    return Net(replace(entry, shape=_with_channels(entry, nodes)), tuple(nodes), outputs, left_out)


# -- layers ---------------------------------------------------------------------------------------------------------


def _layer(message: CaffeMessage, blobs: Sequence[Blob]) -> Layer:
    """Returns a layer from a LayerParameter or V1LayerParameter."""
    if message.DESCRIPTOR.name == "LayerParameter":
        kind = _text(message.type)
    elif message.HasField("layer"):
        raise GraphError(
            "The network has the file format that Caffe had before 2014; upgrade it with Caffe's "
            "upgrade_net_proto_text or upgrade_net_proto_binary."
        )
    else:
        old = enum_name(message, "type")
        kind = _V1_TYPES.get(old) or "".join(word.capitalize() for word in old.split("_"))
    bottoms, tops = tuple(map(_text, message.bottom)), tuple(map(_text, message.top))
    return Layer(_text(message.name), kind, bottoms, tops, message, blobs)


def _text(value: str | bytes) -> str:
    """Returns a name as text; protobuf returns bytes if the name is not UTF-8."""
    text = value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
    if len(text) > MAX_NAME:
        raise GraphError(f"The network has a name of {len(text)} characters, {text[:40]!r}...: the file is damaged.")
    return text


def _require_one_of_each(names: Iterable[str]) -> None:
    name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 1))
    if count > 1:
        raise GraphError(f"{count} layers or inputs of the network are called {name!r}.")


def _is_used(layer: Layer) -> bool:
    """Returns whether a layer runs at inference: in Caffe's phase TEST, at level 0, in no stage."""
    include, exclude = layer.message.include, layer.message.exclude
    if include:
        return any(map(_holds, include))
    return not any(map(_holds, exclude))


def _holds(rule: CaffeMessage) -> bool:
    phase = not rule.HasField("phase") or enum_name(rule, "phase") == "TEST"
    levels = rule.min_level <= 0 and not (rule.HasField("max_level") and rule.max_level < 0)
    return phase and levels and not rule.stage


# -- the graph ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Connected:
    """The layers of a file, connected.

    Attributes:
        entries: the inputs.
        nodes, losses: the other layers.
        outputs, left_out: as for `Net`.
    """

    entries: list[Entry]
    nodes: list[Node]
    losses: list[Node]
    outputs: dict[str, Output]
    left_out: dict[str, str]


def _connect(message: CaffeMessage, layers: Sequence[Layer]) -> _Connected:
    """Connects layers by the names of their blobs."""
    entries = list(_inputs(message))
    made = {entry.name: entry.output for entry in entries}
    nodes, losses = [], []
    lacking = _Lacking()
    for layer in layers:
        if layer.type == INPUT_LAYER or layer.type in DATA_LAYERS:
            entries += _made_inputs(layer)
        elif layer.type in DROPPED:
            lacking.excuse(layer.bottoms)
        elif not layer.bottoms:
            raise GraphError(f"Layer {layer.name!r} ({layer.type}) has no inputs.")
        elif layer.type in LOSSES:
            lacking.excuse(layer.bottoms)
            if layer.bottoms[0] not in made:
                raise lacking.error(layer, layer.bottoms[0], made)
            losses.append(Node(layer, (made[layer.bottoms[0]],)))
        elif any(bottom not in made for bottom in layer.bottoms):
            lacking.add(layer, made)
            continue
        elif layer.type in PASSED:
            made |= dict.fromkeys(layer.tops, made[layer.bottoms[0]])
            continue
        else:
            nodes.append(Node(layer, tuple(made[bottom] for bottom in layer.bottoms)))
        made |= {top: Output(layer.name, index) for index, top in enumerate(layer.tops)}
    lacking.check()
    return _Connected(entries, nodes, losses, made, lacking.left_out)


class _Lacking:
    """The layers that read a blob that no layer produces, such as the labels of a training network.

    They matter unless only losses, and other layers that are dropped, read their results.

    Attributes:
        left_out: name of each of these layers -> the reason, as a clause.
    """

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        self._errors: dict[str, GraphError] = {}  # blob that one of these layers writes -> its error
        self._unread: dict[str, GraphError] = {}  # of these, the blobs that no layer reads

    def add(self, layer: Layer, made: Mapping[str, Output]) -> None:
        """Adds a layer that reads a blob that is not in `made`."""
        lacking = next(bottom for bottom in layer.bottoms if bottom not in made)
        error = self.error(layer, lacking, made)
        self.left_out[layer.name] = f"it reads {lacking!r}, which no layer produces that runs at inference"
        self.excuse(layer.bottoms)
        self._errors |= dict.fromkeys(layer.tops or (layer.name,), error)
        self._unread |= dict.fromkeys(layer.tops or (layer.name,), error)

    def error(self, layer: Layer, bottom: str, made: Mapping[str, Output]) -> GraphError:
        """Returns the error of a layer that reads a blob that is not in `made`: that of the first cause."""
        return self._errors.get(bottom) or _no_blob(layer, bottom, made)

    def excuse(self, blobs: Iterable[str]) -> None:
        """Notes that a layer reads these blobs."""
        for blob in blobs:
            self._unread.pop(blob, None)

    def check(self) -> None:
        """Raises the error of a layer whose results no layer reads."""
        for error in self._unread.values():
            raise error


_STATE_INPUT = (
    "If that is the image, give a prototxt (--prototxt) that starts with it, such as "
    'input: "data" input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }.'
)


def _no_blob(layer: Layer, bottom: str, made: Mapping[str, Output]) -> GraphError:
    return GraphError(
        f"Layer {layer.name!r} ({layer.type}) reads {bottom!r}, which no earlier layer produces: the definition is "
        f"cut short, out of order, or leaves its input out.{nearest_names(bottom, made) or ' ' + _STATE_INPUT}"
    )


def _inputs(message: CaffeMessage) -> Iterator[Entry]:
    """Returns the inputs that the network itself declares."""
    for number, name in enumerate(map(_text, message.input)):
        if len(message.input_shape) > number:
            sizes = tuple(message.input_shape[number].dim)
        else:
            sizes = tuple(message.input_dim[4 * number : 4 * number + 4])
        yield Entry(name, Output(name), _image_shape(name, sizes), sizes)


def _made_inputs(layer: Layer) -> list[Entry]:
    """Returns the inputs that a layer produces: every blob of an Input layer, the first blob of a data layer."""
    several = layer.type == INPUT_LAYER and len(layer.tops) > 1
    names = layer.tops if several else [layer.name] if layer.tops else []
    found = []
    for index, name in enumerate(names):
        sizes = _data_sizes(layer, index)
        found.append(Entry(name, Output(layer.name, index), _image_shape(name, sizes), sizes))
    return found


def _data_sizes(layer: Layer, index: int) -> tuple[int, ...]:
    """Returns the shape of a blob that an input or data layer produces; unstated sizes are zero."""
    message = layer.message
    if layer.type in (INPUT_LAYER, "DummyData"):
        parameter = message.input_param if layer.type == INPUT_LAYER else message.dummy_data_param
        shapes = parameter.shape
        if shapes:
            return tuple(shapes[min(index, len(shapes) - 1)].dim)
        sides = [getattr(parameter, side, ()) for side in ("channels", "height", "width")]
        return (0, *(side[min(index, len(side) - 1)] if side else 0 for side in sides))
    crop = message.transform_param.crop_size or message.data_param.crop_size or message.image_data_param.crop_size
    memory, image = message.memory_data_param, message.image_data_param
    return (0, memory.channels, crop or memory.height or image.new_height, crop or memory.width or image.new_width)


def _image_shape(name: str, sizes: tuple[int, ...]) -> Shape:
    if len(sizes) != 4:
        return (None, None, None)
    if min(sizes) < 0 or max(sizes[1:]) > MAX_SIDE:
        raise _no_image(name, sizes)
    return tuple(size or None for size in sizes[1:])


def _no_image(name: str, sizes: tuple[int, ...]) -> GraphError:
    shown = str(list(sizes[:8]))
    return GraphError(f"The input {name!r} has shape {shown}; an image network reads (batch, channels, height, width).")


def _one_entry(read: Sequence[Entry], entries: Sequence[Entry], input_name: str | None) -> Entry:
    if input_name is not None:
        named = [entry for entry in entries if entry.name in (input_name, input_name.removesuffix(":0"))]
        if not named:
            known = [entry.name for entry in entries]
            raise GraphError(f"The network has no input called {input_name!r}.{nearest_names(input_name, known)}")
        return _checked_image(named[0])
    read = [entry for entry in read if entry.is_image] or read
    if len(read) == 1:
        return _checked_image(read[0])
    if not read:
        raise GraphError(
            f"The network has no input that a layer reads: its definition is cut short or leaves it out. {_STATE_INPUT}"
        )
    names = ", ".join(entry.name for entry in read[:5])
    raise GraphError(f"The network has {len(read)} inputs ({names}): name one with input_name (--input-name).")


def _checked_image(entry: Entry) -> Entry:
    if not entry.is_image:
        raise _no_image(entry.name, entry.stated)
    return entry


def _with_channels(entry: Entry, nodes: Sequence[Node]) -> Shape:
    """Returns the input's shape. If the file does not state the channels, the first convolution determines them."""
    if entry.shape[0] is not None:
        return entry.shape
    for node in nodes:
        if entry.output in node.inputs and node.layer.type == "Convolution" and node.layer.blobs:
            shape = node.layer.blobs[0].shape
            channels = shape[1] * node.layer.message.convolution_param.group if len(shape) == 4 else 0
            if 0 < channels <= MAX_SIDE:
                return (channels, *entry.shape[1:])
    return entry.shape


# -- pruning and fusing ---------------------------------------------------------------------------------------------


def _deployed(nodes: Sequence[Node], losses: Sequence[Node]) -> tuple[list[Node], list[Node]]:
    """Returns the nodes that the main loss depends on, with its softmax, and the other nodes."""
    main = max(enumerate(losses), key=lambda item: (_weight(item[1].layer), item[0]))[1]
    target = main.inputs[0]
    present = [node for node in nodes if node.layer.type == "Softmax" and node.inputs[0] == target]
    kept = list(nodes)
    wanted = {target.node}
    if present:
        wanted.add(present[0].layer.name)
    elif main.layer.type == SOFTMAX_LOSS:
        taken = {node.layer.name for node in nodes}
        name = PROBABILITIES if PROBABILITIES not in taken else main.layer.name
        kept.append(Node(replace(main.layer, name=name, type="Softmax", tops=(name,)), (target,)))
        wanted.add(name)
    for node in reversed(kept):
        if node.layer.name in wanted:
            wanted |= {source.node for source in node.inputs}
    return [node for node in kept if node.layer.name in wanted], [
        node for node in kept if node.layer.name not in wanted
    ]


def _weight(loss: Layer) -> float:
    weights = loss.message.loss_weight
    return float(weights[0]) if weights else 1.0


def _fuse(nodes: Sequence[Node]) -> tuple[list[Node], dict[str, str]]:
    """Fuses each layer into the layer before it, if it is the only reader and caffe-tensorflow fuses such layers.

    Returns:
        The nodes; and name of a layer that was fused -> name of the node that it is part of.
    """
    readers = Counter(source for node in nodes for source in node.inputs)
    found: dict[str, Node] = {}
    fused_into: dict[str, str] = {}
    for node in nodes:
        inputs = tuple(replace(source, node=fused_into.get(source.node, source.node)) for source in node.inputs)
        before = found.get(inputs[0].node) if len(inputs) == 1 and readers[node.inputs[0]] == 1 else None
        fused = None if before is None else _fused(before, node.layer)
        if fused is None:
            found[node.layer.name] = replace(node, inputs=inputs)
        else:
            found[fused.layer.name] = fused
            fused_into[node.layer.name] = fused.layer.name
    return list(found.values()), fused_into


def _fused(node: Node, after: Layer) -> Node | None:
    """Fuses a layer into the node before it; returns None if caffe-tensorflow (kaffe/transformers.py) keeps both."""
    kind = node.layer.type
    if node.relu:
        return None
    if after.type == "Scale" and kind == "BatchNorm" and node.scale is None:
        return replace(node, scale=after)
    if after.type == "ReLU" and kind in FUSED_WITH_RELU and not after.message.relu_param.negative_slope:
        return replace(node, relu=True)
    return None
