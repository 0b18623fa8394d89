"""Makes a figure and writes it as a picture, a page and a recipe."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import schema
from converters.atomic import write_bytes
from converters.paths import naming_file, user_path
from lucid_port.figures.base import Figure, Options, Result, Settings, find_figure
from lucid_port.figures.options import FigureOptions
from lucid_port.figures.page import page
from lucid_port.figures.sheet import compose
from lucid_port.misc.event_writers import Log, LogDir, open_writer
from lucid_port.misc.io.saving import save
from lucid_port.misc.io.serialize_array import PICTURES
from lucid_port.optvis import checkpoints
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.diagnostics import noted_failures
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.optvis.recipe import MadeWith, made_here
from lucid_port.optvis.render_log import logged

if TYPE_CHECKING:
    from lucid_port.modelzoo.vision_base import Model as VisionModel

__all__ = ["MARK", "Request", "is_request", "make", "named_files", "open_request", "write"]

MARK = "lucid_port_figure"
FORMAT = 1
DEFAULT_MODEL = "InceptionV1"


class FigureMadeWith(MadeWith, total=False):
    """Versions, machine and model of a figure."""

    fingerprint: str


@dataclass(frozen=True)
class Request:
    """A request for a figure.

    Attributes:
        figure: name of the figure.
        model: name of a model of the catalogue, or a path.
        like: the model whose options are used if `model` is a path.
        options: the user's own options, such as units.
        steps: updates of each picture; by default those of the article, or fewer for a draft.
        seed: seed of all random draws.
        image: path of the user's picture.
        fast: make a draft.

    Raises:
        ValueError: a setting has the wrong type, or is too small.
    """

    figure: str
    model: str = DEFAULT_MODEL
    like: str | None = None
    options: FigureOptions | None = None
    steps: schema.Positive | None = None
    seed: schema.Natural = 0
    image: str | None = None
    fast: bool = False

    def __post_init__(self) -> None:
        schema.check_fields(self, "A figure")

    def command(self, opening: Sequence[str] = ()) -> str:
        """The command line of this request.

        Args:
            opening: the words of the options that open the model.
        """
        words = ["lucid-port", "figure", self.figure, "--model", self.model, *opening]
        flags: dict[str, Any] = {"--like": self.like, "--steps": self.steps, "--image": self.image}
        for flag, value in flags.items():
            words += [] if value is None else [flag, str(value)]
        units = (self.options or {}).get("units")
        words += ["--units", ",".join(map(str, units))] if units else []
        words += ["--seed", str(self.seed)] if self.seed else []
        return shlex.join([*words, *(["--fast"] if self.fast else [])])

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Request:
        """Reads a request from JSON data.

        Raises:
            ValueError: the data have another version, lack the figure's name, hold invalid values, or name an address
                instead of a picture.
        """
        if data.get(MARK) != FORMAT or not isinstance(data.get("figure"), str):
            raise ValueError(f"The figure's recipe is damaged, or of another version than {FORMAT}.")
        hints = schema.hints_of(cls)
        schema.check_table(data, {MARK: int, **hints, "made_with": FigureMadeWith, "data": Any}, "A figure")
        request = cls(**{name: data[name] for name in hints if name in data})
        address = next((one for one in request.pictures() if "://" in one), None)
        if address is not None:
            raise ValueError(
                f"The figure's recipe names the address {address}, and recipes fetch nothing: download the picture, "
                "and pass it with 'lucid-port figure --image'."
            )
        return request

    def pictures(self) -> list[str]:
        """The user's pictures that the request names: `image`, and the option `style`."""
        named = (self.image, (self.options or {}).get("style"))
        return [one for one in named if one is not None]


def is_request(data: Any) -> bool:
    """Whether JSON data are the recipe of a figure."""
    return isinstance(data, Mapping) and MARK in data


def open_request(request: Request) -> VisionModel:
    """Opens the model of a request: a model of the catalogue, or a file with the inputs and labels of the model `like`.

    Raises:
        ValueError: the model does not exist, or the inputs of the file are unknown.
        FileNotFoundError: the model's file was not found.
    """
    from lucid_port.modelzoo.catalogue import entry
    from lucid_port.modelzoo.nets_factory import open_model
    from lucid_port.modelzoo.vision_models import MODELS

    check_picture(request)
    like = None if request.like is None else MODELS[entry(request.like).name]
    return open_model(request.model) if like is None or request.model in MODELS else like(request.model)


def check_picture(request: Request) -> None:
    """Checks that a figure takes a picture if the request names one.

    Raises:
        ValueError: the figure starts from no picture.
    """
    if request.image is not None and not find_figure(request.figure).of_picture:
        raise ValueError(f"The figure {request.figure} starts from no picture: leave out --image.")


def make(request: Request, model: Model, verbose: bool = False) -> Result:
    """Makes a figure.

    Args:
        request: the request.
        model: the opened model, on its device.
        verbose: show progress.

    Raises:
        ValueError: the figure does not exist, or has no options for this model.
    """
    check_picture(request)
    figure = find_figure(request.figure)
    return figure.make(_settings(figure, request, model, verbose))


def _settings(figure: Figure, request: Request, model: Model, verbose: bool) -> Settings:
    own = dict(request.options or {})
    own_name = request.model if request.model in figure.options else getattr(model, "name", request.model)
    named = request.like or own_name
    drafted = figure.fast_options if request.fast else {}
    known = figure.options_for(named, request.fast) if named in figure.options or not own else drafted
    steps = request.steps
    if steps is None:
        steps = figure.fast_steps if request.fast else figure.steps
    return Settings(model, Options({**known, **own}), steps, request.seed, request.image, request.fast, verbose)


