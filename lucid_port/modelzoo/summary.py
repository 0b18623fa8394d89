"""Tables of a model's layers: sizes, strides and receptive fields."""

from __future__ import annotations

import contextlib
import html
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from converters.program.layer_info import LayerInfo
from lucid_port.misc.io.displaying import table_html
from lucid_port.modelzoo.fields.marks import Four, Marks, image_marks, thin
from lucid_port.modelzoo.fields.mode import following

if TYPE_CHECKING:
    from rich.table import Table

    from lucid_port.modelzoo.vision_base import Model


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """Restores Python's random state, from which rich draws when it is imported."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


FACTORS = (4, 12)
"""Larger images, in multiples of the image's size, on which receptive fields are measured that touch its border."""

LARGEST_SIDE = 4096
"""Largest height and width of these images."""

UNKNOWN_SIZE = 224
"""Height and width of the image if the model states none."""

UNKNOWN_FIELD = "?: the axes are not known (state them with layouts=), and the fields of elements differ"
"""Remark below a table in which the field of a layer is not known."""

_AXES = {1: "C", 2: "NC", 3: "NLC", 4: "NCHW"}


@dataclass(frozen=True)
class LayerSummary:
    """The geometry of one layer.

    Attributes:
        name, op: of the layer.
        shape: shape of its value for one image.
        channels: number of channels; None if the channel axis is not known.
        places: (rows, columns) of the value; None if it has no places.
        tokens: number of tokens; None if it has none.
        stride: (vertical, horizontal) distance in pixels of the image between the fields of neighboring places; None
            if the value has no places, or its places have the same field. Values that depend on the whole image, such
            as the gates of squeeze-and-excitation, do not count.
        field: (height, width) in pixels of the receptive field of the middle place: of the pixels on which its value
            can depend. In a map between tokens, the middle place is the middle token as query and key. None if it is
            the whole image, if the value does not depend on the image, or if it is not known.
        is_whole: whether the field is the whole image at each size that was tried.
        is_exact: whether the field is exact; otherwise it is an upper bound.
        is_cut: whether the field reaches the border of the image, and larger images could not be tried, so that it may
            be larger on a larger image.
        is_known: whether there is a middle place. There is none if the axes of the value are not known, and its
            elements have different fields.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    channels: int | None
    places: tuple[int, int] | None
    tokens: int | None
    stride: tuple[float, float] | None
    field: tuple[int, int] | None
    is_whole: bool
    is_exact: bool
    is_cut: bool
    is_known: bool = True

    @property
    def size_text(self) -> str:
        """The size as text: channels, and places or tokens."""
        channels = "?" if self.channels is None else str(self.channels)
        if self.places is not None:
            return f"{channels}, {self.places[0]} x {self.places[1]}"
        return channels if self.tokens is None else f"{channels}, {self.tokens} tokens"

    @property
    def stride_text(self) -> str:
        """The stride as text."""
        return "" if self.stride is None else _pair(*(f"{one:g}" for one in self.stride))

    @property
    def field_text(self) -> str:
        """The receptive field as text."""
        if not self.is_known:
            return "?"
        bound = "" if self.is_exact else "<= "
        if self.is_whole:
            return f"{bound}all"
        if self.field is None:
            return ""
        return f"{'>= ' if self.is_cut else bound}{_pair(*map(str, self.field))}"


def _pair(first: str, second: str) -> str:
    return first if first == second else f"{first} x {second}"


class Summary(Sequence[LayerSummary]):
    """The layers of a model with their sizes, strides and receptive fields. It prints as a table.

    Args:
        name: name of the model.
        image_shape: (height, width, channels) of the image.
        layers: the layers.
        skipped: names of layers that did not run, or whose value is not a tensor.

    Attributes:
        name, image_shape, skipped: the arguments.
    """

    COLUMNS = ("name", "op", "channels, size", "stride", "receptive field")

    def __init__(
        self, name: str, image_shape: tuple[int, int, int], layers: Sequence[LayerSummary], skipped: Sequence[str]
    ) -> None:
        self.name, self.image_shape, self.skipped = name, image_shape, tuple(skipped)
        self._layers = {layer.name: layer for layer in layers}

    def __getitem__(self, index: Any) -> Any:
        """Returns a layer by its number or name."""
        return self._layers[index] if isinstance(index, str) else list(self._layers.values())[index]

    def __len__(self) -> int:
        return len(self._layers)

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Yields the cells of each layer, in the order of `COLUMNS`."""
        for layer in self:
            yield layer.name, layer.op, layer.size_text, layer.stride_text, layer.field_text

    def __rich__(self) -> Table:
        height, width, channels = self.image_shape
        with _undrawn():
            from rich.table import Table
        table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", caption_justify="left")
        table.title = f"{self.name}, image {channels}, {height} x {width}"
        for column in self.COLUMNS:
            table.add_column(column, overflow="fold")
        for row in self.rows():
            table.add_row(*row)
        remarks = [UNKNOWN_FIELD] if any(not layer.is_known for layer in self) else []
        if self.skipped:
            remarks.append(f"{len(self.skipped)} layers did not run, or return no tensor")
        table.caption = "\n".join(remarks) or None
        return table

    def __str__(self) -> str:
        columns = zip(self.COLUMNS, *self.rows(), strict=True)
        width = 2 * len(self.COLUMNS) + sum(max(map(len, column)) for column in columns)
        with _undrawn():
            from rich.console import Console
        console = Console(width=max(width, 80), color_system=None)
        with console.capture() as captured:
            console.print(self)
        return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def summary(model: Model, image_shape: Sequence[int] | None = None) -> Summary:
    """Lists the layers of a model with their sizes, strides and receptive fields.

    One pass on an image of `image_shape` gives the sizes; it computes shapes only, where the network allows it.
    Receptive fields and strides follow from the ops of the pass (`lucid_port.modelzoo.fields`). Fields that touch the
    border of the image are measured again on larger images, if the network takes them.

    Args:
        model: the model.
        image_shape: (height, width, channels) of the image; the model's own by default, 224 for unknown sizes.

    Raises:
        converters.InputSizeError: a layer cannot be computed at this size.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = summary(TinyInceptionV1())
        >>> found["conv2d0"].places, found["conv2d0"].stride, found["conv2d0"].field
        ((48, 48), (2.0, 2.0), (7, 7))
    """
    height, width, channels = model.image_shape if image_shape is None else image_shape
    shape = (height or UNKNOWN_SIZE, width or UNKNOWN_SIZE, channels or 3)
    measured = [_measured(model, shape)]
    names = list(measured[0])
    for factor in FACTORS:
        larger = (shape[0] * factor, shape[1] * factor, shape[2])
        touching = [name for name in names if measured[-1][name].needs_more()]
        if not touching or max(larger[:2]) > LARGEST_SIDE or _has_settled(measured):
            break
        try:
            found = _measured(model, larger, fake_only=True)
        except Exception:  # the network's own code; it takes no other size
            break
        if not all(name in found for name in names):
            break
        measured.append(found)
    infos = model.network.layers
    layers = [_layer(infos[name], [each[name] for each in measured]) for name in names]
    return Summary(model.name, shape, layers, [name for name in infos if name not in measured[0]])


