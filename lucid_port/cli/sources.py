"""The model of a command: a name, a file, a library's network, or the result of a user's function.

Every command with a model takes the same options. `ModelCommand` turns `--timm resnet18` into the source
"timm:resnet18", in the place of SOURCE, or of `--model` in commands that read the model from a recipe.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from lucid_port.cli.console import Constants, InputName, Outputs, PathCommand, constants_of, names_in, pairs_of
from lucid_port.cli.units import protected
from lucid_port.modelzoo.library_sources import LIBRARIES, library_source, names_function, names_library

if TYPE_CHECKING:
    from lucid_port.modelzoo.vision_base import Model
    from lucid_port.optvis.grammar import Picture
    from lucid_port.optvis.recipe import Recipe


def _library(option: str, text: str) -> Any:
    return typer.Option(option, metavar="NAME", help=text)


@dataclass(frozen=True)
class NetworkOptions:
    """The options that open a network, as texts. `takes_options` adds them to a command.

    `ModelCommand` consumes the names of libraries, so that commands receive None for them.
    """

    torchvision: Annotated[
        str | None, _library("--torchvision", "Instead of SOURCE: a network of torchvision, such as resnet50.")
    ] = None
    timm: Annotated[str | None, _library("--timm", "Instead of SOURCE: a network of timm, such as convnext_tiny.")] = (
        None
    )
    huggingface: Annotated[
        str | None,
        _library(
            "--huggingface",
            "Instead of SOURCE: a vision network of transformers: a name on the hub, or a folder of save_pretrained.",
        ),
    ] = None
    weights: Annotated[
        str | None,
        _library("--weights", "Weights of the library's network; 'none' for random ones. Default: its best."),
    ] = None
    image_shape: Annotated[
        str | None,
        typer.Option(
            metavar="H,W,C",
            help="Height, width and channels of the network's images, if the model does not state them.",
        ),
    ] = None
    input_name: InputName = None
    constants: Constants = None
    layout: Annotated[
        str | None, typer.Option(help="Layout of an ONNX file's image, NCHW or NHWC, if it is ambiguous.")
    ] = None
    layouts: Annotated[
        list[str] | None,
        typer.Option(
            "--layouts",
            metavar="LAYER=AXES",
            help="Axes of a layer's value, as in tokens=NLC, if they are not known. Can be repeated.",
        ),
    ] = None
    outputs: Outputs = None

    def of_files(self) -> dict[str, Any]:
        """Returns the options of `converters.open_source`; None for those that are not given.

        Raises:
            typer.BadParameter: an option has another form.
        """
        return {
            "input_name": self.input_name,
            "constants": constants_of(self.constants),
            "layout": self.layout,
            "layouts": pairs_of(self.layouts, "--layouts", "LAYER=AXES, as in tokens=NLC"),
            "outputs": None if self.outputs is None else names_in(self.outputs),
        }

    def network(self, source: str) -> Any:
        """Opens the network of a command, without its value range; errors as for `ModelOptions.model`."""
        check_source(source)  # before the import, which takes seconds
        from lucid_port.modelzoo.nets_factory import open_network

        if not names_function(source):
            return open_network(source, **self.of_files())
        return self.sized(source).network  # the names and channels of the layers do not depend on the value range

    def sized(self, source: str) -> Model:
        """Opens the model of a command that reads sizes only, with any value range."""
        check_source(source)  # before the import, which takes seconds
        from lucid_port.modelzoo.vision_base import Model

        shape = shape_of(self.image_shape)
        if names_library(source):
            return _open(source, {"image_shape": shape}, self.of_files())
        if names_function(source):
            return _of_function(source, {"image_value_range": (0, 1), "image_shape": shape}, self.of_files())
        return Model(network=self.network(source), image_value_range=(0, 1), image_shape=shape)


@dataclass(frozen=True)
class ModelOptions(NetworkOptions):
    """The options that open a model, as texts."""

    value_range: Annotated[
        str | None,
        typer.Option(
            metavar="LO,HI", help="The network's values of black and white, if the model does not state them."
        ),
    ] = None
    mean: Annotated[
        str | None,
        typer.Option(metavar="M,M,M", help="With --std, in place of --value-range: means of images in [0, 1]."),
    ] = None
    std: Annotated[
        str | None, typer.Option(metavar="S,S,S", help="Standard deviations of images in [0, 1]; see --mean.")
    ] = None
    bgr: Annotated[
        bool | None, typer.Option("--bgr/--rgb", help="The network's channel order, if the file has none.")
    ] = None

    def stated(self) -> dict[str, Any]:
        """Returns the arguments of `Model`; None for those that are not given.

        Raises:
            typer.BadParameter: an option has another form.
        """
        stated: dict[str, Any] = {
            "image_value_range": _numbers(self.value_range, "--value-range", "-117,138", 2),
            "image_shape": shape_of(self.image_shape),
            "is_BGR": self.bgr,
        }
        if self.mean is not None or self.std is not None:
            if self.mean is None or self.std is None or self.value_range is not None:
                raise typer.BadParameter("--mean and --std are given together, and without --value-range.")
            from lucid_port.modelzoo.from_torch import range_of_normalized

            stated["image_value_range"] = range_of_normalized(
                _numbers(self.mean, "--mean", "0.485,0.456,0.406"), _numbers(self.std, "--std", "0.229,0.224,0.225")
            )
        return stated

    def given(self) -> dict[str, Any]:
        """Returns the arguments of `Model` and the options of `converters.open_source` that are given.

        Raises:
            typer.BadParameter: an option has another form.
        """
        return {key: value for key, value in {**self.stated(), **self.of_files()}.items() if value is not None}

    def words(self) -> list[str]:
        """Returns the options that are given as words of a command line."""
        names = {"constants": "--set", "bgr": "--bgr" if self.bgr else "--rgb"}
        words: list[str] = []
        for field in fields(self):
            value, name = getattr(self, field.name), names.get(field.name, f"--{field.name.replace('_', '-')}")
            if isinstance(value, bool):
                words.append(name)
            elif value is not None:
                words += [f"{name}={one}" for one in ([value] if isinstance(value, str) else value)]
        return words

    def model(self, source: str) -> Model:
        """Opens the model of a command: a name, a path, a library's network, or module:function.

        Raises:
            typer.BadParameter: an option has another form.
            ValueError, FileNotFoundError: the model cannot be opened.
        """
        return _open(source, self.stated(), self.of_files())

    def model_to_render(self, source: str, pictures: Sequence[Picture]) -> Model:
        """Opens the model of a command that renders units; as `model`.

        Raises:
            converters.LayerNotFoundError: the value range is not known, and the network does not have the layer either.
        """
        from lucid_port.modelzoo.missing import UnknownValueRangeError
        from lucid_port.optvis.grammar import Classes

        try:
            return self.model(source)
        except UnknownValueRangeError as error:
            targets = [term.target for picture in pictures for term in picture.terms]
            for layer in (target.layer for target in targets if not isinstance(target, Classes)):
                error.layers[layer]  # a value range would not give the network this layer
            raise


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replaces the parameter of a command that is a `NetworkOptions` by the options, which typer reads."""
    # Not `get_type_hints`: Python 3.10 makes an `Optional` of the hint of a parameter with the default None, in which
    # typer does not see the option.
    own = inspect.signature(command, eval_str=True).parameters.values()
    name, kind = next(
        (parameter.name, parameter.annotation)
        for parameter in own
        if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, NetworkOptions)
    )
    options = get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [parameter.replace(kind=keyword) for parameter in own if parameter.name != name]
    added = [inspect.Parameter(key, keyword, default=None, annotation=hint) for key, hint in options.items()]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(**{name: kind(**{key: given.pop(key) for key in options})}, **given)

    run.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*parameters, *added)}
    return run


