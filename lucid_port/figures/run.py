"""Makes a figure and writes it: a picture, a page, and the recipe beside them."""

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
from typing import Any

import numpy as np

from converters.atomic import write_bytes
from lucid_port.figures.base import Figure, Options, Result, Settings, find_figure
from lucid_port.figures.page import page
from lucid_port.figures.sheet import compose
from lucid_port.misc import checks
from lucid_port.misc.io.saving import save
from lucid_port.optvis import checkpoints
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.optvis.recipe import made_here

__all__ = ["MARK", "Request", "is_request", "make", "named_files", "open_request", "write"]

MARK = "lucid_port_figure"
FORMAT = 1
DEFAULT_MODEL = "InceptionV1"


@dataclass(frozen=True)
class Request:
    """A figure as it was asked for.

    Attributes:
        figure: its name.
        model: a name of the catalogue, or a path.
        like: the model whose units the figure takes, where `model` is a path.
        options: the user's own units, layers and classes.
        steps: updates of each picture; the article's by default, fewer for a draft.
        seed: of all random draws.
        image: path of the user's picture.
        fast: whether a draft will do.

    Raises:
        TypeError, ValueError: a number is none, or too small.
    """

    figure: str
    model: str = DEFAULT_MODEL
    like: str | None = None
    options: Mapping[str, Any] | None = None
    steps: int | None = None
    seed: int = 0
    image: str | None = None
    fast: bool = False

    def __post_init__(self) -> None:
        checks.text(self.model, "A figure's model", "a model's name, or a path")
        checks.whole(self.seed, "A figure's seed", 0)
        if self.steps is not None:
            checks.whole(self.steps, "A figure's steps", 1)

    def command(self) -> str:
        """The command line that asks for the same."""
        words = ["lucid-port", "figure", self.figure, "--model", self.model]
        flags: dict[str, Any] = {"--like": self.like, "--steps": self.steps, "--image": self.image}
        for flag, value in flags.items():
            words += [] if value is None else [flag, str(value)]
        units = (self.options or {}).get("units")
        words += ["--units", ",".join(map(str, units))] if units else []
        words += ["--seed", str(self.seed)] if self.seed else []
        return shlex.join([*words, *(["--fast"] if self.fast else [])])

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Request:
        """The request in plain data.

        Raises:
            TypeError, ValueError: it is of another version, lacks the figure's name, or holds what makes no sense.
        """
        if data.get(MARK) != FORMAT or not isinstance(data.get("figure"), str):
            raise ValueError(f"The figure's recipe is damaged, or of another version than {FORMAT}.")
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        options = known.get("options") or {}
        if not isinstance(options, Mapping) or not isinstance(options.get("units", []), list):
            raise ValueError(
                'The figure\'s recipe has options that are none: {"units": ["layer:channel", ...]} is one.'
            )
        return cls(**known)


def is_request(data: Any) -> bool:
    """Whether plain data say that they are a figure's recipe."""
    return isinstance(data, Mapping) and MARK in data


def open_request(request: Request) -> Any:
    """The model of a request: that of the catalogue, or a file that is fed and labelled as the model it is like.

    Raises:
        ValueError: there is no such model, or nothing says how the file wants to be fed.
        FileNotFoundError: its file could be found nowhere.
    """
    from lucid_port.modelzoo.catalogue import entry
    from lucid_port.modelzoo.nets_factory import open_model
    from lucid_port.modelzoo.vision_models import MODELS

    _check_picture(request)
    like = None if request.like is None else MODELS[entry(request.like).name]
    return open_model(request.model) if like is None or request.model in MODELS else like(request.model)


def _check_picture(request: Request) -> None:
    if request.image is not None and not find_figure(request.figure).of_picture:
        raise ValueError(f"The figure {request.figure} starts from no picture: leave --image out.")


