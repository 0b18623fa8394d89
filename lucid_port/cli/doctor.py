"""`lucid-port doctor`: prints the environment, for bug reports."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator

from lucid_port import __version__
from lucid_port.cli.console import Json, print_table

REQUIRED = (
    "torch",
    "numpy",
    "pillow",
    "protobuf",
    "safetensors",
    "tensorboard",
    "filelock",
    "jinja2",
    "pooch",
    "typer",
    "rich",
)
OPTIONAL = {
    "torchvision": "models of torchvision",
    "onnx": "reading and writing ONNX",
    "onnxruntime": "checking written ONNX files",
    "scikit-image": "resizing pictures, and the tests",
    "scikit-learn": "groups of neurons",
    "umap-learn": "activation atlases",
    "nltk": "WordNet",
    "ipython": "pictures in notebooks",
    "tensorflow": "freezing checkpoints and SavedModels",
}

Row = tuple[str, str, str]


def command(json: Json = False) -> None:
    """Print versions, devices, folders and models.

    Example: lucid-port doctor
    """
    print_table(("what", "name", "found"), [*_versions(), *_devices(), *_folders(), *_models()], json)


def _versions() -> Iterator[Row]:
    from lucid_port.misc.environment import processor

    yield "system", platform.platform(terse=True), processor()
    yield "version", "python", platform.python_version()
    yield "version", "lucid_port", __version__
    for name in REQUIRED:
        yield "version", name, _version(name) or "MISSING: install lucid_port again"
    for name, purpose in OPTIONAL.items():
        yield "optional", name, _version(name) or f"not installed; for {purpose}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Row]:
    import torch

    from lucid_port.optvis.engine.compilation import obstacle

    reason = obstacle(torch.device("cpu"))
    yield "device", "cpu", f"{torch.get_num_threads()} threads"
    yield "compile", "cpu", "compile=True works" if reason is None else f"compile=True does nothing: {reason}"
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield "device", f"cuda:{index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if not torch.cuda.is_available():
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        yield "device", "cuda", f"none; {built}"
    if torch.backends.mps.is_available():
        yield "device", "mps", "Apple's GPU"


def _folders() -> Iterator[Row]:
    from lucid_port.modelzoo.files import SEARCH_PATH, cache_folder, search_folders

    folders = search_folders()
    for folder in folders:
        yield "folder", SEARCH_PATH, str(folder) if folder.is_dir() else f"{folder}: THERE IS NO SUCH FOLDER"
    if not folders:
        yield "folder", SEARCH_PATH, "not set; it names the folders with your models"
    cache = cache_folder()
    files = [path for path in cache.rglob("*") if path.is_file()] if cache.is_dir() else []
    size = sum(path.stat().st_size for path in files) / 2**20
    yield "folder", "cache", f"{cache} ({len(files)} files, {size:.0f} MiB)"


def _models() -> Iterator[Row]:
    from lucid_port.modelzoo.catalogue import catalogue
    from lucid_port.modelzoo.files import local_graph

    for entry in catalogue().values():
        place = "generated on demand" if entry.generator is not None else local_graph(entry)
        if place is not None:
            yield "model", entry.name, str(place)