Model_ = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="SOURCE",
        help="Model to use instead of the recipe's: a name, a file, or module:function.",
    ),
]


class ModelCommand(PathCommand):
    """A command that takes its model as SOURCE, or from one of the options of libraries."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Replaces the options of libraries by a source; other arguments stay as they are.

        Raises:
            typer.BadParameter: two libraries are named, or --weights stands without a library.
        """
        left, found = _taken(protected(args), (*LIBRARIES, "weights"))
        named = [library for library in LIBRARIES if library in found]
        if len(named) > 1:
            raise typer.BadParameter(f"--{named[0]} and --{named[1]} each name a model: give one of them.")
        if "weights" in found and not named:
            raise typer.BadParameter(f"--weights chooses weights of --{', --'.join(LIBRARIES)}: give one of these.")
        if named:
            source = _source(named[0], found[named[0]], found.get("weights"))
            arguments = [parameter.name for parameter in self.params if parameter.param_type_name == "argument"]
            if "source" not in arguments:
                left = [*left, "--model", source]
            else:  # options may stand between arguments
                left = [source, *left] if arguments[0] == "source" else [*left, source]
        return super().parse_args(ctx, left)


class FileCommand(PathCommand):
    """A command that reads files only, and says so if it gets one of the options of libraries."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuses the options of libraries.

        Raises:
            typer.BadParameter: one of them is given.
        """
        _, found = _taken(args, LIBRARIES)
        for library in found:
            raise typer.BadParameter(_no_file(f"--{library}", f"lucid-port {ctx.info_name}"))
        return super().parse_args(ctx, args)


