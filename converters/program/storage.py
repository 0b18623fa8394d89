"""Saves and loads converted models: safetensors for the weights and JSON for everything else, without pickle."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from converters.atomic import PARTIAL, check_writable, is_abandoned, partial_folder, partial_prefix
from converters.documents import read_json
from converters.errors import GraphError, SaveError, reason
from converters.paths import MODEL_FILE, user_path
from converters.program.program import Program, State
from converters.program.tensor_file import write_tensors
from converters.progress import Progress, silent

WEIGHTS_FILE = "weights.safetensors"
STANDALONE_FILE = "model.py"
REPLACED = ".replaced"
FORMAT = {"format": "lucid_port converted model", "version": 1}


def write_program(
    program: Program,
    state: State,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    standalone: bool = False,
    progress: Progress = silent,
) -> None:
    """Writes a program and its tensors into a new folder; see `converters.save`.

    Raises:
        SaveError: the folder exists and may not be overwritten, or it cannot be written.
    """
    target = user_path(folder)
    check_target(target, overwrite)
    try:
        with _new_folder(target) as partial:
            write_tensors(state, partial / WEIGHTS_FILE, progress)
            description = json.dumps({**FORMAT, **program.to_json()}, indent=1)
            (partial / MODEL_FILE).write_text(description + "\n", encoding="utf-8")
            if standalone:
                from converters.program.standalone import standalone_source

                (partial / STANDALONE_FILE).write_text(standalone_source(program), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        if isinstance(error, SaveError):
            raise
        problem = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SaveError(f"The model could not be written to {target}: {problem}. No partial files remain.") from error


def check_target(target: Path, overwrite: bool = False) -> None:
    """Checks, before any other work, that `save` may write a folder.

    Raises:
        SaveError: the folder exists, and `overwrite` is false or the folder contains anything but a saved model; or it
            cannot be created.
    """
    _restore(target)
    if not (target.exists() or target.is_symlink()):
        try:
            check_writable(target)
        except OSError as error:
            raise SaveError(str(error)) from error
        return
    if not overwrite:
        raise SaveError(f"{target} exists already: name another folder, or pass overwrite=True (--overwrite).")
    if not _holds_model(target):
        raise SaveError(f"{target} exists and holds something else than a saved model; it is not overwritten.")


def _holds_model(folder: Path) -> bool:
    """Returns whether a folder holds a saved model and nothing else."""
    ours = {MODEL_FILE, WEIGHTS_FILE, STANDALONE_FILE}
    if not folder.is_dir() or not {file.name for file in folder.iterdir()} <= ours:
        return False
    try:
        description = read_json(folder / MODEL_FILE)
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and description.get("format") == FORMAT["format"]


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """Context manager for a temporary folder beside `target`, which replaces `target` on success."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise SaveError(f"{target} cannot be made: {target.parent} is a file.") from error
    with partial_folder(target) as partial:
        yield partial
        mask = _umask()
        partial.chmod(0o777 & ~mask)
        for file in partial.iterdir():
            file.chmod(0o666 & ~mask)
            _sync(file)
        _replace(partial, target)


def _replace(partial: Path, target: Path) -> None:
    """Moves a finished folder to its target; an old folder is deleted only after the new one is in place."""
    if not target.exists():
        os.replace(partial, target)
        return
    aside = partial.with_suffix(REPLACED)
    os.replace(target, aside)
    try:
        os.replace(partial, target)
    except BaseException:
        os.replace(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _restore(target: Path) -> None:
    """Undoes the replacement of a folder in which a process was killed."""
    pattern = f"{glob.escape(partial_prefix(target))}????????{REPLACED}"
    for aside in target.parent.glob(pattern) if target.parent.is_dir() else ():
        if not is_abandoned(aside.with_suffix(PARTIAL)):
            continue  # another process is at work
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.replace(aside, target)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(file: Path) -> None:
    """Flushes a file to the disk, so that a full disk raises an error here."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def read_program(folder: str | os.PathLike[str]) -> tuple[Program, State]:
    """Reads a folder that `write_program` wrote.

    Raises:
        FileNotFoundError: the folder holds no saved model.
        GraphError: its description or its weights are damaged.
    """
    path = user_path(folder)
    if not (path / MODEL_FILE).is_file():
        raise FileNotFoundError(f"{path} holds no saved model: there is no {MODEL_FILE} in it.")
    try:
        data = read_json(path / MODEL_FILE)
    except ValueError as error:
        raise GraphError(str(error)) from error
    try:
        stated = {key: data.get(key) for key in FORMAT}
        program = Program.from_json(data)
    except (ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, GraphError):
            raise
        problem = "it nests too deeply" if isinstance(error, RecursionError) else error
        raise GraphError(f"{path / MODEL_FILE} is damaged: {problem}.") from error
    if stated != FORMAT:
        raise GraphError(f"{path / MODEL_FILE} is of format {stated}; this version reads {FORMAT}.")
    try:
        return program, load_file(path / WEIGHTS_FILE)
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise damaged_weights(folder, error) from error


def damaged_weights(folder: str | os.PathLike[str], error: Exception) -> GraphError:
    """Returns the error for weights that cannot be read or do not fit the description."""
    return GraphError(f"{Path(folder)} is damaged: its weights and its description do not fit ({reason(error)}).")
