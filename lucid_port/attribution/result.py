"""The result of an attribution."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.atomic import write_bytes
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.attribution.drawing import draw, enlarged
from lucid_port.misc import io
from lucid_port.misc.io.saving import is_picture_name, save
from lucid_port.modelzoo.layouts import Layout
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import grammar
from lucid_port.optvis.engine.formats import size_for
from lucid_port.optvis.recipe_files import check_save_path, sidecar
from lucid_port.optvis.render_many import ManyRenders, render_many

__all__ = ["FORMAT", "Attribution", "Ranked"]

FORMAT = 1
"""Version of the plain data; `lucid_port_attribution` in it."""

ICONS, ICON_STEPS, ICON_SIZE = 6, 64, 96
"""Number of icons, and updates and pixels of each, by default."""


@dataclass(frozen=True)
class Ranked:
    """A channel, and its contribution summed over its places.

    Attributes:
        name: `LAYER:CHANNEL`, as `render_many` takes it.
        channel: the channel.
        value: the contribution.
    """

    name: str
    channel: int
    value: float


@checked
@dataclass(frozen=True, eq=False)
class Attribution:
    """The contributions to a target, for each picture.

    Attributes:
        values: float32 [N, H, W, C] for pictures and layers with places, [N, L, C] for L tokens, [N, C] for fully
            connected layers. Grad-CAM has one channel.
        photos: the prepared pictures, float32 [N, H, W, C] in [0, 1].
        method: name of the method.
        kind: "input", "layer" or "neuron".
        layer: the layer or neuron; None for the pictures alone.
        targets: the target of each picture, as `LAYER:NUMBER`; empty if the method explains none.
        labels: the label of each target; None for units without one.
        scores: float32 [N], the target's value; None without a target.
        baseline_scores: float32 [N], the target's value at the baseline; None if the method has none.
        delta: float32 [N], the sum of the values minus the change of the score from the baseline to the picture, as
            Captum computes it; None if the method gives none.
        recipe: plain data from which the attribution can be made again.

    Example:
        >>> import numpy as np
        >>> from lucid_port.attribution import attribute
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> photo = np.random.RandomState(0).uniform(size=(96, 96, 3)).astype(np.float32)
        >>> found = attribute(TinyInceptionV1(), photo, "spiral", "mixed4d", "conductance", n_steps=4)
        >>> found.values.shape, found.maps.shape, len(found.ranked(3)[0])
        ((1, 6, 6, 132), (1, 96, 96), 3)
    """

    values: np.ndarray
    photos: np.ndarray
    method: str
    kind: str
    layer: str | None
    targets: tuple[str, ...]
    labels: tuple[str | None, ...]
    scores: np.ndarray | None
    baseline_scores: np.ndarray | None
    delta: np.ndarray | None
    recipe: Mapping[str, Any]
    _layout: Layout = field(repr=False)
    _model: Model = field(repr=False)

    def __repr__(self) -> str:
        target = f" to {', '.join(dict.fromkeys(self.targets))}" if self.targets else ""
        layer = "" if self.layer is None else f" of {self.layer}"
        return f"<Attribution: {self.method}{layer}{target}, values {list(self.values.shape)}>"

    # Maps and channels ---------------------------------------------------------------------------

    @property
    def has_places(self) -> bool:
        """Whether the values have places in the picture."""
        return self.values.ndim == 4 or (self.values.ndim == 3 and self._layout.grid is not None)

    @property
    def maps(self) -> np.ndarray:
        """The values summed over channels and up-sampled to the picture, bilinearly: float32 [N, H, W].

        Raises:
            ValueError: the layer has no places.
        """
        if not self.has_places:
            raise ValueError(self._layout.no_places())
        values = torch.from_numpy(self.values).movedim(-1, 1)
        if values.dim() == 3:
            values = self._layout.in_places(values)
        size = (self.photos.shape[1], self.photos.shape[2])
        return enlarged(values.sum(1, keepdim=True), size)[:, 0].numpy()

    @property
    def gives_channels(self) -> bool:
        """Whether the values are those of a layer's channels."""
        return self.kind == "layer" and not (self.method == "grad_cam" and self.values.shape[-1] == 1)

    @property
    def channels(self) -> np.ndarray:
        """The values summed over places, float32 [N, C]."""
        return self.values.reshape(len(self.values), -1, self.values.shape[-1]).sum(1)

    @checked
    def ranked(self, count: int = 10) -> list[list[Ranked]]:
        """Returns the channels of the layer that mattered most, by decreasing magnitude, for each picture.

        Args:
            count: number of channels.

        Raises:
            ValueError: the method gives no channels of a layer.
        """
        name = self._channel_layer()
        count = checks.whole(count, "count", 1)
        found = []
        for sums in self.channels:
            order = np.argsort(-np.abs(sums), kind="stable")[:count]
            found.append([Ranked(f"{grammar.quoted(name)}:{one}", int(one), float(sums[one])) for one in order])
        return found

    def _channel_layer(self) -> str:
        if self.kind != "layer" or self.layer is None:
            raise ValueError(f"{self.method} explains pixels, which are no channels of a layer: name a layer.")
        if not self.gives_channels:
            raise ValueError("grad_cam sums over the channels: pass attr_dim_summation=False, or take another method.")
        return self.layer

    @checked
    def icons(
        self, count: int = ICONS, *, steps: int = ICON_STEPS, size: int = ICON_SIZE, seed: int = 0
    ) -> ManyRenders:
        """Renders the channels that mattered most in any of the pictures.

        Args:
            count: number of channels of each picture.
            steps: updates of each render; Lucid's default is 513.
            size: height and width of each render in pixels; the network's own size if the layer takes no other.
            seed: seed of the renders.

        Raises:
            ValueError: the method gives no channels of a layer.
        """
        names = list(dict.fromkeys(one.name for ranked in self.ranked(count) for one in ranked))
        size_of = size_for(self._model, self._channel_layer(), size)
        return render_many(self._model, names, size=size_of, steps=steps, seed=seed, verbose=False)

    # Pictures and files --------------------------------------------------------------------------

    @property
    def titles(self) -> list[str]:
        """A line for each picture: the method, the layer, and the target with its score."""
        start = self.method.replace("_", " ") + ("" if self.layer is None else f" of {self.layer}")
        titles = []
        for number in range(len(self.photos)):
            title = start
            if self.targets:
                label = self.labels[number]
                title += f", {self.targets[number]}" + ("" if label is None else f" {label}")
            if self.scores is not None:
                title += f" = {self.scores[number]:.4g}"
            titles.append(title)
        return titles

    @checked
    def picture(self, icons: bool = False, count: int = ICONS, **options: Any) -> np.ndarray:
        """Draws each picture beside its map: red for contributions to the target, blue against it.

        Args:
            icons: whether to render the channels that mattered most.
            count: number of channels.
            **options: further arguments of `icons`.

        Returns:
            float32 [height, width, 3] in [0, 1].

        Raises:
            ValueError: the method gives no channels of a layer, or nothing can be drawn without icons.
        """
        if not self.has_places and not icons:
            raise ValueError(f"{self._layout.no_places()} Draw its channels instead, with icons=True.")
        rows: list[tuple[Sequence[np.ndarray], Sequence[str]]] = []
        if icons:
            ranked = self.ranked(count)
            renders = {one.name: one.image for one in self.icons(count, **options)}
            for channels in ranked:
                shown = [one for one in channels if renders.get(one.name) is not None]
                images = [image for one in shown if (image := renders[one.name]) is not None]
                rows.append((images, [f"{one.channel}: {one.value:+.3g}" for one in shown]))
        return draw(self.photos, self.maps if self.has_places else None, self.titles, rows)

    @checked
    def show(self, icons: bool = False, **options: Any) -> None:
        """Shows `picture` in a notebook; elsewhere, prints its size.

        Args:
            icons, options: as for `picture`.
        """
        io.show(self.picture(icons, **options))

    def _repr_html_(self) -> str:
        if not self.has_places:
            return f"<pre>{self!r}</pre>".replace("<Attribution", "&lt;Attribution")
        return io.showing.image_html(self.picture())

    def to_json(self) -> dict[str, Any]:
        """Returns the recipe and all numbers as plain data."""
        arrays = {name: value.tolist() for name, value in self._arrays().items() if name != "photos"}
        return {**self.recipe, **arrays}

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {"values": self.values, "photos": self.photos}
        if self.has_places:
            arrays["maps"] = self.maps
        named = {"scores": self.scores, "baseline_scores": self.baseline_scores, "delta": self.delta}
        return {**arrays, **{name: value for name, value in named.items() if value is not None}}

    @checked
    def save(self, path: str | os.PathLike[str], *, icons: bool = False, **options: Any) -> Path:
        """Saves the attribution by the file's extension.

        Pictures (.png, .jpg, .webp) show `picture`, and hold the recipe, which is also written beside every file.
        `.npy` holds the values, `.npz` all arrays, `.json` the recipe and all numbers but the photographs'.

        Args:
            path: the file. Missing folders are created.
            icons: whether to render the channels that mattered most, in pictures.
            **options: further arguments of `picture`.

        Raises:
            ValueError: the extension is unknown, or the layer has no places and `icons` is False.
            OSError: the file cannot be written.
        """
        path = user_path(path)
        check_save_path(path, arrays=True)
        text = json.dumps(self.recipe, indent=1)
        name = path.name.lower()
        if is_picture_name(path.name):
            save(self.picture(icons, **options), path, domain=(0, 1), metadata=text)
        elif icons or options:
            raise ValueError(f"Icons are drawn in pictures, not in {path.name}: name a .png file.")
        elif ".json" in name:
            save(self.to_json(), path)
        else:
            save(self._arrays() if ".npz" in name else self.values, path)
        write_bytes(sidecar(path), text.encode())
        return path
