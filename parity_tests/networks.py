"""The whole networks that are compared with TensorFlow, and their inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.graphdef import parse_graphdef
from converters.network.request import LayeredNetwork, LayerRequest
from converters.reference.inputs import InputSpec
from lucid_port.modelzoo.files import PACKAGE_DATA
from lucid_port.modelzoo.seeded import seeded_inceptionv1, smooth_twin

CAFFE_FILE = "InceptionV1_caffe.pb"
WITHOUT_CAFFE = f"needs {CAFFE_FILE} in a folder of LUCID_PORT_MODELZOO"
TINY_FILE = "TinyInceptionV1.pb"
BATCH = 3
SIZES = {"224": (224, 224), "225": (225, 225), "137": (137, 137), "97x161": (97, 161), "96": (96, 96)}
GRADIENT_DRAWS = 8


@dataclass(frozen=True)
class Network:
    """A whole graph whose layers are compared with TensorFlow's.

    Attributes:
        name: name of the graph in the references.
        source: description for the manifest.
        graph_def: returns the graph, or None if its file is missing.
        input_name: name of its placeholder.
        specs: inputs by name.
        gradients: (layer, channel) pairs whose gradients are compared.
        smooth: whether the graph has neither ReLUs nor max pools, so that rounding cannot flip a decision.
        lucid_class: Lucid's class of this graph; None if its `_pre_relu` layers cannot be compared.
    """

    name: str
    source: str
    graph_def: Callable[[], GraphDef | None]
    input_name: str
    specs: Mapping[str, InputSpec]
    gradients: Sequence[tuple[str, int]]
    smooth: bool = False
    lucid_class: str | None = None


def specs(low: Sequence[float], high: Sequence[float], bgr: bool, names: Sequence[str]) -> dict[str, InputSpec]:
    """The named inputs in a model's value range."""
    found = {}
    for seed, (name, size) in enumerate(SIZES.items()):
        found[name] = InputSpec("texture", (BATCH, *size, 3), tuple(low), tuple(high), seed)
    found["photo"] = InputSpec("photo", (1, 224, 224, 3), tuple(low), tuple(high), bgr=bgr)
    return {name: found[name] for name in names}


def modelzoo_folders() -> list[Path]:
    """Folders in which a user's graphs are looked for."""
    return [Path(part) for part in os.environ.get("LUCID_PORT_MODELZOO", "").split(os.pathsep) if part]


def caffe_graph() -> GraphDef | None:
    """The ImageNet-trained GoogLeNet, which is no part of the project, or None where no folder has it."""
    for folder in modelzoo_folders():
        if (folder / CAFFE_FILE).is_file():
            return parse_graphdef(folder / CAFFE_FILE)
    return None


def caffe_twin() -> GraphDef | None:
    """Its smooth twin."""
    graph = caffe_graph()
    return None if graph is None else smooth_twin(graph)


def tiny_graph() -> GraphDef:
    """The network that comes with the package."""
    return parse_graphdef(PACKAGE_DATA / TINY_FILE)


SEEDED_RANGE = ((-117.0,), (138.0,))
CAFFE_RANGE = ((-103.939, -116.779, -123.68), (151.061, 138.221, 131.32))
ALL_INPUTS = ("224", "225", "137", "97x161", "photo")
TINY_INPUTS = ("96", "225", "97x161")
TWIN_INPUTS = ("225", "97x161", "photo")
# From the first layer to the last, channels that are active at about half of the positions of every image.
SEEDED_GRADIENTS = (
    ("conv2d0", 36),
    ("localresponsenorm1", 33),
    ("mixed3b_pre_relu", 478),
    ("mixed4a", 103),
    ("mixed4d_pre_relu", 174),
    ("mixed5b", 36),
)
CAFFE_GRADIENTS = (
    ("conv1_7x7_s2/conv1_7x7_s2", 17),
    ("conv2_norm2", 158),
    ("inception_3b_output_pre_relu", 26),
    ("inception_4a_output", 48),
    ("inception_4d_output_pre_relu", 17),
    ("inception_5b_output", 858),
)
TINY_GRADIENTS = (
    ("conv2d0", 11),
    ("localresponsenorm1", 33),
    ("mixed3b_pre_relu", 83),
    ("mixed4a", 79),
    ("mixed4d_pre_relu", 84),
    ("mixed5b", 131),
)

NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network(
            "inceptionv1-seeded",
            "lucid_port.modelzoo.seeded.seeded_inceptionv1(): InceptionV1's topology, seeded weights",
            seeded_inceptionv1,
            "input",
            specs(*SEEDED_RANGE, bgr=False, names=ALL_INPUTS),
            SEEDED_GRADIENTS,
            lucid_class="InceptionV1",
        ),
        Network(
            "inceptionv1-seeded-smooth",
            "lucid_port.modelzoo.seeded.seeded_inceptionv1(smooth=True)",
            lambda: seeded_inceptionv1(smooth=True),
            "input",
            specs(*SEEDED_RANGE, bgr=False, names=TWIN_INPUTS),
            SEEDED_GRADIENTS,
            smooth=True,
        ),
        Network(
            "tinyinceptionv1",
            f"lucid_port/modelzoo/data/{TINY_FILE}, which comes with the package",
            tiny_graph,
            "input",
            specs(*SEEDED_RANGE, bgr=False, names=TINY_INPUTS),
            TINY_GRADIENTS,
        ),
        Network(
            "inceptionv1-caffe",
            f"{CAFFE_FILE}: BVLC GoogLeNet trained on ImageNet, as a frozen TensorFlow graph",
            caffe_graph,
            "data",
            specs(*CAFFE_RANGE, bgr=True, names=ALL_INPUTS),
            CAFFE_GRADIENTS,
        ),
        Network(
            "inceptionv1-caffe-smooth",
            f"lucid_port.modelzoo.seeded.smooth_twin of {CAFFE_FILE}",
            caffe_twin,
            "data",
            specs(*CAFFE_RANGE, bgr=True, names=TWIN_INPUTS),
            CAFFE_GRADIENTS,
            smooth=True,
        ),
    )
}


def takes_relu_rule(network: LayeredNetwork) -> bool:
    """Whether a network computes its ReLUs by functions that it is given."""
    return network.supports(LayerRequest.of([], relu_rule={"Relu": torch.relu}))