def make(request: Request, model: Any, verbose: bool = False) -> Result:
    """Makes a figure.

    Args:
        request: what was asked for.
        model: the opened model, on its device.
        verbose: show progress.

    Raises:
        ValueError: there is no such figure, or it names no units for this model.
    """
    _check_picture(request)
    figure = find_figure(request.figure)
    return figure.make(_settings(figure, request, model, verbose))


def _settings(figure: Figure, request: Request, model: Any, verbose: bool) -> Settings:
    own = dict(request.options or {})
    own_name = request.model if request.model in figure.options else getattr(model, "name", request.model)
    named = request.like or own_name
    drafted = figure.fast_options if request.fast else {}
    known = figure.options_for(named, request.fast) if named in figure.options or not own else drafted
    steps = request.steps
    if steps is None:
        steps = figure.fast_steps if request.fast else figure.steps
    return Settings(model, Options({**known, **own}), steps, request.seed, request.image, request.fast, verbose)


def write(request: Request, model: Any, folder: str | os.PathLike[str], verbose: bool = False) -> Sequence[Path]:
    """Makes a figure and writes NAME.png, NAME.html and NAME.json into a folder.

    While it is made, the folder holds `.NAME.unfinished`, from which the same request goes on if it was interrupted.

    Returns:
        Their paths.

    Raises:
        ValueError: as `make`.
        OSError: the folder cannot be written to.
    """
    figure = find_figure(request.figure)
    about = _asked_and_where(request, model)
    key = {**about, "files": named_files(request)}
    with _ready(Path(folder)) as place, _going_on(place / f".{figure.name}.unfinished", key, verbose):
        started = time.monotonic()
        result = make(request, model, verbose)
        seconds = round(time.monotonic() - started)
        steps = _settings(figure, request, model, verbose).steps
        facts = {"Model": request.model, "steps": steps, "seed": request.seed, "seconds": seconds}
        picture = compose(result.panels)
        html = page(figure, result, facts, request.command(), own_picture=request.image is not None)
        text = json.dumps({MARK: FORMAT, **about, "data": _plain(result.data)}, indent=1)
        paths = [place / f"{figure.name}.{ending}" for ending in ("png", "html", "json")]
        save(picture, paths[0], domain=None, metadata=text)
        write_bytes(paths[1], html.encode())
        write_bytes(paths[2], text.encode())
    return paths


@contextlib.contextmanager
def _ready(folder: Path) -> Iterator[Path]:
    """A folder that can be written to, which is to be known before hours of work; one that stays empty is removed.

    Raises:
        OSError: it cannot be made, or written to.
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
            with contextlib.suppress(OSError):  # something is kept in it, to go on from
                folder.rmdir()
        raise


@contextlib.contextmanager
def _going_on(path: Path, key: Mapping[str, Any], verbose: bool) -> Iterator[None]:
    """Keeps what is rendered until the figure is written, and says so where it is interrupted."""
    with checkpoints.kept(path, key) as unfinished:
        try:
            yield
        except KeyboardInterrupt:
            if verbose and unfinished.holds_something:
                sys.stderr.write(f"{path} keeps what is rendered: the same command goes on from there.\n")
            raise


def _asked_and_where(request: Request, model: Any) -> dict[str, Any]:
    """What decides a figure: the request, the model's weights, versions and machine."""
    asked = {name: getattr(request, name) for name in Request.__dataclass_fields__}
    made = {"fingerprint": fingerprint(model.network), **made_here(own_device(model))}
    return {**asked, "made_with": made}


def named_files(request: Request) -> dict[str, Any]:
    """What the files are that a request names, so that others under the same names are told apart."""
    named = [request.image, *(request.options or {}).values()]
    paths = [Path(one) for one in named if isinstance(one, str)]
    return {str(path): _stamp(path) for path in paths if path.exists()}


def _stamp(path: Path) -> Any:
    """A file's hash; of the files in a folder, which may be many, names, sizes and times."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    states = [(str(one), one.stat()) for one in sorted(path.rglob("*"))]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
