"""Layer names of Lucid's InceptionV1 in other libraries.

The peers are Lucent 0.1.8 (`lucent.modelzoo.inceptionv1`), captum.optim (`captum.optim.models.googlenet`, unreleased:
meta-pytorch/captum, pull request 1545) and torchvision (`torchvision.models.googlenet`). A peer's name of a layer is
the dotted name of the module that computes its value.

Lucent and captum.optim use the weights of Lucid's model, so their units are the same. Lucent computes the local
response normalization differently, and its padding is right for even sizes only. In captum.optim, auxiliary heads run
with `aux_logits=True` only, have no weights, and start with an adaptive pool.

torchvision's network was trained separately, so its units are different. It uses batch normalization, no local
response normalization, 208 channels in the 3x3 branch of inception4a (204 in Lucid), 32 in the 5x5 bottleneck of
inception5a (48 in Lucid), and 3x3 kernels in the branches called 5x5. Its auxiliary heads run in training mode only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from converters import checks
from converters.errors import LayerNotFoundError
from converters.signatures import checked

PEERS = ("lucent", "captum", "torchvision")

REASONS: Mapping[str, str] = {
    "bias": "its convolutions and fully connected layers include the bias",
    "function": "it computes the value with a function, not with a module",
    "heads": "it has no auxiliary heads",
    "identity": "in Lucid it is the softmax under a second name",
    "input": "its input has no name",
    "joined": "it concatenates the branches after their ReLUs only",
    "none": "it does not compute the value",
    "one": "it has one ReLU after the concatenated branches",
}
"""Reasons why a layer has no counterpart. The tables below refer to them by `!key`."""

# A row has a layer's names in Lucid, Lucent, captum.optim and torchvision. A row that starts with "conv" describes a
# convolution: its name in Lucid, captum.optim's convolution and ReLU, and torchvision's block.
_STEM = """
input                           !input                          !input                  !input
conv  conv2d0                   conv1  conv1_relu               conv1
maxpool0                        maxpool0                        pool1                   maxpool1
localresponsenorm0              !function                       local_response_norm1    !none
conv  conv2d1                   conv2  conv2_relu               conv2
conv  conv2d2                   conv3  conv3_relu               conv3
localresponsenorm1              !function                       local_response_norm2    !none
maxpool1                        maxpool1                        pool2                   maxpool2
maxpool4                        maxpool4                        pool3                   maxpool3
maxpool10                       maxpool10                       pool4                   maxpool4
avgpool0                        !function                       avgpool                 avgpool
avgpool0/reshape                !function                       drop                    dropout
softmax2_pre_activation/matmul  !bias                           !bias                   !bias
softmax2_pre_activation         softmax2_pre_activation_matmul  fc                      fc
softmax2                        softmax2                        !none                   !none
output                          !identity                       !identity               !identity
output1                         !identity                       !identity               !identity
output2                         !identity                       !identity               !identity
"""

# {} is replaced by the module's name: mixed3a in Lucid, Lucent and captum.optim, inception3a in torchvision.
_MODULE = """
conv  {}_1x1             {}.conv_1x1         !one                     {}.branch1
conv  {}_3x3_bottleneck  {}.conv_3x3_reduce  {}.conv_3x3_reduce_relu  {}.branch2.0
conv  {}_3x3             {}.conv_3x3         !one                     {}.branch2.1
conv  {}_5x5_bottleneck  {}.conv_5x5_reduce  {}.conv_5x5_reduce_relu  {}.branch3.0
conv  {}_5x5             {}.conv_5x5         !one                     {}.branch3.1
{}_pool                  {}_pool             {}.pool                  {}.branch4.0
conv  {}_pool_reduce     {}.pool_proj        !one                     {}.branch4.1
{}                       {}                  {}_relu                  {}
{}_pre_relu              !joined             {}                       !joined
"""

# {} is replaced by the head's number: 0 and 1 in Lucid, 1 and 2 in the peers.
_HEAD = """
head{}_pool                     !heads  aux{}.avg_pool   !function
head{}_bottleneck_pre_relu/conv !heads  !bias            aux{}.conv.conv
head{}_bottleneck_pre_relu      !heads  aux{}.conv       aux{}.conv.bn
head{}_bottleneck               !heads  aux{}.conv_relu  aux{}.conv
head{}_bottleneck/reshape       !heads  !function        !function
nn{}_pre_relu/matmul            !heads  !bias            !bias
nn{}_pre_relu                   !heads  aux{}.fc1        aux{}.fc1
nn{}                            !heads  aux{}.fc1_relu   !function
nn{}/reshape                    !heads  aux{}.dropout    aux{}.dropout
softmax{}_pre_activation/matmul !heads  !bias            !bias
softmax{}_pre_activation        !heads  aux{}.fc2        aux{}.fc2
softmax{}                       !heads  !none            !none
"""

MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


class NoCounterpartError(ValueError):
    """A peer has no module that computes a layer's value."""


