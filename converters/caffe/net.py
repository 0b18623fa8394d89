"""Caffe's networks: layers as they stand in the file, and the graph of those that a picture goes through.

Caffe names the values that layers hand on ("blobs") apart from the layers, and a layer may overwrite what it reads. A
file has its layers in the order in which they run, so that a name always means what was written under it last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from converters.caffe.blobs import Blob, Contents, read_blobs
from converters.errors import GraphError, nearest_names
from converters.frozen.graph import Output

MAX_SIDE = 2**16  # rows, columns or channels of an input
MAX_NAME = 256  # characters of a layer's name, a type or a blob's name; real ones have at most a few dozen

# Layers that make the network's input: their first blob is the picture, the second its label.
DATA_LAYERS = frozenset({"Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData"})
INPUT_LAYER = "Input"
# Layers that hand their input on, in a network that is not being trained.
PASSED = frozenset({"Dropout", "Split"})
# Layers that only tell about a network, or write to files.
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
PROBABILITIES = "prob"  # what deployed networks call the softmax in the place of the loss

# The types of old versions whose names are not those of today in capitals and underscores.
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
    """A layer as it stands in the file.

    Attributes:
        name: Caffe's name, unchanged.
        type: today's name of its type, such as `InnerProduct`.
        bottoms, tops: the blobs that it reads and writes.
        message: its LayerParameter or V1LayerParameter; settings have the same names in both.
        blobs: its weights.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    message: Any
    blobs: Sequence[Blob] = ()


@dataclass(frozen=True)
class Node:
    """A layer in the graph.

    Attributes:
        layer: the layer.
        inputs: what it reads: layers' outputs by the layer's name.
        scale: the Scale layer whose work a BatchNorm layer does, too.
        relu: whether it does the work of the ReLU behind it, too.
    """

    layer: Layer
    inputs: tuple[Output, ...]
    scale: Layer | None = None
    relu: bool = False


@dataclass(frozen=True)
class Entry:
    """The network's input.

    Attributes:
        name: what it is called.
        output: what reads it calls it.
        shape: (channels, height, width); None for what the file does not say.
    """

    name: str
    output: Output
    shape: Shape


@dataclass(frozen=True)
class Net:
    """The part of a network that a picture goes through: nodes in an order in which they can run."""

    entry: Entry
    nodes: tuple[Node, ...]


def read_layers(message: Any, contents: Contents | None = None) -> list[Layer]:
    """The layers of a NetParameter, of either form.

    Args:
        message: the NetParameter.
        contents: the numbers of its blobs, in a file that has weights.

    Raises:
        GraphError: layers of both forms or of the oldest one, or a name that stands twice.
    """
    if message.layers and message.layer:
        raise GraphError("The network has layers of Caffe's old and of its new form, which one file may not mix.")
    field, read = ("layer", _layer) if message.layer else ("layers", _old_layer)
    return [
        read(layer, tuple(read_blobs(layer.blobs, (field, number), contents or {})))
        for number, layer in enumerate(getattr(message, field))
    ]


def definitions(message: Any, weights: Iterable[Layer]) -> list[Layer]:
    """The layers of a .prototxt as they are when the network is used, with the weights of a .caffemodel.

    As in Caffe, weights belong to the layer of the same name, whatever its type.
    """
    blobs = {layer.name: layer.blobs for layer in weights}
    return [replace(layer, blobs=blobs.get(layer.name, ())) for layer in read_layers(message) if _is_used(layer)]


def build_net(message: Any, layers: Sequence[Layer], input_name: str | None = None) -> Net:
    """The graph of a network, as far as it is needed once training is over.

    Dropout goes; so do losses and what only leads to them. The softmax of the main loss (the one of the greatest
    weight, or the last of those) stays, under the name that deployed networks have for it.

    Args:
        message: the NetParameter with the definitions, for its inputs.
        layers: its layers, with their weights.
        input_name: the input, where there are several.

    Raises:
        GraphError: a layer reads what none before it makes, two layers have one name, or there is not one input.
    """
    _require_one_of_each([*map(_text, message.input), *(layer.name for layer in layers)])
    entries, nodes, losses = _connect(message, layers)
    if losses:
        nodes = _deployed(nodes, losses)
    read = {source for node in nodes for source in node.inputs}
    entry = _one_entry([entry for entry in entries if entry.output in read], entries, input_name)
    nodes = _from_entry(nodes, entry)
    nodes = _fuse_relus(_fuse_scales(nodes))
    return Net(replace(entry, shape=_with_channels(entry, nodes)), tuple(nodes))


