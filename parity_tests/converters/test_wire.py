"""Large tensors that are cut out of a GraphDef's bytes before they are parsed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef

import converters
from converters.frozen.graphdef import read_graph
from converters.frozen.wire import detach_contents
from converters.frozen.writer import GraphWriter

LEAST = 100


def graph(outputs: int = 64) -> GraphDef:
    """input -> conv with a kernel large enough to be cut out by default -> relu."""
    writer = GraphWriter()
    x = writer.placeholder("input", [None, None, None, 3])
    kernel = np.random.RandomState(0).randn(11, 9, 3, outputs).astype(np.float32)
    writer.op("relu", "Relu", [writer.conv2d("conv", x, writer.const("w", kernel))])
    return writer.graph_def()


def test_what_is_cut_out_is_the_content_and_nothing_else():
    whole = graph()
    smaller, contents = detach_contents(whole.SerializeToString(), LEAST)
    tensor = next(node for node in whole.node if node.name == "w").attr["value"].tensor
    assert list(contents) == ["w"]
    assert bytes(contents["w"]) == tensor.tensor_content
    tensor.ClearField("tensor_content")
    assert GraphDef.FromString(smaller) == whole


def test_nothing_is_copied():
    data = graph().SerializeToString()
    _, contents = detach_contents(data)
    assert contents["w"].obj is data
    value = read_graph(data)["w"].constant()
    assert not value.flags.owndata
    assert np.shares_memory(value, np.frombuffer(data, np.uint8))


def test_a_graph_from_bytes_is_the_graph_itself():
    whole = graph()
    data = whole.SerializeToString()
    assert read_graph(data).fingerprint() == read_graph(whole).fingerprint()
    one, other = converters.convert(data), converters.convert(whole)
    x = torch.rand(2, 3, 13, 17)
    assert torch.equal(one(x), other(x))


def test_small_contents_stay():
    data = graph(outputs=1).SerializeToString()
    assert detach_contents(data) == (data, {})


@pytest.mark.parametrize("change", [-4, 4])
def test_a_large_content_that_does_not_fit_its_shape(change):
    whole = graph()
    tensor = next(node for node in whole.node if node.name == "w").attr["value"].tensor
    tensor.tensor_content = tensor.tensor_content[:change] if change < 0 else tensor.tensor_content + bytes(change)
    with pytest.raises(converters.GraphError, match=r"'w' has \d+ bytes where its shape"):
        converters.convert(whole.SerializeToString())


def test_cut_bytes_are_left_to_protobuf():
    data = graph().SerializeToString()
    for length in (len(data) // 2, len(data) - 1, 1):
        assert detach_contents(data[:length], LEAST) == (data[:length], {})


def test_messages_that_state_a_content_twice_are_left_to_protobuf():
    """Protobuf merges such messages: the last content counts."""
    whole, other = graph(), graph()
    tensor = next(node for node in other.node if node.name == "w").attr["value"].tensor
    tensor.tensor_content = bytes(len(tensor.tensor_content))
    node, twin = (next(n for n in g.node if n.name == "w").SerializeToString() for g in (whole, other))
    rest = GraphDef(node=[n for n in whole.node if n.name != "w"]).SerializeToString()
    both = node + twin
    length, prefix = len(both), bytearray([0x0A])
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    data = rest + bytes([*prefix, length]) + both
    assert detach_contents(data, LEAST)[1] == {}
    # The order of nodes is the file's; which of the two values counts is protobuf's business.
    parsed = GraphDef.FromString(data)
    assert read_graph(data).fingerprint() == read_graph(parsed).fingerprint()


def test_two_nodes_of_one_name_are_still_refused():
    whole = graph()
    whole.node.add().CopyFrom(next(node for node in whole.node if node.name == "w"))
    with pytest.raises(converters.GraphError, match="Two nodes"):
        converters.convert(whole.SerializeToString())


def test_random_bytes_are_left_to_protobuf():
    random = np.random.RandomState(0)
    for _ in range(200):
        data = random.bytes(random.randint(1, 300))
        smaller, contents = detach_contents(data, 0)
        assert contents or smaller == data
