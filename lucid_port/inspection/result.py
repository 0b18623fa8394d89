"""The result of an inspection."""

from __future__ import annotations

import contextlib
import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters import checks
from converters.atomic import write_bytes
from converters.errors import InputSizeError
from converters.signatures import checked
from lucid_port.attribution.result import ICON_SIZE, ICON_STEPS
from lucid_port.inspection.measures import FeatureMaps, Gradients, Statistics, TopClass, unit_name
from lucid_port.inspection.weights import WeightHistogram
from lucid_port.misc.environment import is_notebook_environment
from lucid_port.misc.io.showing import display_markup
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.formats import size_for
from lucid_port.optvis.render_many import UnitRender, render_many

__all__ = ["Inspection"]

CHANNELS = 6
"""Channels of each layer on a page, by default."""

CLASSES = 5
"""Number of top classes."""

FRAME = '<iframe srcdoc="{}" title="{}" style="width: 100%; height: 800px; border: 0"></iframe>'


@checked
@dataclass(frozen=True, eq=False)
class Inspection:
    """The inside of a network for one picture.

    Attributes:
        photo: the prepared picture, float32 [H, W, C] in [0, 1].
        layers: names of the layers, in order.
        classes: all classes, the most probable first; empty if the network has no single score for each class.
        feature_maps: layer -> its feature maps.
        statistics: layer -> its statistics.
        gradients: magnitudes of the target's gradients; None without a target.
        no_gradients: the reason why there is no target; empty if there is one.
        weights: layer -> the histogram of its weights, also of layers that are not in `layers`.
        filters: first-layer filters as pictures, float32 [units, kh, kw, 3 or 1]; None if there are none.
        no_filters: the reason why there are none; empty if there are some.

    Example:
        >>> import numpy as np
        >>> from lucid_port.inspection import inspect
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> photo = np.random.RandomState(0).uniform(size=(96, 96, 3)).astype(np.float32)
        >>> found = inspect(TinyInceptionV1(), photo, layers=["mixed4d"])
        >>> len(found.top_classes), found.statistics["mixed4d"].shape, len(found.gradients.strongest("mixed4d"))
        (5, (132, 6, 6), 6)
    """

    photo: np.ndarray
    layers: tuple[str, ...]
    classes: tuple[TopClass, ...]
    feature_maps: Mapping[str, FeatureMaps]
    statistics: Mapping[str, Statistics]
    gradients: Gradients | None
    no_gradients: str
    weights: Mapping[str, WeightHistogram]
    filters: np.ndarray | None
    no_filters: str
    _model: Model = field(repr=False)

    def __repr__(self) -> str:
        count = f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)}"
        target = "no gradients" if self.gradients is None else f"gradients of {self.gradients.target}"
        return f"<Inspection of {self.name}: {count}, {target}>"

    @property
    def name(self) -> str:
        """The name of the model, or of the class of its network."""
        own = self._model.name
        return type(getattr(self._model.network, "module", self._model)).__name__ if own == "Model" else own

    @property
    def model(self) -> Model:
        """The model."""
        return self._model

    @property
    def top_classes(self) -> tuple[TopClass, ...]:
        """The five most probable classes."""
        return self.classes[:CLASSES]

    @checked
    def icons(
        self, count: int = CHANNELS, *, steps: int = ICON_STEPS, size: int = ICON_SIZE, seed: int = 0
    ) -> list[UnitRender]:
        """Renders the strongest channels of each layer.

        Args:
            count: number of channels of each layer.
            steps: updates of each render; Lucid's default is 513.
            size: height and width of each render in pixels; the network's own size for layers that take no other.
            seed: seed of the renders.

        Returns:
            The renders in the order of the layers, each with its `name`, as `LAYER:CHANNEL`, and `image` [H, W, C].
            Layers that cannot be computed at the sizes of a render, which the default transforms change, have none.
        """
        count = checks.whole(count, "count", 1)
        found: list[UnitRender] = []
        for layer in self.layers:
            names = [unit_name(layer, one) for one in self.feature_maps[layer].strongest(count)]
            with contextlib.suppress(InputSizeError):
                side = size_for(self._model, layer, size)
                found += render_many(self._model, names, size=side, steps=steps, seed=seed, verbose=False)
        return found

    # Pages ---------------------------------------------------------------------------------------

    @checked
    def html(
        self,
        *,
        icons: bool = False,
        count: int = CHANNELS,
        steps: int = ICON_STEPS,
        size: int = ICON_SIZE,
        seed: int = 0,
        title: str | None = None,
        command: str = "",
    ) -> str:
        """Returns the page: one file of HTML, which needs no network.

        Args:
            icons: whether to render the channels that are shown.
            count: number of channels of each layer.
            steps, size, seed: of the renders; see `icons`.
            title: name of the network in the heading.
            command: the command line that makes the page, for its foot.
        """
        from lucid_port.inspection.page import page

        count = checks.whole(count, "count", 1)
        made = self.icons(count, steps=steps, size=size, seed=seed) if icons else ()
        renders = {one.name: one.image for one in made if one.image is not None}
        return page(self, count, renders, title or self.name, command)

    @checked
    def save(
        self,
        path: str | os.PathLike[str],
        *,
        icons: bool = False,
        count: int = CHANNELS,
        steps: int = ICON_STEPS,
        size: int = ICON_SIZE,
        seed: int = 0,
        title: str | None = None,
        command: str = "",
        overwrite: bool = False,
    ) -> Path:
        """Writes the page; see `html`.

        Args:
            path: a file that ends in .html, or a folder, which gets an index.html. Missing folders are created.
            icons, count, steps, size, seed, title, command: as for `html`.
            overwrite: whether to replace a file that is not an earlier page.

        Returns:
            Path of the page.

        Raises:
            ValueError: the file has another extension.
            OSError: it cannot be written, it is not an earlier page, or the folder holds something else.
        """
        from lucid_port.inspection.page import page_path

        target = page_path(path, overwrite)
        text = self.html(icons=icons, count=count, steps=steps, size=size, seed=seed, title=title, command=command)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, text.encode())
        return target

    @checked
    def show(
        self,
        *,
        icons: bool = False,
        count: int = CHANNELS,
        steps: int = ICON_STEPS,
        size: int = ICON_SIZE,
        seed: int = 0,
    ) -> None:
        """Shows the page in a notebook; elsewhere, prints a line.

        Args:
            icons, count, steps, size, seed: as for `html`.
        """
        if not is_notebook_environment():
            print(self)
            return
        text = self.html(icons=icons, count=count, steps=steps, size=size, seed=seed)
        display_markup(_framed(text, self.name), repr(self))

    def _repr_html_(self) -> str:
        return _framed(self.html(), self.name)


def _framed(text: str, name: str) -> str:
    """Returns a page as an element of a notebook, whose own styles it leaves alone."""
    return FRAME.format(html.escape(text), html.escape(f"Inspection of {name}"))