# -- layers ---------------------------------------------------------------------------------------------------------


def _layer(message: Any, blobs: Sequence[Blob]) -> Layer:
    return _named(message, _text(message.type), blobs)


def _old_layer(message: Any, blobs: Sequence[Blob]) -> Layer:
    if message.HasField("layer"):
        raise GraphError(
            "The network is of the form that Caffe had before 2014; bring it up to date with Caffe's "
            "upgrade_net_proto_text or upgrade_net_proto_binary."
        )
    field = message.DESCRIPTOR.fields_by_name["type"]
    old = field.enum_type.values_by_number[message.type].name
    name = _V1_TYPES.get(old) or "".join(word.capitalize() for word in old.split("_"))
    return _named(message, name, blobs)


def _named(message: Any, kind: str, blobs: Sequence[Blob]) -> Layer:
    bottoms, tops = tuple(map(_text, message.bottom)), tuple(map(_text, message.top))
    return Layer(_text(message.name), kind, bottoms, tops, message, blobs)


def _text(value: str | bytes) -> str:
    """A name; protobuf gives bytes where it is damaged and no UTF-8."""
    text = value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")
    if len(text) > MAX_NAME:
        raise GraphError(f"The network has a name of {len(text)} characters, {text[:40]!r}...: the file is damaged.")
    return text


def _require_one_of_each(names: Iterable[str]) -> None:
    name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 1))
    if count > 1:
        raise GraphError(f"{count} layers or inputs of the network are called {name!r}.")


def _is_used(layer: Layer) -> bool:
    """Whether a layer takes part when the network is used: in Caffe's phase TEST, at level 0, in no stage."""
    include, exclude = layer.message.include, layer.message.exclude
    if include:
        return any(map(_holds, include))
    return not any(map(_holds, exclude))


def _holds(rule: Any) -> bool:
    test = rule.DESCRIPTOR.fields_by_name["phase"].enum_type.values_by_name["TEST"].number
    phase = not rule.HasField("phase") or rule.phase == test
    levels = rule.min_level <= 0 and not (rule.HasField("max_level") and rule.max_level < 0)
    return phase and levels and not rule.stage


# -- the graph ------------------------------------------------------------------------------------------------------


def _connect(message: Any, layers: Sequence[Layer]) -> tuple[list[Entry], list[Node], list[Node]]:
    """The inputs, the layers with what each reads, and the losses."""
    entries = list(_inputs(message))
    made = {entry.name: entry.output for entry in entries}
    nodes, losses = [], []
    for layer in layers:
        if layer.type == INPUT_LAYER or layer.type in DATA_LAYERS:
            found = _made_inputs(layer)
            entries += found
            made |= {top: Output(layer.name, index) for index, top in enumerate(layer.tops)}
            continue
        inputs = tuple(_made(made, layer, bottom) for bottom in layer.bottoms)
        if not inputs:
            raise GraphError(f"Layer {layer.name!r} ({layer.type}) reads nothing.")
        if layer.type in PASSED:
            made |= dict.fromkeys(layer.tops, inputs[0])
            continue
        if layer.type in LOSSES:
            losses.append(Node(layer, inputs))
        elif layer.type not in DROPPED:
            nodes.append(Node(layer, inputs))
        made |= {top: Output(layer.name, index) for index, top in enumerate(layer.tops)}
    return entries, nodes, losses


_STATE_INPUT = (
    "Where that is the image, give a prototxt (--prototxt) that begins with it, as in "
    'input: "data" input_shape { dim: 1 dim: 3 dim: 224 dim: 224 }.'
)


def _made(made: Mapping[str, Output], layer: Layer, bottom: str) -> Output:
    if bottom not in made:
        raise GraphError(
            f"Layer {layer.name!r} ({layer.type}) reads {bottom!r}, which no layer before it makes: the definition is "
            f"cut short, out of order, or leaves its input out.{nearest_names(bottom, made) or ' ' + _STATE_INPUT}"
        )
    return made[bottom]


def _inputs(message: Any) -> Iterator[Entry]:
    """The inputs that the network names itself."""
    for number, name in enumerate(map(_text, message.input)):
        if len(message.input_shape) > number:
            sizes = tuple(message.input_shape[number].dim)
        else:
            sizes = tuple(message.input_dim[4 * number : 4 * number + 4])
        yield Entry(name, Output(name), _image_shape(name, sizes))


