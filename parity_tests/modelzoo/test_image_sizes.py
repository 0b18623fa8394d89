"""Which failures are explained by the size of the image or the batch, and what the explanation costs."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

import converters
from converters.frozen.writer import GraphWriter
from converters.memory import is_out_of_memory
from converters.tracing.fake import run_without_numbers
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.vision_base import Model


class Counting(nn.Module):
    """Runs a function, and counts the runs with numbers."""

    def __init__(self, function):
        super().__init__()
        runs = []  # not an attribute, because attributes are restored after a pass

        def counting(image):
            if type(image) is torch.Tensor:
                runs.append(1)
            return function(image)

        self.function, self.count = counting, lambda: len(runs)

    def forward(self, image):
        return self.function(image)


def fails(error):
    def function(image):
        raise error

    return function


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("could not create a primitive"),
]


def test_an_unsupported_operation_is_no_want_of_memory():
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a convolution"))


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: str(error)[-20:] or type(error).__name__)
def test_want_of_memory_is_never_explained_by_sizes(error):
    assert is_out_of_memory(error)
    network = Counting(lambda image: image if image.shape[2] == 8 else fails(error)(image))
    model = from_torch(network, (0, 1), image_shape=(8, 6, 3), trace=False)
    with pytest.raises(type(error)) as caught:
        model(torch.zeros(1, 3, 9, 7))
    assert caught.value is error


@pytest.mark.parametrize("error", [RuntimeError("No weights."), ValueError("Layer 'a' returns a tuple.")])
def test_other_failures_run_the_network_once(error):
    network = Counting(fails(error))
    with pytest.raises(type(error)) as caught:
        from_torch(network, (0, 1), trace=False)(torch.zeros(1, 3, 9, 7))
    assert caught.value is error
    assert network.count() == 1


def test_a_wrong_size_is_explained_without_a_second_run():
    linear = nn.Linear(8 * 6 * 3, 2)
    network = Counting(lambda image: linear(image.flatten(1)))
    with pytest.raises(converters.InputSizeError, match="At 8x6 it can: make images of that size"):
        from_torch(network, (0, 1), image_shape=(8, 6, 3), trace=False)(torch.zeros(2, 3, 9, 7))
    assert network.count() == 1


def test_a_failure_by_values_is_not_explained_by_sizes():
    def function(image):
        if float(image.sum()) == 0:
            raise ValueError("All black.")
        return image

    with pytest.raises(ValueError, match=r"^All black\.$"):
        from_torch(Counting(function), (0, 1), image_shape=(8, 6, 3), trace=False)(torch.zeros(1, 3, 9, 7))


class Caching(nn.Module):
    """Keeps what it computed, as rotary embeddings and relative positions do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.tables, self.linear = {}, nn.Linear(8, 2)

    def forward(self, image):
        self.seen = self.seen + image.mean()
        self.latest = self.tables[image.shape[-1]] = image.sum((2, 3))
        return self.linear(image[..., 0])


def test_a_network_is_as_before_after_a_run_without_numbers(caplog):
    network = Caching()
    buffer = network.seen
    with caplog.at_level(logging.DEBUG):
        assert run_without_numbers(network, network, (2, 3, 8, 5), torch.zeros(0)).shape == (2, 3, 2)
        with pytest.raises(RuntimeError):
            run_without_numbers(network, network, (2, 3, 7, 5), torch.zeros(0))
    assert network.seen is buffer
    assert network.tables == {}
    assert not hasattr(network, "latest")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert network(torch.ones(1, 3, 8, 5)).isfinite().all()


def test_folded_weights_have_numbers_after_a_run_without_numbers():
    graph, random = GraphWriter(), np.random.RandomState(0)
    image = graph.placeholder("input", [None, None, None, 3])
    weights = graph.const("w", random.standard_normal((3, 3, 3, 4)).astype(np.float32))
    convolved = graph.op("conv", "Conv2D", [image, weights], strides=[1, 1, 1, 1], padding="SAME")
    graph.op("scaled", "Mul", [convolved, graph.const("by", np.arange(4, dtype=np.float32))])
    network, plain = (converters.convert(graph.graph_def(), fold=fold) for fold in (True, False))
    run_without_numbers(network, network, (1, 3, 9, 7), torch.zeros(0))
    picture = torch.rand(1, 3, 9, 7)
    torch.testing.assert_close(network(picture), plain(picture))


def _compiled_in_place(part, backend):
    part.compile(backend=backend)
    return part


@pytest.mark.parametrize("compiled", [torch.compile, _compiled_in_place])
def test_compiled_parts_run_their_own_code_without_numbers(compiled):
    given = []

    def backend(graph, inputs):
        return lambda *inputs: (given.append(inputs), graph(*inputs))[1]

    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    network[0] = compiled(network[0], backend=backend)
    model = from_torch(network, (0, 1), image_shape=(9, 7, 3))
    assert model.network.layers["0"].axes == "NCHW"
    run_without_numbers(network, network, (1, 3, 9, 7), torch.zeros(0))
    assert not given  # kernels read the memory of their inputs
    network(torch.rand(1, 3, 9, 7))
    assert given


@pytest.fixture(params=[[1, -1], [1, 6 * 8 * 4], [1, 8, 6, -1]], ids=str)
def of_one_image(request, tmp_path):
    graph = GraphWriter()
    weights = graph.const("w", np.random.RandomState(0).standard_normal((1, 1, 3, 4)).astype(np.float32))
    image = graph.placeholder("input", [None, 8, 6, 3])
    convolved = graph.op("conv", "Conv2D", [image, weights], strides=[1, 1, 1, 1], padding="SAME")
    graph.reshape("rows", convolved, request.param)
    return Model(graph.write(tmp_path / "one.pb"), image_value_range=(0, 1))


def test_a_graph_of_one_image_refuses_to_join_a_batch(of_one_image):
    picture = torch.rand(2, 3, 8, 6)
    assert of_one_image(picture[:1]).shape[0] == 1
    assert of_one_image.activations(picture, ["conv"])["conv"].shape[0] == 2
    with pytest.raises(converters.InputSizeError, match=r"'rows'.*A batch of one image can be computed.*batch_size=1"):
        of_one_image(picture)
