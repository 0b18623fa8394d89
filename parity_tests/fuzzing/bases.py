"""The files that are mutated: small graphs and networks in every form that is read, recipes, manifests and pictures."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import converters
from converters.paths import MODEL_FILE
from converters.program.storage import WEIGHTS_FILE
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.optvis.recipe import is_recipe
from lucid_port.optvis.recipe_files import read_document
from parity_tests.cases import CASES
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel, prototxt
from parity_tests.fuzzing.documents import json_text, toml_text
from parity_tests.fuzzing.pictures import names as picture_names
from parity_tests.fuzzing.pictures import picture
from parity_tests.fuzzing.texts import TEXTS

ONNX_FILES = Path(__file__).parents[1] / "converters" / "onnx"
KEPT = Path(__file__).parents[2] / "reference_outputs" / "compatibility"
NETWORKS = ("pb", "saved", "caffe", "onnx")
KINDS = (*NETWORKS, "recipe", "plan", "manifest", "figure", "picture", "units")
MAIN = {
    "pb": "graph.pb",
    "caffe": "net.caffemodel",
    "onnx": "net.onnx",
    "saved": MODEL_FILE,
    "recipe": "recipe.json",
    "figure": "figure.json",
    "manifest": "manifest.json",
    "units": "text.units",
}
NETWORKS_EVERY = 8  # one in so many bases is a network; they take longer


@dataclass(frozen=True)
class Base:
    """Files of one source.

    Attributes:
        kind: one of `KINDS`.
        name: unique among the kind's.
        files: content by file name; `MAIN` is the name of the one to open, where it is the same for the kind.
    """

    kind: str
    name: str
    files: Mapping[str, bytes]


def is_available(kind: str) -> bool:
    """Whether a kind can be read here: ONNX needs an additional package."""
    return kind != "onnx" or importlib.util.find_spec("onnx") is not None


def names(kind: str) -> Sequence[str]:
    """The names of a kind's bases, sorted; networks come up more often than each op's case does."""
    found = _BUILDERS[kind]()
    small = sorted(name for name in found if name in CASES)
    networks = sorted(name for name in found if name not in CASES)
    if not small:
        return networks
    times = max(1, len(small) // (NETWORKS_EVERY * len(networks)))
    return [*small, *networks * times]


@functools.lru_cache(maxsize=256)
def base(kind: str, name: str) -> Base:
    """One of them."""
    return Base(kind, name, _BUILDERS[kind]()[name]())


def draw(kind: str, random: Random) -> Base:
    """One of them; some graphs cannot be written as ONNX, so others are drawn for those."""
    while True:
        with contextlib.suppress(converters.GraphError):
            return base(kind, random.choice(names(kind)))


Files = Callable[[], Mapping[str, bytes]]


def _graph(name: str) -> bytes:
    if name in CASES:
        return CASES[name].graph_def().SerializeToString(deterministic=True)
    return seeded_inceptionv1(width=0.05).SerializeToString(deterministic=True)


@functools.cache
def _graphs() -> Mapping[str, Files]:
    def files(name: str) -> Mapping[str, bytes]:
        return {MAIN["pb"]: _graph(name)}

    return {name: functools.partial(files, name) for name in (*CASES, "inceptionv1")}


@functools.cache
def _saved() -> Mapping[str, Files]:
    def files(name: str) -> Mapping[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            converters.convert(_graph(name)).save(Path(folder) / "saved")
            return {file: (Path(folder) / "saved" / file).read_bytes() for file in (MODEL_FILE, WEIGHTS_FILE)}

    return {name: functools.partial(files, name) for name in (*CASES, "inceptionv1")}


@functools.cache
def _onnx() -> Mapping[str, Files]:
    def exported(name: str) -> Mapping[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "exported.onnx"
            converters.convert(_graph(name)).to_onnx(path)
            return {MAIN["onnx"]: path.read_bytes()}

    def stored(path: Path) -> Mapping[str, bytes]:
        return {MAIN["onnx"]: path.read_bytes()}

    small = {name: functools.partial(exported, name) for name in CASES}
    return {**small, **{path.stem: functools.partial(stored, path) for path in ONNX_FILES.glob("*.onnx")}}


@functools.cache
def _caffe() -> Mapping[str, Files]:
    layers = _caffe_layers()
    data = CaffeLayer("data", "Data", [], ["data", "label"], "transform_param", {"crop_size": 24})

    def files(form: int, with_text: bool) -> Mapping[str, bytes]:
        if with_text:
            return {MAIN["caffe"]: caffemodel(layers, form), "net.prototxt": prototxt(layers, (1, 3, 24, 24), form)}
        return {MAIN["caffe"]: caffemodel([data, *layers], form)}

    forms = {1: "old form", 2: "new form"}
    return {
        f"{name}{', with text' if text else ''}": functools.partial(files, form, text)
        for form, name in forms.items()
        for text in (False, True)
    }


def _caffe_layers() -> list[CaffeLayer]:
    """A network with the layers that both forms of Caffe's files have."""
    random = np.random.RandomState(0)

    def convolution(name: str, bottom: str, inputs: int, outputs: int, size: int, group: int = 1) -> CaffeLayer:
        blobs = [random.standard_normal((outputs, inputs // group, size, size)), random.standard_normal(outputs)]
        settings = {"num_output": outputs, "kernel_size": size, "pad": size // 2, "stride": 1, "group": group}
        return CaffeLayer(name, "Convolution", [bottom], [name], "convolution_param", settings, blobs)

    def plain(name: str, kind: str, *bottoms: str, parameter: str = "", **settings: object) -> CaffeLayer:
        return CaffeLayer(name, kind, bottoms, [name], parameter, settings)

    pooling = functools.partial(plain, parameter="pooling_param")
    return [
        convolution("conv1", "data", 3, 8, 3),
        plain("relu1", "ReLU", "conv1"),
        pooling("pool1", "Pooling", "relu1", pool="MAX", kernel_size=3, stride=2),
        plain("norm1", "LRN", "pool1", parameter="lrn_param", local_size=5, alpha=0.0001, beta=0.75),
        convolution("conv2", "norm1", 8, 6, 5, group=2),
        convolution("conv3", "norm1", 8, 4, 1),
        plain("both", "Concat", "conv2", "conv3"),
        plain("sum", "Eltwise", "both", "both", parameter="eltwise_param", operation="SUM"),
        plain("drop", "Dropout", "sum"),
        pooling("pool2", "Pooling", "drop", pool="AVE", kernel_size=12, stride=1),
        CaffeLayer(
            "fc", "InnerProduct", ["pool2"], ["fc"], "inner_product_param", {"num_output": 5},
            [random.standard_normal((5, 10)), random.standard_normal(5)],
        ),
        plain("prob", "Softmax", "fc"),
    ]  # fmt: skip


@functools.cache
def _recipes() -> Mapping[str, Files]:
    def stored(path: Path) -> Mapping[str, bytes]:
        return {MAIN["recipe"]: json.dumps(read_document(path)).encode()}

    paths = [path for path in (KEPT / "pictures").iterdir() if path.suffix in (".png", ".jpg", ".webp")]
    return {path.stem: functools.partial(stored, path) for path in paths if is_recipe(read_document(path))}


PLANS: Mapping[str, Mapping[str, Any]] = {
    "objective": {"objective": "mixed3a:2", "size": 25, "transforms": [], "seed": 3, "output": "made.png"},
    "array": {"units": "mixed3a:2", "size": 25, "output": "deep/made.npy", "value_range": [-1, 1], "bgr": True},
    "pair": {"units": ["mixed3a:2", "conv2d2:1-2"], "size": 25, "precision": "float32", "output": "made"},
    "sheet": {"units": "mixed3a:2", "sheet": True, "image": {"param": "image", "args": {"w": 24, "h": 31}}},
}


@functools.cache
def _plans() -> Mapping[str, Files]:
    def written(data: Mapping[str, Any], ending: str) -> Mapping[str, bytes]:
        return {f"plan.{ending}": (toml_text if ending == "toml" else json_text)(data).encode()}

    kept = {path.stem: read_document(path) for path in (KEPT / "plans").glob("*.toml")}
    own = {name: {"model": "TinyInceptionV1", "steps": 2, **data} for name, data in PLANS.items()}
    plans = {**own, **{f"kept {name}": data for name, data in kept.items()}}
    return {
        f"{name}, {ending}": functools.partial(written, data, ending)
        for name, data in plans.items()
        for ending in ("toml", "json")
    }


FIGURES: Mapping[str, Mapping[str, Any]] = {
    "fv-channel": {"options": {"units": ["mixed3a:3", "mixed3b:5"], "size": 24}},
    "fv-preconditioning": {"options": {"units": ["mixed3a:3"], "size": 24, "rates": [0.05]}},
    "bb-channel-attribution": {"image": "photo.png"},
    "bb-neuron-groups": {"image": "photo.png", "options": {"layer": "mixed3a", "groups": 3, "factors": 2}},
    "dp-style-transfer": {"image": "photo.png", "options": {"style": "photo.png", "size": 24}},
    "cd-synthetic-curves": {"options": {"layer": "mixed3a", "radii": [10.0], "families": {"a": ["mixed3a:1"]}}},
}


@functools.cache
def _figures() -> Mapping[str, Files]:
    def written(data: Mapping[str, Any]) -> Mapping[str, bytes]:
        return {MAIN["figure"]: json.dumps(data).encode(), "photo.png": picture("RGB.png")}

    head = {"lucid_port_figure": 1, "model": "TinyInceptionV1", "like": None, "steps": 1, "seed": 1, "fast": True}
    own = {name: {**head, "figure": name, **data} for name, data in FIGURES.items()}
    kept = {f"kept {path.stem}": json.loads(path.read_bytes()) for path in (KEPT / "figures").glob("*.json")}
    for data in kept.values():
        data["data"] = {}  # it is only carried along
    return {name: functools.partial(written, data) for name, data in {**own, **kept}.items()}


@functools.cache
def _manifests() -> Mapping[str, Files]:
    def stored(folder: Path) -> Mapping[str, bytes]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def model() -> Mapping[str, bytes]:
        manifest = {
            "type": "frozen", "model_path": "./graph.pb", "model_name": "small", "input_name": "input",
            "image_shape": [64, 64, 3], "image_value_range": [-117, 138], "is_BGR": False, "labels": ["a", "b"],
            "layers": [{"name": "mixed3a", "depth": 256, "tags": ["conv"]}],
        }  # fmt: skip
        return {MAIN["manifest"]: json.dumps(manifest).encode(), MAIN["pb"]: _graph("inceptionv1")}

    folders = [path for path in (KEPT / "runs").iterdir() if (path / MAIN["manifest"]).exists()]
    return {**{path.name: functools.partial(stored, path) for path in folders}, "a model": model}


@functools.cache
def _pictures() -> Mapping[str, Files]:
    def written(name: str) -> Mapping[str, bytes]:
        return {f"picture{Path(name).suffix}": picture(name)}

    return {name: functools.partial(written, name) for name in picture_names()}


@functools.cache
def _units() -> Mapping[str, Files]:
    def written(text: str) -> Mapping[str, bytes]:
        return {MAIN["units"]: text.encode()}

    return {text: functools.partial(written, text) for text in TEXTS}


_BUILDERS: Mapping[str, Callable[[], Mapping[str, Files]]] = {
    "recipe": _recipes,
    "plan": _plans,
    "manifest": _manifests,
    "figure": _figures,
    "picture": _pictures,
    "units": _units,
    "pb": _graphs,
    "saved": _saved,
    "caffe": _caffe,
    "onnx": _onnx,
}