def write(
    request: Request,
    model: Model,
    folder: str | os.PathLike[str],
    verbose: bool = False,
    opening: Sequence[str] = (),
    log_dir: LogDir | None = None,
) -> Sequence[Path]:
    """Makes a figure and writes NAME.png, NAME.html and NAME.json into a folder.

    While the figure is made, the folder holds `.NAME.unfinished`. If the request is interrupted, it resumes from there.

    Args:
        request: the request.
        model: the opened model, on its device.
        folder: the folder.
        verbose: show progress.
        opening: as for `Request.command`, which the page shows.
        log_dir: folder for TensorBoard logs, or a writer: a run NAME with the figure and its recipe, and a run
            NAME/RENDER for each of its renders.

    Returns:
        The paths of the three files, and of the figure's further files.

    Raises:
        FloatingPointError: a render or a picture became NaN or infinite; nothing is written.
        ValueError: as `make`.
        OSError: the folder cannot be written to.
    """
    figure = find_figure(request.figure)
    log = None if log_dir is None else Log(log_dir).inside(figure.name)
    about = _request_data(request, model)
    key = {**about, "files": named_files(request)}
    with _ready(user_path(folder)) as place:
        paths = [place / f"{figure.name}.{ending}" for ending in ("png", "html", "json")]
        unfinished = _checkpointed(place / f".{figure.name}.unfinished", key, verbose)
        with logged(None if log is None else log.log_dir), unfinished, noted_failures() as failed:
            started = time.monotonic()
            result = _made(request, model, verbose, failed)
            seconds = round(time.monotonic() - started)
            if result is not None and not failed:
                steps = _settings(figure, request, model, verbose).steps
                facts = {"Model": request.model, "steps": steps, "seed": request.seed, "seconds": seconds}
                picture = compose(result.panels)
                more = {f"{figure.name}{ending}": write_file for ending, write_file in result.files.items()}
                command, own = request.command(opening), request.image is not None
                html = page(figure, result, facts, command, own_picture=own, files=list(more))
                text = json.dumps({MARK: FORMAT, **about, "data": _plain(result.data)}, indent=1)
                save(picture, paths[0], domain=None, metadata=text)
                write_bytes(paths[1], html.encode())
                write_bytes(paths[2], text.encode())
                for name, write_file in more.items():
                    write_file(place / name)
                    paths.append(place / name)
                if log is not None:
                    _write_log(log.log_dir, picture, text)
        # The states of the block are gone: a run that resumed from them would fail in the same way.
        if failed:
            raise FloatingPointError(f"The figure {figure.name} is not written. {failed[0]}")
    return paths


def _write_log(log_dir: LogDir, picture: np.ndarray, recipe: str) -> None:
    """Writes a figure into its log."""
    with contextlib.closing(open_writer(log_dir)) as writer:
        writer.add_image("figure", picture, 0, dataformats="HWC")
        writer.add_text("recipe", f"```json\n{recipe}\n```", 0)


def _made(request: Request, model: Model, verbose: bool, failed: list[str]) -> Result | None:
    """Makes a figure; None if it cannot be made because a render has failed.

    Args:
        request, model, verbose: as for `make`.
        failed: sentences about failed renders, to which one about pictures with NaN or infinite values is added.
    """
    try:
        result = make(request, model, verbose)
    except Exception:
        if not failed:
            raise
        return None
    bad = sum(not np.isfinite(picture).all() for panel in result.panels for picture in panel.pictures)
    failed += [f"{bad} of its pictures have NaN or infinite values and mean nothing."] if bad else []
    return result


@contextlib.contextmanager
def _ready(folder: Path) -> Iterator[Path]:
    """Context that creates a folder and checks that it can be written to, before long work starts.

    After an error, the folder is removed if it was new and is empty.

    Raises:
        OSError: the folder cannot be created or written to.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, and a figure is written into a folder: name another.")
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        yield folder
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # it holds a checkpoint
                folder.rmdir()
        raise


@contextlib.contextmanager
def _checkpointed(path: Path, key: Mapping[str, Any], verbose: bool) -> Iterator[None]:
    """Context that keeps checkpoints until the figure is written, and reports them if it is interrupted."""
    with checkpoints.kept(path, key) as unfinished:
        try:
            yield
        except KeyboardInterrupt:
            if verbose and unfinished.holds_something:
                sys.stderr.write(f"{path} keeps the finished renders: the same command resumes.\n")
            raise


def _request_data(request: Request, model: Model) -> dict[str, Any]:
    """All that determines a figure: the request, the model's weights, versions and the machine."""
    asked = {name: getattr(request, name) for name in Request.__dataclass_fields__}
    made = {"fingerprint": fingerprint(model.network), **made_here(own_device(model))}
    return {**asked, "made_with": made}


def named_files(request: Request) -> dict[str, Any]:
    """Path -> hash or listing of each file that a request names, to tell files of the same name apart."""
    paths = [user_path(one) for one in request.pictures()]
    return {str(path): _stamp(path) for path in paths if path.is_dir() or is_picture(path)}


def _stamp(path: Path) -> Any:
    """The hash of a picture, or the names, sizes and times of the pictures in a folder, not in folders inside it."""
    if not path.is_dir():
        with naming_file(path):
            return hashlib.sha256(path.read_bytes()).hexdigest()
    states = [(str(one), one.stat()) for one in sorted(path.iterdir()) if is_picture(one)]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]


def is_picture(path: Path) -> bool:
    """Whether a path is that of a file whose name ends as a picture's."""
    return path.suffix.lower() in PICTURES and path.is_file()


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