# Measuring -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measured:
    """A layer's value in one pass.

    Attributes:
        info: the layer.
        shape: shape of the value.
        marks: its marks; None if it does not depend on the image.
        image: (height, width) of the image.
        margin: largest stride of the network. Strided ops may leave fewer pixels than that at a border unread.
    """

    info: LayerInfo
    shape: tuple[int, ...]
    marks: Marks | None
    image: tuple[int, int]
    margin: int = 1

    @property
    def axes(self) -> str:
        """One letter for each axis, as in `LayerInfo.axes`; empty if they are not known."""
        axes = "" if self.info.unknown else self.info.axes or _AXES.get(len(self.shape), "")
        return axes if len(axes) == len(self.shape) else ""

    @property
    def is_map(self) -> bool:
        """Whether the value is a map between as many queries as keys."""
        tokens = [size for size, letter in zip(self.shape, self.axes, strict=False) if letter == "L"]
        return len(tokens) == 2 and tokens[0] == tokens[1]

    def is_known(self) -> bool:
        """Whether there is a middle place: the axes are known, or all elements have the same field."""
        if self.axes.count("L") == 2 and not self.is_map:
            return self._is_uniform()
        return bool(self.axes) or self._is_uniform()

    def _is_uniform(self) -> bool:
        return self.marks is None or all(bool(one.amin() == one.amax()) for one in map(thin, self.marks.field))

    def lines(self, four: Four) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Returns the (first, last) rows of the places in the middle column, and columns of those in the middle row.

        For tokens both are the fields of all tokens, which in maps between tokens are those of each token and itself;
        for values without places they have one element.
        """
        kept = [axis for axis, letter in enumerate(self.axes) if letter in "HWL"]
        others = [axis for axis in range(len(self.shape)) if axis not in kept]
        least = [mark.amin(others) if others else mark for mark in (self._whole(mark) for mark in four)]
        if self.is_map:
            least = [mark.diagonal() for mark in least]
        if least[0].ndim == 2:
            rows, columns = (size // 2 for size in least[0].shape)
            vertical, horizontal = [mark[:, columns] for mark in least[:2]], [mark[rows] for mark in least[2:]]
        else:
            vertical, horizontal = [mark.reshape(-1) for mark in least[:2]], [mark.reshape(-1) for mark in least[2:]]
        return (vertical[0], -vertical[1]), (horizontal[0], -horizontal[1])

    def _whole(self, mark: Tensor) -> Tensor:
        """Returns marks whose axes without places are thin, so that a minimum over them takes no time."""
        small = thin(mark)
        sizes = [size if self.axes[axis : axis + 1] in tuple("HWL") else small.shape[axis]
                 for axis, size in enumerate(mark.shape)]  # fmt: skip
        return small.expand(sizes)

    def field(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Returns (first, last) row and column of the field of the middle place; None if it depends on no pixel."""
        if self.marks is None:
            return None
        lines = self.lines(self.marks.field)
        middle = self._central_token(lines) if "L" in self.axes else None
        ends = []
        for low, high in lines:
            place = len(low) // 2 if middle is None else middle
            ends.append((float(low[place]), float(high[place])))
        if not all(map(math.isfinite, (*ends[0], *ends[1]))):
            return None
        return (int(ends[0][0]), int(ends[0][1])), (int(ends[1][0]), int(ends[1][1]))

    def _central_token(self, lines: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]) -> int:
        """Returns the index of the token whose field is closest to the center of the image."""
        far = sum(
            ((low + high) / 2 - (size - 1) / 2).abs() for (low, high), size in zip(lines, self.image, strict=True)
        )
        return int(torch.nan_to_num(torch.as_tensor(far), nan=math.inf).argmin())

    def is_cut(self) -> bool:
        """Whether the border of the image may cut the field of the middle place."""
        field = self.field()
        return field is not None and any(
            low < self.margin or high > size - 1 - self.margin
            for (low, high), size in zip(field, self.image, strict=True)
        )

    def is_whole(self) -> bool:
        """Whether the field of the middle place is the whole image, but for pixels that strided ops do not read."""
        field = self.field()
        return field is not None and all(
            low < self.margin and high > size - 1 - self.margin
            for (low, high), size in zip(field, self.image, strict=True)
        )

    def needs_more(self) -> bool:
        """Whether a larger image may tell more: the field is cut, or the stride is not known."""
        has_places = bool(set(self.axes) & set("HWL"))
        return self.is_cut() or (self.field() is not None and has_places and self.stride() is None)

    def stride(self) -> tuple[float, float] | None:
        """Returns the distance between the fields of neighboring places."""
        if self.marks is None or not set(self.axes) & set("HWL"):
            return None
        unique = "L" in self.axes
        found = [
            _period(low, high, size, unique)
            for (low, high), size in zip(self.lines(self.marks.local), self.image, strict=True)
        ]
        return None if found[0] is None or found[1] is None else (found[0], found[1])