def require_file(source: str, command: str) -> None:
    """Checks that a source is not a network of PyTorch, before it is opened.

    Raises:
        typer.BadParameter: it is a library's network, or module:function.
    """
    if names_library(source) or names_function(source):
        raise typer.BadParameter(_no_file(source, command))


def _no_file(source: str, command: str) -> str:
    return (
        f"{source} names a network of PyTorch, and {command} reads graphs of TensorFlow and Caffe: lucid-port render "
        "takes such a network as it is, and torch.onnx.export writes it as an ONNX file."
    )


def _taken(args: Sequence[str], names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Splits arguments into those that are left, and the values of the options `names`.

    Raises:
        typer.BadParameter: an option has no value, or is given twice.
    """
    left: list[str] = []
    found: dict[str, str] = {}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*left, word, *rest], found
        option, equals, value = word.partition("=")
        name = option.removeprefix("--")
        if not option.startswith("--") or name not in names:
            left.append(word)
            continue
        if name in found or not (equals or rest):
            raise typer.BadParameter(f"--{name} {'is given twice' if name in found else 'requires a value'}.")
        found[name] = value if equals else rest.pop(0)
    return left, found


def _source(library: str, name: str, weights: str | None) -> str:
    chosen = {} if weights is None else {"weights": None if weights.lower() == "none" else weights}
    return library_source(library, name, chosen)


def check_source(source: str) -> None:
    """Refuses a source that does not exist, before torch is imported. Downloads the file of a model of the catalogue.

    Raises:
        ValueError, FileNotFoundError: there is no such model or file.
    """
    from converters.paths import user_path
    from converters.sources import kind_of, looks_like_source
    from lucid_port.modelzoo.catalogue import entry
    from lucid_port.modelzoo.files import find_graph

    if names_library(source) or names_function(source):
        return
    if looks_like_source(source):
        kind_of(user_path(source))
        return
    known = entry(source)
    if known.generator is None:
        find_graph(known)


def _open(source: str, stated: dict[str, Any], options: dict[str, Any]) -> Model:
    check_source(source)  # before the import, which takes seconds
    from lucid_port.modelzoo.nets_factory import open_model as open_named

    return _of_function(source, stated, options) if names_function(source) else open_named(source, **stated, **options)


def open_described(source: str, about: Mapping[str, Any]) -> Model:
    """Opens a model as a recipe's description of a model says; errors as for `open_for_recipe`."""
    from lucid_port.optvis.recipe import opening_options

    return _open(source, *_split(opening_options(about)))


def open_for_recipe(source: str | None, recipe: Recipe, given: Mapping[str, Any] | None = None) -> Model:
    """Opens the model of a recipe.

    Args:
        source: as for `open_model`; None for the recipe's own.
        recipe: the recipe.
        given: arguments of `Model` and options of `converters.open_source`, in place of the recipe's; None values do
            not count.

    Raises:
        ValueError: the model's weights or layers differ from those of the recipe's model.
    """
    from lucid_port.optvis.fingerprints import fingerprint
    from lucid_port.optvis.recipe import opening_options

    overrides = {key: value for key, value in (given or {}).items() if value is not None}
    if source is None:
        opened: Any = recipe.open_model(**overrides)  # one of the modelzoo
        used: Model = opened
        return used
    model = _open(source, *_split({**opening_options(recipe.model), **overrides}))
    network: Any = model.network
    found = fingerprint(network)
    if found != recipe.model.get("fingerprint"):
        raise ValueError(
            f"The model {source} is not the model that made the picture: its weights or layers differ (fingerprint "
            f"{found}, not {recipe.model.get('fingerprint')})."
        )
    return model


def open_for_document(
    source: str | None, document: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> Model | None:
    """Opens a model for a document of `lucid-port run`: the recipe of a picture, or a plan.

    Args:
        source, given: as for `open_for_recipe`.
        document: the document.

    Returns:
        The model; None if the document alone names it.

    Raises:
        ValueError: the model cannot be opened, or is not the model of a picture's recipe.
    """
    from lucid_port.optvis.recipe import Recipe, is_recipe

    overrides = {key: value for key, value in (given or {}).items() if value is not None}
    if source is None and not overrides:
        return None
    if is_recipe(document):
        return open_for_recipe(source, Recipe.from_data(document), overrides)
    value_range = document.get("value_range")
    known = {
        "image_value_range": None if value_range is None else tuple(value_range),
        "is_BGR": document.get("bgr"),
    }
    named = source or document.get("model")
    if named is None:
        return None  # the plan's own error says that it names no model
    if source is None and names_function(str(named)):
        from lucid_port.modelzoo.nets_factory import open_model as open_named

        return open_named(str(named))  # raises: only the command runs functions
    return _open(str(named), *_split({**known, **overrides}))


def _split(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits arguments into those of every model, and those of files."""
    every = ("image_value_range", "image_shape", "is_BGR")
    stated = {key: arguments.get(key) for key in every}
    return stated, {key: value for key, value in arguments.items() if key not in every}


def _of_function(source: str, stated: dict[str, Any], options: dict[str, Any]) -> Model:
    """Calls a user's function, and returns its result as a model.

    Raises:
        ValueError: the module or function does not exist, or the function returns neither a network nor a model.
        TypeError: an option applies to files only.
    """
    from torch import nn

    from lucid_port.modelzoo.from_torch import from_torch
    from lucid_port.modelzoo.libraries import overridden
    from lucid_port.modelzoo.vision_base import Model

    made = _function(source)()
    given = {key: value for key, value in stated.items() if value is not None}
    useless = [key for key, value in options.items() if value is not None]
    if useless:
        raise TypeError(f"The option {useless[0]} applies to files only, not to {source}.")
    if isinstance(made, Model):
        model = overridden(made, stated)
        model.source = model.source or source
        return model
    if not isinstance(made, nn.Module):
        raise ValueError(f"{source} returned a {type(made).__name__}, neither a torch.nn.Module nor a Model.")
    if "image_value_range" not in given:
        raise ValueError(
            f"The values for black and white of {source} are unknown: give --value-range 0,1, or --mean and --std."
        )
    model = from_torch(made, given.pop("image_value_range"), **given)
    model.source = source
    return model


def _function(source: str) -> Any:
    """Imports a function; modules of the current folder come first.

    Raises:
        ValueError: the module or the function does not exist.
    """
    module_name, _, path = source.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"There is no module {module_name!r} in {os.getcwd()}, nor an installed one: run the command in the folder "
            f"of {module_name.split('.')[0]}.py."
        ) from None
    finally:
        sys.path.remove(os.getcwd())
    for part in path.split("."):
        if not hasattr(found, part):
            raise ValueError(f"The module {module_name!r} ({getattr(found, '__file__', '')}) has no {path!r}.")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{source} is a {type(found).__name__}, not a function.")
    return found


def _numbers(text: str | None, option: str, example: str, count: int | None = None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or (count is not None and len(values) != count):
        wanted = "two numbers" if count == 2 else "a number for each channel"
        raise typer.BadParameter(f"{option} takes {wanted}, such as {example}, not {text!r}.")
    return values


def shape_of(text: str | None) -> tuple[int, int, int] | None:
    """Returns the numbers of --image-shape.

    Raises:
        typer.BadParameter: the text has another form.
    """
    if text is None:
        return None
    try:
        height, width, channels = (int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--image-shape takes three numbers, such as 224,224,3, not {text!r}.") from None
    return height, width, channels