@checked
@dataclass(frozen=True)
class Counterparts:
    """Names of one layer in Lucid and in the peers; None if a peer has no counterpart.

    Example:
        >>> table()[1]
        Counterparts(lucid='conv2d0_pre_relu/conv', lucent=None, captum=None, torchvision='conv1.conv')
    """

    lucid: str
    lucent: str | None
    captum: str | None
    torchvision: str | None


@checked
def to_peer(name: str, peer: str) -> str:
    """Translates a layer name of Lucid's InceptionV1 to a peer.

    Args:
        name: Lucid's name.
        peer: one of `PEERS`.

    Raises:
        converters.LayerNotFoundError: Lucid's InceptionV1 has no layer of this name.
        NoCounterpartError: the peer has no counterpart; the error gives the reason.
        ValueError: the peer is unknown.

    Example:
        >>> to_peer("mixed4a", "torchvision")
        'inception4a'
    """
    _check_peer(peer)
    cells = _cells()
    if name not in cells:
        raise LayerNotFoundError(name, cells)
    found = cells[name][peer]
    if found.startswith("!"):
        raise NoCounterpartError(f"{peer} has no counterpart of {name!r}: {REASONS[found[1:]]}.")
    return found


@checked
def to_lucid(name: str, peer: str) -> str:
    """Translates a layer name of a peer to Lucid's InceptionV1.

    Args:
        name: the peer's name.
        peer: one of `PEERS`.

    Raises:
        converters.LayerNotFoundError: Lucid has no counterpart of that name.
        ValueError: the peer is unknown.

    Example:
        >>> to_lucid("mixed4a_relu", "captum")
        'mixed4a'
    """
    _check_peer(peer)
    found = {row[peer]: lucid for lucid, row in _cells().items() if not row[peer].startswith("!")}
    if name not in found:
        raise LayerNotFoundError(name, found)
    return found[name]


def table() -> tuple[Counterparts, ...]:
    """Returns all layers of Lucid's InceptionV1 with their counterparts."""
    found = []
    for lucid, cells in _cells().items():
        names = {peer: None if name.startswith("!") else name for peer, name in cells.items()}
        found.append(Counterparts(lucid, **names))
    return tuple(found)


@cache
def _cells() -> Mapping[str, Mapping[str, str]]:
    """Returns Lucid's name -> peer -> the peer's name, or "!" and a key of `REASONS`."""
    return {lucid: dict(zip(PEERS, cells, strict=True)) for lucid, *cells in _rows()}


def _rows() -> Iterator[list[str]]:
    yield from _layers(_STEM)
    for module in MODULES:
        yield from _filled(_MODULE, (*[f"mixed{module}"] * 3, f"inception{module}"))
    for head in (0, 1):
        yield from _filled(_HEAD, (str(head), *[str(head + 1)] * 3))


def _layers(table: str) -> Iterator[list[str]]:
    """Yields the four names of each layer of a table."""
    for cells in map(str.split, table.strip().splitlines()):
        if cells[0] == "conv":
            _, name, convolution, relu, block = cells
            yield [f"{name}_pre_relu/conv", "!bias", "!bias", f"{block}.conv"]
            yield [f"{name}_pre_relu", f"{name}_pre_relu_conv", convolution, f"{block}.bn"]
            yield [name, name, relu, block]
        else:
            yield cells


def _filled(table: str, names: tuple[str, ...]) -> Iterator[list[str]]:
    for cells in _layers(table):
        yield [cell.replace("{}", name) for cell, name in zip(cells, names, strict=True)]


def _check_peer(peer: str) -> None:
    if not isinstance(peer, str) or peer not in PEERS:
        raise ValueError(f"There is no name table for {checks.shown(peer)}; there is one for {', '.join(PEERS)}.")