def _period(low: Tensor, high: Tensor, size: int, unique: bool) -> float | None:
    """Returns the distance between neighboring fields, from fields that the border does not cut.

    Args:
        low, high: first and last row (or column) of each field.
        size: height (or width) of the image.
        unique: whether several elements may have the same field, as tokens of one row of patches.
    """
    inside = torch.isfinite(low) & torch.isfinite(high) & ((low > 0) & (high < size - 1))
    sums = (low + high)[inside].to(torch.int64)
    if unique:
        sums = sums.unique()
    twice = sums.tolist()  # twice the centers
    for period in range(1, len(twice) // 2 + 1):
        steps = {later - earlier for earlier, later in zip(twice, twice[period:], strict=False)}
        if len(steps) == 1 and (period == 1 or len(twice) >= 2 * period):
            step = steps.pop()
            return float(Fraction(step, 2 * period)) if step > 0 else None
    return None


def _has_settled(passes: Sequence[Mapping[str, _Measured]]) -> bool:
    """Whether all fields that touch the border are the whole image, and no other is larger than half of it.

    Then convolutions have not grown them, but ops over the whole image have.
    """
    if len(passes) == 1:
        return False
    others = [each for each in passes[-1].values() if not (each.is_whole() and passes[0][each.info.name].is_whole())]
    fields = [(field, each.image) for each in others if (field := each.field()) is not None]
    return all(2 * (high - low + 1) <= size for field, image in fields
               for (low, high), size in zip(field, image, strict=True))  # fmt: skip


def _layer(info: LayerInfo, passes: Sequence[_Measured]) -> LayerSummary:
    """Returns the summary of a layer from passes on images of growing size."""
    first = passes[0]
    sizes = dict(zip(first.axes, first.shape, strict=True)) if first.axes else {}
    chosen = next((each for each in passes if not each.is_cut()), passes[-1])
    is_known = chosen.is_known()
    field = chosen.field() if is_known else None
    is_whole = is_known and chosen.is_whole() and passes[-1].is_whole()
    stride = next((found for each in passes if (found := each.stride()) is not None), None)
    return LayerSummary(
        name=info.name,
        op=info.op,
        shape=first.shape,
        channels=sizes.get("C"),
        places=(sizes["H"], sizes["W"]) if "H" in sizes and "W" in sizes else None,
        tokens=sizes.get("L"),
        stride=stride,
        field=None if field is None or is_whole else (field[0][1] - field[0][0] + 1, field[1][1] - field[1][0] + 1),
        is_whole=is_whole,
        is_exact=chosen.marks is None or chosen.marks.is_exact,
        is_cut=is_known and not is_whole and chosen.is_cut(),
        is_known=is_known,
    )


# Passes --------------------------------------------------------------------------------------------


def _measured(model: Model, shape: tuple[int, int, int], fake_only: bool = False) -> dict[str, _Measured]:
    """Returns the layers that run, in the order of the network's layers.

    Args:
        model: the model.
        shape: (height, width, channels) of the image.
        fake_only: whether not to run the network in earnest if it cannot run on shapes alone.
    """
    try:
        found = _pass(model, shape, fake=True)
    except Exception:  # fake tensors have no values, on which the network's code may depend
        if fake_only:
            raise
        found = _pass(model, shape, fake=False)
    strides = [side for one in found.values() for side in one.stride() or ()]
    margin = math.ceil(max(strides, default=1))
    return {name: replace(found[name], margin=margin) for name in model.network.layers if name in found}


def _pass(model: Model, shape: tuple[int, int, int], fake: bool) -> dict[str, _Measured]:
    height, width, channels = shape
    network: Any = model.network
    infos: Mapping[str, LayerInfo] = network.layers
    found: dict[str, _Measured] = {}
    dtype = next((one.dtype for one in network.parameters() if one.is_floating_point()), torch.float32)
    with following(fake) as mode:
        x = torch.zeros(1, channels, height, width, device=model.device, dtype=dtype)
        with unset_fake_temporarily():
            mode.set(x, image_marks(x))

        def note(name: str, value: Tensor) -> None:
            found.setdefault(name, _Measured(infos[name], tuple(value.shape), mode.marks(value), (height, width)))

        modules = {name: network.get_submodule(f"module.{name}") for name, info in infos.items() if _is_hooked(
            network, info)}  # fmt: skip
        if modules:
            _run_with_hooks(network, x, modules, note)
        _read(network, x, [name for name in infos if name not in modules], note)
    return found


def _is_hooked(network: Any, info: LayerInfo) -> bool:
    """Whether a hook reads the layer: the first call of a module of a user's network, which `network.module` holds."""
    return isinstance(getattr(network, "module", None), nn.Module) and info.name == info.module


def _run_with_hooks(
    network: nn.Module, x: Tensor, modules: Mapping[str, nn.Module], note: Callable[[str, Tensor], None]
) -> None:
    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def read(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                note(name, output)

        return read

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        network(x)
    finally:
        for handle in handles:
            handle.remove()


def _read(network: Any, x: Tensor, names: Sequence[str], note: Callable[[str, Tensor], None]) -> None:
    """Reads layers by name, in one pass if all of them are tensors.

    If a layer cannot be read, all layers with its op (such as `chunk`, which returns a tuple) get a separate pass. If
    the separate pass fails, they are left out.
    """
    left, suspects = list(names), dict[str, list[str]]()
    while left:
        try:
            values = network.activations(x, left)
        except ValueError as error:
            failed = next((name for name in left if repr(name) in str(error)), None)
            if failed is None:
                raise
            op = network.layers[failed].op
            suspects[op] = [name for name in left if network.layers[name].op == op and name != failed]
            left = [name for name in left if network.layers[name].op != op]
            continue
        for name, value in values.items():
            note(name, value)
        break
    for group in suspects.values():
        with contextlib.suppress(ValueError):
            for name, value in (network.activations(x, group) if group else {}).items():
                note(name, value)


def model_html(model: Model) -> str:
    """Returns a table of a model's properties and one of its layers, for notebooks."""
    height, width, channels = model.image_shape
    facts = {
        "network": type(model.network).__name__,
        "image": f"{height or '?'} x {width or '?'} x {channels or '?'}",
        "value range": f"{model.image_value_range}{', BGR' * model.is_BGR}",
        "source": model.source,
        "dataset": model.dataset,
        "layers": f"{len(model.layers)} listed, {len(model.network.layers)} in all",
    }
    rows = [(name, fact) for name, fact in facts.items() if fact]
    return table_html(model.name, ("", ""), rows) + model.layers._repr_html_()
