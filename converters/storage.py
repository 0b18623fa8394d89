"""Saves and loads converted models: safetensors for the weights, JSON for everything else, no pickle."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from converters.errors import GraphError, SaveError
from converters.model import ConvertedModel
from converters.program import Program
from converters.progress import Progress, silent
from converters.standalone import standalone_source
from converters.tensor_file import write_tensors

MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
STANDALONE_FILE = "model.py"
FORMAT = {"format": "lucid_port converted model", "version": 1}


def save(
    model: ConvertedModel,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    standalone: bool = False,
    progress: Progress = silent,
) -> None:
    """Writes a model into a folder of its own.

    The folder appears only when everything in it is written: an interrupted or failed save leaves nothing behind
    and touches nothing that was there.

    Args:
        model: a converted model.
        folder: created by this call.
        overwrite: replace the folder where it holds a saved model.
        standalone: also write the model as one Python module that needs only torch and safetensors.
        progress: told how far it has come.

    Raises:
        SaveError: the folder exists (and is not to be, or must not be, overwritten), or cannot be written; or a layer
            was replaced by another module.
        TypeError: the model is no converted one.
    """
    if not isinstance(model, ConvertedModel):
        raise TypeError(f"Only converted models are saved here, not a {type(model).__name__}.")
    target = Path(folder)
    _check_layers(model)
    check_target(target, overwrite)
    try:
        with _new_folder(target) as partial:
            write_tensors(model.state_dict(), partial / WEIGHTS_FILE, progress)
            description = json.dumps({**FORMAT, **model.program.to_json()}, indent=1)
            (partial / MODEL_FILE).write_text(description + "\n", encoding="utf-8")
            if standalone:
                (partial / STANDALONE_FILE).write_text(standalone_source(model.program), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        if isinstance(error, SaveError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SaveError(f"The model could not be written to {target}: {reason}. Nothing was left behind.") from error


def _check_layers(model: ConvertedModel) -> None:
    """Refuses a model in which other modules took layers' places: they could not be loaded again."""
    for step in model.program.steps:
        found = type(model.get_submodule(step.module)).__name__
        if found != step.layer:
            raise SaveError(f"Layer {step.name!r} was replaced by a {found}; only converted layers can be saved.")


def check_target(target: Path, overwrite: bool = False) -> None:
    """Refuses a folder that `save` would refuse, before any work is done for it.

    Raises:
        SaveError: the folder exists and is not to be, or must not be, overwritten.
    """
    if not (target.exists() or target.is_symlink()):
        return
    if not overwrite:
        raise SaveError(f"{target} exists already: name another folder, or pass overwrite=True (--overwrite).")
    if not _holds_model(target):
        raise SaveError(f"{target} exists and holds something else than a saved model; it is not overwritten.")


def _holds_model(folder: Path) -> bool:
    """Whether a folder is one that `save` wrote, with nothing else in it."""
    ours = {MODEL_FILE, WEIGHTS_FILE, STANDALONE_FILE}
    if not folder.is_dir() or not {file.name for file in folder.iterdir()} <= ours:
        return False
    try:
        description = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and description.get("format") == FORMAT["format"]


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place when all went well, and is removed when not."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise SaveError(f"{target} cannot be made: {target.parent} is a file.") from error
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        yield partial
        mask = _umask()
        partial.chmod(0o777 & ~mask)
        for file in partial.iterdir():
            file.chmod(0o666 & ~mask)
            _sync(file)
        _replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(partial: Path, target: Path) -> None:
    """Puts a finished folder in its place; what stood there goes only when the new one stands."""
    if not target.exists():
        os.replace(partial, target)
        return
    aside = partial.with_suffix(".replaced")
    os.replace(target, aside)
    try:
        os.replace(partial, target)
    except BaseException:
        os.replace(aside, target)
        raise
    shutil.rmtree(aside)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(file: Path) -> None:
    """Waits until a file is on the disk, so that a full disk shows itself here."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def load(folder: str | os.PathLike[str]) -> ConvertedModel:
    """Loads what `save` wrote.

    Raises:
        FileNotFoundError: the folder holds no saved model.
        GraphError: its description or its weights are damaged.
    """
    path = Path(folder)
    if not (path / MODEL_FILE).is_file():
        raise FileNotFoundError(f"{path} holds no saved model: there is no {MODEL_FILE} in it.")
    try:
        data = json.loads((path / MODEL_FILE).read_text(encoding="utf-8"))
        stated = {key: data.get(key) for key in FORMAT}
        program = Program.from_json(data)
    except (ValueError, AttributeError) as error:
        if isinstance(error, GraphError):
            raise
        raise GraphError(f"{path / MODEL_FILE} is damaged: {error}.") from error
    if stated != FORMAT:
        raise GraphError(f"{path / MODEL_FILE} is of format {stated}; this version reads {FORMAT}.")
    try:
        return ConvertedModel(program, load_file(path / WEIGHTS_FILE))
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise GraphError(f"{path} is damaged: its weights and its description do not fit ({reason}).") from error
