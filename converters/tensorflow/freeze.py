"""Freezes SavedModels, and checkpoints with their meta graphs, in a process that has TensorFlow.

In a frozen graph, weights are constants. The rest of this package reads frozen graphs only. TensorFlow itself has to
load the variables, so `freezing_script.py` runs in a separate process.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.atomic import scratch_folder, write_bytes
from converters.errors import GraphError, TensorFlowMissingError
from converters.paths import user_path
from converters.tensorflow.process import ENVIRONMENT, find_tensorflow, last_lines, run_script

SCRIPT = Path(__file__).with_name("freezing_script.py")
SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
META = ".meta"
# Suffixes of a checkpoint's data files: `model.ckpt-1.index`, `model.ckpt-1.data-00000-of-00001`.
_DATA_FILE = re.compile(r"\.(index|data-\d+-of-\d+)\Z")

HOW_TO_INSTALL = (
    "Install it (pip install tensorflow), or install it in a separate environment (python -m venv tf; "
    "tf/bin/pip install tensorflow) and name its Python with --tensorflow-python tf/bin/python or in the "
    f"environment variable {ENVIRONMENT}."
)


@dataclass(frozen=True)
class Frozen:
    """A frozen graph.

    Attributes:
        data: the bytes of the GraphDef.
        input_name: its image placeholder, or None if that is ambiguous.
        outputs: the outputs of the graph; it has only the nodes that they depend on.
        tensorflow: the version of TensorFlow that froze it.
    """

    data: bytes
    input_name: str | None
    outputs: tuple[str, ...]
    tensorflow: str


def is_saved_model(path: Path) -> bool:
    """Returns whether a path is the folder of a SavedModel, or the file in it."""
    return saved_model_folder(path) is not None


def saved_model_folder(path: Path) -> Path | None:
    """Returns the folder of a SavedModel, given the folder or the file in it; None if the path is not one."""
    folder = path.parent if path.name in SAVED_MODEL_FILES else path
    return folder if any((folder / name).is_file() for name in SAVED_MODEL_FILES) else None


def is_checkpoint(path: Path) -> bool:
    """Returns whether a path is a file of a checkpoint with a meta graph, or the prefix of these files."""
    return checkpoint_prefix(path).with_name(checkpoint_prefix(path).name + META).is_file()


def checkpoint_prefix(path: Path) -> Path:
    """Returns the prefix of a checkpoint's files."""
    return path.with_name(_DATA_FILE.sub("", path.name.removesuffix(META)))


def freeze_saved_model(path: str | os.PathLike[str], **options: Any) -> Frozen:
    """Freezes a SavedModel of TensorFlow 1, or a serving signature of one that TensorFlow 2 exported.

    Args:
        path: the folder, or the saved_model.pb in it.
        **options: as for `freeze_checkpoint`, and
            signature: one of the model's signatures; by default its only one, or `serving_default`.
            tags: tags of one of the model's graphs; by default its only one, or the one tagged `serve`.

    Raises:
        TensorFlowMissingError: no Python with TensorFlow was found.
        GraphError: the path is not a SavedModel, its variables are missing, the choice of a signature or graph is
            ambiguous, or TensorFlow cannot load it.
    """
    folder = saved_model_folder(user_path(path))
    if folder is None:
        raise GraphError(f"{path} is no SavedModel: there is no {SAVED_MODEL_FILES[0]} in it.")
    return _freeze(folder, {"kind": "saved_model"}, **options)


def freeze_checkpoint(
    path: str | os.PathLike[str],
    *,
    input_name: str | None = None,
    outputs: Sequence[str] | None = None,
    constants: Iterable[str] = (),
    tensorflow_python: str | os.PathLike[str] | None = None,
) -> Frozen:
    """Freezes a checkpoint of TensorFlow 1 with its meta graph.

    Nodes that only the training needs are left out; the others keep their names.

    Args:
        path: the .meta file; the files of the checkpoint are beside it and have the same prefix.
        input_name: the image placeholder, if several placeholders may be the image.
        outputs: the outputs of the frozen graph. By default all nodes that no node reads, and that depend on the image
            but not on labels or losses.
        constants: names of placeholders that are replaced by constants later. They do not count as images or labels.
        tensorflow_python: a Python with TensorFlow; by default the one that `LUCID_PORT_TENSORFLOW` names, the
            reference environment, or this Python.

    Raises:
        TensorFlowMissingError: no Python with TensorFlow was found.
        GraphError: the checkpoint's data or some variables are missing, the outputs cannot be inferred, or TensorFlow
            cannot load it.
    """
    prefix = checkpoint_prefix(user_path(path))
    meta = prefix.with_name(prefix.name + META)
    if not meta.is_file():
        raise GraphError(f"{path} has weights without a graph: put TensorFlow's {meta.name} into the same folder.")
    if not (prefix.is_file() or prefix.with_name(f"{prefix.name}.index").is_file()):
        raise GraphError(
            f"{meta} has no weights: put the checkpoint ({prefix.name}.index, {prefix.name}.data-...) into its folder."
        )
    job = {"kind": "checkpoint", "checkpoint": str(prefix.absolute())}
    return _freeze(
        meta, job, input_name=input_name, outputs=outputs, constants=constants, tensorflow_python=tensorflow_python
    )


def _freeze(
    path: Path,
    job: dict[str, Any],
    *,
    input_name: str | None = None,
    outputs: Sequence[str] | None = None,
    signature: str | None = None,
    tags: Sequence[str] | None = None,
    constants: Iterable[str] = (),
    tensorflow_python: str | os.PathLike[str] | None = None,
) -> Frozen:
    python = _require_tensorflow(path, tensorflow_python)
    with scratch_folder() as folder:
        files = {key: folder / key for key in ("graph", "reply", "job")}
        job |= {"path": str(path.absolute()), "graph": str(files["graph"]), "reply": str(files["reply"])}
        entry = None if input_name is None else input_name.removesuffix(":0")
        job |= {"input": entry, "signature": signature, "outputs": list(outputs or []), "tags": list(tags or [])}
        job |= {"constants": [name.removesuffix(":0") for name in constants]}
        files["job"].write_text(json.dumps(job), encoding="utf-8")
        run = run_script(python, SCRIPT, files["job"])
        if run.returncode or not files["reply"].is_file():
            last = " ".join(last_lines(run, 1)) or f"exit code {run.returncode}"
            raise GraphError(
                f"{path} could not be frozen: TensorFlow's process ({python}) failed, saying: {last[:300]}"
            )
        reply = json.loads(files["reply"].read_text(encoding="utf-8"))
        if "error" in reply:
            raise GraphError(f"{path} could not be frozen: {' '.join(reply['error'].split())}")
        return Frozen(files["graph"].read_bytes(), reply["input"], tuple(reply["outputs"]), reply["tensorflow"])


def _require_tensorflow(path: Path, python: str | os.PathLike[str] | None) -> Path:
    found = find_tensorflow(None if python is None else os.fspath(python))
    if found is not None:
        return found
    named = python or os.environ.get(ENVIRONMENT)
    where = f"in {named}" if named else "here"
    raise TensorFlowMissingError(
        f"{path} has its weights apart from its graph; freezing it requires TensorFlow, and there is none {where}. "
        + HOW_TO_INSTALL
    )


def keep(frozen: Frozen, path: str | os.PathLike[str]) -> Path:
    """Writes a frozen graph to a file, atomically."""
    target = user_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_bytes(target, frozen.data)
