"""`attribute`: how much pixels, or a layer's values, contribute to a unit of a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from converters import checks
from converters.errors import nearest_names, reason
from converters.memory import is_out_of_memory
from converters.signatures import checked
from lucid_port.attribution.isolation import evaluating, need_captum, quiet, seeded
from lucid_port.attribution.methods import METHODS, Kind, Method, Plan, Problem, find_method
from lucid_port.attribution.pictures import PhotoLike, load_photos
from lucid_port.attribution.reader import Reader
from lucid_port.attribution.result import FORMAT, Attribution
from lucid_port.attribution.rules import RULES, check_rules, copied
from lucid_port.attribution.units import TargetLike, Unit, find_targets, first_axes, named_neuron, pieces_of
from lucid_port.modelzoo.layouts import Layout, plain_layout
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.many import memory
from lucid_port.optvis.recipe import describe_model, made_here
from lucid_port.recipes.inputs import LayerValue, read_layers

__all__ = ["attribute"]

NOISES = ("smoothgrad", "smoothgrad_sq", "vargrad")
"""Averages over noisy pictures: of the values, of their squares, and the variance."""

NOISE_OPTIONS = ("nt_samples", "stdevs", "nt_samples_batch_size", "draw_baseline_from_distrib")
NUMBERS = ("n_steps", "n_samples", "nt_samples", "nt_samples_batch_size", "internal_batch_size", "segments",
           "perturbations_per_eval")  # fmt: skip
"""Options that are whole numbers from 1 on."""

FLAGS = ("abs", "multiply_by_inputs", "relu_attributions", "attr_dim_summation", "draw_baseline_from_distrib")
"""Options that are True or False."""

INTEGRALS = ("gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid")
"""Values of `integral`."""


@strictly
@checked
def attribute(
    model: Model,
    photo: PhotoLike,
    target: TargetLike = None,
    layer: str | None = None,
    method: str = "integrated_gradients",
    *,
    noise: str | None = None,
    prepare: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
    **options: Any,
) -> Attribution:
    """Computes how much pixels, or a layer's values, contribute to a unit of a network, by a method of Captum.

    Without a layer, the methods explain pixels. With a layer, they explain its values; with a neuron, such as
    `"mixed4d:8"` (a channel, summed over its places) or `"mixed4d:8[2,3]"`, the pixels' contributions by way of the
    neuron. `method_names(kind)` lists the methods. The model stays as it is: weights, modes and hooks; and so do random
    states.

    Args:
        model: the model.
        photo: a path or several, an array [H, W, C] or [N, H, W, C] in [0, 1], or a tensor (N, C, H, W).
        target: a label, the number of a class, `LAYER:LABEL`, `LAYER:NUMBER` or `LAYER:NUMBER[ROW,COLUMN]`, or one of
            these for each picture. Labels alone name logits. Channels with places are summed over these. By default,
            each picture's top class.
        layer: name of a layer, or a neuron of it; None for pixels alone.
        method: name of a method.
        noise: "smoothgrad", "smoothgrad_sq" or "vargrad" (Captum's noise tunnel): combines the values of several noisy
            pictures (`nt_samples`, 5; `stdevs`, 1.0).
        prepare: whether to resize and crop pictures of another size as the model's evaluation does; files always are,
            if the model states it.
        seed: seed of all random draws.
        batch_size: number of images that are computed together; by default as many as fit into the free memory.
        **options: Captum's arguments of the method, such as `n_steps`; `integral` is its `method` of integration.
            `baselines` is a number or a picture in [0, 1], black by default. Occlusion takes sizes in pixels;
            feature ablation takes `segments`, or a `feature_mask` [H, W] or [N, H, W]; Grad-CAM of pixels takes
            `cam_layer`, the last layer with places by default.

    Returns:
        An `Attribution`.

    Raises:
        ValueError: the target, layer, method or an option does not exist, the target does not depend on the layer, the
            picture does not fit the network, or the method cannot follow the network.
        TypeError: an argument has another type.
        FileNotFoundError: a picture does not exist.
        converters.LayerNotFoundError: there is no such layer.
        converters.InputSizeError: the network cannot be computed at the picture's size.
        converters.MissingPackageError: Captum is not installed.

    Example:
        >>> import numpy as np
        >>> from lucid_port.attribution import attribute
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> photo = np.random.RandomState(0).uniform(size=(96, 96, 3)).astype(np.float32)
        >>> attribute(TinyInceptionV1(), photo, "softmax2:spiral", n_steps=8)
        <Attribution: integrated_gradients to softmax2:22, values [1, 96, 96, 3]>
    """
    need_captum()
    neuron = None if layer is None else named_neuron(model, layer)
    kind: Kind = "input" if layer is None else "layer" if neuron is None else "neuron"
    chosen = find_method(kind, method)
    given = _checked_options(chosen, noise, options)
    if not chosen.has_target and target is not None:
        raise ValueError(f"{method} of a {kind} explains no target: leave out target.")
    most = None if batch_size is None else checks.whole(batch_size, "batch_size", 1)
    seed = checks.whole(seed, "seed", 0)
    images = load_photos(model, photo, prepare)
    baselines = _baselines(model, given.pop("baselines", 0.0), images, prepare, chosen)
    if "feature_mask" in given:
        given["feature_mask"] = _feature_mask(given["feature_mask"], images)
    with torch.enable_grad(), evaluating(model), quiet():
        targets = find_targets(model, target, images) if chosen.has_target else [None] * len(images)
        run = _Run(model, chosen, neuron, layer, images, baselines, targets, given, noise, seed, most)
        values, delta = run.all()
        return run.result(values, delta, options)


# Arguments ---------------------------------------------------------------------------------------


def _checked_options(method: Method, noise: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options, checked to be those of the method.

    Raises:
        ValueError: the method does not take an option.
    """
    if noise is not None:
        checks.choice(noise, "noise", NOISES)
    known = [*method.options, *(NOISE_OPTIONS if noise else ())]
    for name in options:
        if name not in known:
            hint = " (it belongs to noise: name noise='smoothgrad', too)" if name in NOISE_OPTIONS else ""
            takes = f"its options are {', '.join(known)}" if known else "it has no options"
            raise ValueError(f"{method.name} takes no {name}{hint}: {takes}.{nearest_names(name, known)}")
    given = dict(options)
    for name, value in options.items():
        if name in NUMBERS:
            given[name] = checks.whole(value, name, 1)
        elif name in FLAGS:
            given[name] = checks.flag(value, name)
        elif name == "stdevs":
            given[name] = float(checks.number(value, name, 0))
        elif name == "integral":
            checks.choice(value, name, INTEGRALS)
        elif name == "cam_layer":
            checks.text(value, name, "the name of a layer")
    return given


def _baselines(model: Model, given: Any, images: Tensor, prepare: bool, method: Method) -> float | Tensor:
    """Returns the baselines: a number, or pictures (1, C, H, W), (N, C, H, W), or any number for `gradient_shap`.

    Raises:
        TypeError, ValueError: it is neither a number nor a picture in [0, 1] of the pictures' size.
    """
    if isinstance(given, (int, float, np.number)) and not isinstance(given, bool):
        return float(checks.number(given, "baselines", 0, most=1))
    found = load_photos(model, given, prepare, "baselines")
    if found.shape[1:] != images.shape[1:]:
        sizes = [" x ".join(map(str, one.shape[2:])) for one in (found, images)]
        raise ValueError(f"baselines has {sizes[0]} pixels, and the pictures {sizes[1]}.")
    if len(found) not in (1, len(images)) and method.name != "gradient_shap":
        raise ValueError(f"baselines has {len(found)} pictures for {len(images)}: give one, or one for each.")
    return found


def _feature_mask(given: Any, images: Tensor) -> Tensor:
    mask = torch.as_tensor(np.asarray(given))
    mask = mask[None] if mask.dim() == 2 else mask
    size = images.shape[2:]
    wanted = f"feature_mask is an array of whole numbers [{size[0]}, {size[1]}], the segment of each pixel"
    if mask.is_floating_point() or mask.is_complex():
        raise ValueError(f"{wanted}, not of {mask.dtype}.".replace("torch.", ""))
    if mask.dim() != 3 or mask.shape[1:] != size or len(mask) not in (1, len(images)):
        raise ValueError(f"{wanted}, not {checks.shown(given)}.")
    return mask.long()[:, None].expand(len(images), 1, *size).to(images.device)


# The run -----------------------------------------------------------------------------------------


@dataclass
class _Run:
    """An attribution of all pictures."""

    model: Model
    method: Method
    neuron: Unit | None
    layer: str | None
    images: Tensor
    baselines: float | Tensor
    targets: Sequence[Unit | None]
    options: dict[str, Any]
    noise: str | None
    seed: int
    most: int | None
    batch: int = 1

    @property
    def tapped(self) -> str | None:
        """Name of the layer that the tap holds."""
        return self.layer if self.neuron is None else self.neuron.layer

    def all(self) -> tuple[Tensor, Tensor | None]:
        """Returns the values, (N, C, ...), and the convergence deltas, (N,)."""
        if "cam_layer" in self.method.options:
            self.layer = self.options.pop("cam_layer", None) or last_layer_with_places(
                self.model, self.targets[0], self.images[:1]
            )
            if not self._layout().has_places:
                raise ValueError(self._layout().no_places())
        for unit in dict.fromkeys(self.targets):
            check_dependence(self.model, unit, self.tapped, self.images[:1])
        readers = {unit: self._reader(unit) for unit in dict.fromkeys(self.targets)}
        self.batch = self.most or self._fitting(next(iter(readers.values())))
        parts: dict[int, tuple[Tensor, Tensor | None]] = {}
        with seeded(self.seed, self.images.device):
            for unit, reader in readers.items():
                reader.most = None if self.method.rules else self.batch
                numbers = [number for number, one in enumerate(self.targets) if one == unit]
                for group in _groups(numbers, 1 if self.method.alone else max(1, self.batch // self.method.least)):
                    values, delta = self._of(reader, group)
                    for place, number in enumerate(group):
                        parts[number] = values[place], None if delta is None else delta[place]
        ordered = [parts[number] for number in range(len(self.images))]
        deltas = [delta for _, delta in ordered if delta is not None]
        return torch.stack([value for value, _ in ordered]), torch.stack(deltas) if deltas else None

    def _reader(self, unit: Unit | None) -> Reader:
        gate = self.neuron if unit is not None else None
        plain = Reader(self.model, unit, self.tapped, gate)
        if unit is not None and self.tapped is not None:
            check_tap(plain, Reader(self.model, unit), self.images[:1])
        if not self.method.rules:
            return plain
        import captum.attr  # noqa: F401  # converted networks enter their rules into its tables

        rules = RULES[self.method.rules]
        reader = Reader(copied(self.model, rules), unit, self.tapped, gate, detaches=False)
        others = [name for (kind, name), one in METHODS.items() if kind == self.method.kind and not one.rules]
        check_rules(reader, plain, self.images, rules, others)
        return reader

    def _fitting(self, reader: Reader) -> int:
        def step(count: int) -> None:
            images = self.images[:1].expand(count, -1, -1, -1).detach().clone().requires_grad_()
            torch.autograd.grad(reader(images).sum(), [images])

        if self.images.device.type == "cuda":
            return memory.cuda_batch_size(step, self.images.device, memory.MOST_ON_CUDA)
        image = self.images[:1].detach().clone().requires_grad_()
        return memory.host_batch_size(lambda: reader(image))

    def _of(self, reader: Reader, group: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Returns the values and deltas of some pictures."""
        images = self.images[list(group)].detach().clone().requires_grad_()
        baselines = self.baselines
        if isinstance(baselines, Tensor) and len(baselines) == len(self.images) > 1:
            baselines = baselines if self.method.name == "gradient_shap" else baselines[list(group)]
        options = dict(self.options)
        if "feature_mask" in options:
            options["feature_mask"] = options["feature_mask"][list(group)]
        plan = self.method.make(Problem(reader, images, baselines, options, self.batch, self.neuron))
        values, delta = self._called(plan, images)
        if isinstance(values, tuple):
            (values,) = values
        return values.detach(), None if delta is None else delta.detach().reshape(len(group), -1).mean(1)

    def _called(self, plan: Plan, images: Tensor) -> tuple[Any, Tensor | None]:
        if self.noise is None:
            if plan.has_delta:
                values, delta = plan.attributor.attribute(images, **plan.arguments, return_convergence_delta=True)
                return values, delta
            return plan.attributor.attribute(images, **plan.arguments), None
        from captum.attr import NoiseTunnel

        given = {name: self.options[name] for name in NOISE_OPTIONS if name in self.options}
        arguments = {"nt_samples_batch_size": 1, **plan.arguments, **given, "nt_type": self.noise}
        return NoiseTunnel(plan.attributor).attribute(images, **arguments), None

    # The result ----------------------------------------------------------------------------------

    def result(self, values: Tensor, delta: Tensor | None, options: Mapping[str, Any]) -> Attribution:
        """Returns the result.

        Args:
            values: (N, C, ...).
            delta: (N,).
            options: the options as the caller gave them.
        """
        layout = plain_layout("input", 4)
        if self.method.kind == "layer":
            layout = self._layout()
        if "cam_layer" in self.method.options:
            values = self._enlarged(values)
        scores = self._scores(self.images)
        at_baseline = self._scores(self._all_baselines()) if self._has_one_baseline else None
        kind, layer = self.method.kind, None if self.method.kind == "input" else self.layer
        return Attribution(
            _channels_last(values, layout),
            self.images.detach().movedim(1, -1).float().cpu().numpy(),
            self.method.name,
            kind,
            layer,
            tuple(str(unit) for unit in self.targets if unit is not None),
            tuple(unit.label for unit in self.targets if unit is not None),
            scores,
            at_baseline,
            None if delta is None else delta.float().cpu().numpy(),
            self._recipe(options),
            replace(layout, axes="NCHW") if layout.positions == "WH" else layout,
            self.model,
        )

    @property
    def _has_one_baseline(self) -> bool:
        return self.method.has_baselines and self.method.name != "gradient_shap"

    def _all_baselines(self) -> Tensor:
        if isinstance(self.baselines, Tensor):
            return self.baselines.expand_as(self.images)
        return torch.full_like(self.images, self.baselines)

    def _scores(self, images: Tensor) -> np.ndarray | None:
        if not self.method.has_target:
            return None
        found = []
        with torch.no_grad():
            for unit, image in zip(self.targets, images.split(1), strict=True):
                found.append(Reader(self.model, unit)(image))
        return torch.cat(found).float().cpu().numpy()

    def _layout(self) -> Layout:
        assert self.layer is not None
        with torch.no_grad():
            return read_layers(self.model, self.images[:1], [self.layer])[self.layer].layout

    def _enlarged(self, values: Tensor) -> Tensor:
        """Returns Grad-CAM's map, (N, 1, ...), in the size of the pictures."""
        from captum.attr import LayerAttribution

        size = (self.images.shape[2], self.images.shape[3])
        places = self._layout().in_places(values)
        return LayerAttribution.interpolate(places, size, interpolate_mode="bilinear")

    def _recipe(self, options: Mapping[str, Any]) -> dict[str, Any]:
        shown = {"cam_layer": self.layer, **options} if "cam_layer" in self.method.options else dict(options)
        return {
            "lucid_port_attribution": FORMAT,
            "model": describe_model(self.model),
            "method": self.method.name,
            "kind": self.method.kind,
            "layer": self.layer if self.method.kind != "input" else None,
            "targets": [str(unit) for unit in self.targets if unit is not None],
            "labels": [unit.label for unit in self.targets if unit is not None],
            "options": {name: _plain(value) for name, value in shown.items()},
            "noise": self.noise,
            "seed": self.seed,
            "batch": self.batch,
            "made_with": made_here(self.images.device),
        }


def _plain(value: Any) -> Any:
    """Returns an option as plain data; arrays and pictures as their description."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, (tuple, list)) and len(value) < 8:
        return [_plain(one) for one in value]
    return checks.shown(value)


def _groups(numbers: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), most):
        yield numbers[start : start + most]


def _channels_last(values: Tensor, layout: Layout) -> np.ndarray:
    if values.dim() == 4 and layout.positions == "WH":
        values = values.transpose(2, 3)
    return np.ascontiguousarray(values.movedim(1, -1).float().cpu().numpy())


# Checks of the network ---------------------------------------------------------------------------


def _target_value(unit: Unit, read: Mapping[str, LayerValue], model: Model, images: Tensor) -> Tensor:
    own = first_axes(model, unit.layer, read[unit.layer].value, (images.shape[2], images.shape[3]), len(images))
    return unit.of(own.first, own.layout)


def check_dependence(model: Model, unit: Unit | None, layer: str | None, image: Tensor) -> None:
    """Checks that a target depends on a layer, or on the picture.

    Args:
        model: the model.
        unit: the target; None if there is none, so that only the layer is read.
        layer: name of the layer; None for the picture.
        image: (1, C, H, W).

    Raises:
        ValueError: it does not, or the layer comes after the target.
    """
    image = image.detach().clone().requires_grad_()
    pieces = () if layer is None else pieces_of(model, layer)
    names = list(dict.fromkeys([*pieces, *([] if layer is None else [layer]), *([] if unit is None else [unit.layer])]))
    read = read_layers(model, image, names)
    if layer is not None:
        first_axes(model, layer, read[layer].value, (image.shape[2], image.shape[3]), 1)
    if unit is None:
        return
    score = _target_value(unit, read, model, image)
    sources = [image] if layer is None else [read[piece].value for piece in pieces]
    if layer == unit.layer or any(_depends(score.sum(), source) for source in sources):
        return
    if layer is None:
        raise ValueError(f"The target {unit} does not depend on the picture by a gradient.")
    if any(_depends(source.sum(), read[unit.layer].value) for source in sources):
        raise ValueError(f"Layer {layer!r} comes after the target {unit}: name a layer before it.")
    raise ValueError(f"The target {unit} does not depend on layer {layer!r}: name a layer that leads to it.")


def check_tap(tapped: Reader, plain: Reader, image: Tensor) -> None:
    """Checks that a target is the same if its layer gets its own value from the tap.

    Raises:
        ValueError: it is not, because the network cannot be given the layer's value.
    """
    cause = "the target changes if the network is given the value that it has itself"
    with torch.no_grad():
        try:
            found = tapped(image)
        except (RuntimeError, TypeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            cause, found = reason(error), None
        if found is not None and torch.allclose(found, plain(image), rtol=1e-4, atol=1e-6):
            return
    raise ValueError(
        f"The value of layer {tapped.layer!r} cannot be replaced ({cause}): name a layer before or after it, of which "
        "the value is one tensor."
    )


def _depends(value: Tensor, source: Tensor) -> bool:
    if not value.requires_grad or not source.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(value, [source], retain_graph=True, allow_unused=True)
    return gradient is not None


READ_TOGETHER = 8
"""Layers that are tried in one pass."""


def last_layer_with_places(model: Model, unit: Unit | None, image: Tensor) -> str:
    """Returns the last layer before a target that has several places.

    Raises:
        ValueError: there is none.
    """
    assert unit is not None
    names = [name for name in getattr(model.network, "layers", {}) if name != unit.layer]
    for start in range(0, len(names), READ_TOGETHER):
        some = names[::-1][start : start + READ_TOGETHER]
        for name in some:
            if _has_places(model, name, unit, image):
                return name
    raise ValueError(f"No layer before the target {unit} has places, which Grad-CAM needs: name a layer as cam_layer.")


def _has_places(model: Model, name: str, unit: Unit, image: Tensor) -> bool:
    """Returns whether a layer has several places, and the target depends on it."""
    image = image.detach().clone().requires_grad_()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = read_layers(model, image, [name, unit.layer])
            own = first_axes(model, name, read[name].value, (image.shape[2], image.shape[3]), 1)
            if not own.layout.has_places or own.places()[0, 0].numel() < 2:
                return False
    except (ValueError, TypeError, KeyError):
        return False
    return _depends(_target_value(unit, read, model, image).sum(), own.value)