def _made_inputs(layer: Layer) -> list[Entry]:
    """The inputs that a layer makes: one, but for an Input layer with several blobs. Labels are none."""
    if layer.type != INPUT_LAYER or len(layer.tops) == 1:
        sizes = _data_sizes(layer, 0)
        return [Entry(layer.name, Output(layer.name), _image_shape(layer.name, sizes))] if layer.tops else []
    return [
        Entry(top, Output(layer.name, index), _image_shape(top, _data_sizes(layer, index)))
        for index, top in enumerate(layer.tops)
    ]


def _data_sizes(layer: Layer, index: int) -> tuple[int, ...]:
    """Four sizes of a blob that a layer makes; zero for those that it does not say, and none at all for no image."""
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
    if not sizes:
        return (None, None, None)
    if len(sizes) != 4 or min(sizes) < 0 or max(sizes[1:]) > MAX_SIDE:
        shown = str(list(sizes[:8]))
        raise GraphError(
            f"The input {name!r} has shape {shown}; an image network reads (batch, channels, height, width)."
        )
    return tuple(size or None for size in sizes[1:])


def _one_entry(read: Sequence[Entry], entries: Sequence[Entry], input_name: str | None) -> Entry:
    if input_name is not None:
        named = [entry for entry in entries if entry.name == input_name]
        if not named:
            known = [entry.name for entry in entries]
            raise GraphError(f"The network has no input called {input_name!r}.{nearest_names(input_name, known)}")
        return named[0]
    if len(read) == 1:
        return read[0]
    if not read:
        raise GraphError(
            f"The network has no input that a layer reads: its definition is cut short or leaves it out. {_STATE_INPUT}"
        )
    names = ", ".join(entry.name for entry in read[:5])
    raise GraphError(f"The network has {len(read)} inputs ({names}): name one with input_name.")


def _with_channels(entry: Entry, nodes: Sequence[Node]) -> Shape:
    """The input's shape; where the file does not say its channels, the first convolution's weights do."""
    if entry.shape[0] is not None:
        return entry.shape
    for node in nodes:
        if entry.output in node.inputs and node.layer.type == "Convolution" and node.layer.blobs:
            shape = node.layer.blobs[0].shape
            channels = shape[1] * node.layer.message.convolution_param.group if len(shape) == 4 else 0
            if 0 < channels <= MAX_SIDE:
                return (channels, *entry.shape[1:])
    return entry.shape


# -- what is left out -----------------------------------------------------------------------------------------------


def _deployed(nodes: Sequence[Node], losses: Sequence[Node]) -> list[Node]:
    """What leads to the main loss, and its softmax."""
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
    return [node for node in kept if node.layer.name in wanted]


def _weight(loss: Layer) -> float:
    weights = loss.message.loss_weight
    return float(weights[0]) if weights else 1.0


def _from_entry(nodes: Sequence[Node], entry: Entry) -> list[Node]:
    """The nodes that the input reaches. What else they read is found missing where they are written."""
    reached = {entry.output.node}
    found = []
    for node in nodes:
        if any(source.node in reached for source in node.inputs):
            reached.add(node.layer.name)
            found.append(node)
    return found


# -- what caffe-tensorflow joins (kaffe/transformers.py): layers that do the work of the only one behind them ---------


def _fuse_scales(nodes: Sequence[Node]) -> list[Node]:
    return _fuse(
        nodes,
        lambda node, behind: node.layer.type == "BatchNorm" and node.scale is None and behind.layer.type == "Scale",
        lambda node, behind: replace(node, scale=behind.layer),
    )


def _fuse_relus(nodes: Sequence[Node]) -> list[Node]:
    kinds = {"Convolution", "InnerProduct", "BatchNorm"}

    def fits(node: Node, behind: Node) -> bool:
        plain = behind.layer.type == "ReLU" and not behind.layer.message.relu_param.negative_slope
        return node.layer.type in kinds and not node.relu and plain

    return _fuse(nodes, fits, lambda node, behind: replace(node, relu=True))


def _fuse(nodes: Sequence[Node], fits: Any, joined: Any) -> list[Node]:
    """Joins each node that is another's only reader to that other, where they fit."""
    readers = Counter(source for node in nodes for source in node.inputs)
    found: dict[str, Node] = {}
    instead: dict[str, str] = {}
    for node in nodes:
        inputs = tuple(replace(source, node=instead.get(source.node, source.node)) for source in node.inputs)
        before = found.get(inputs[0].node) if len(inputs) == 1 else None
        if before is not None and readers[node.inputs[0]] == 1 and fits(before, node):
            found[before.layer.name] = joined(before, node)
            instead[node.layer.name] = before.layer.name
        else:
            found[node.layer.name] = replace(node, inputs=inputs)
    return list(found.values())
