"""`inspect`, and the functions that compute one part of it."""

from __future__ import annotations

from collections.abc import Iterable

from converters.signatures import checked
from lucid_port.attribution.pictures import PhotoLike
from lucid_port.inspection.measures import FeatureMaps, Gradients, Statistics, feature_maps_of, statistics_of
from lucid_port.inspection.passes import checked_layers, pass_over
from lucid_port.inspection.result import Inspection
from lucid_port.inspection.weights import first_layer_filters, weight_histograms
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.precision import strictly

__all__ = ["activation_statistics", "feature_maps", "gradient_magnitudes", "inspect"]


@strictly
@checked
def inspect(
    model: Model,
    photo: PhotoLike,
    target: str | int | None = None,
    layers: Iterable[str] | None = None,
    *,
    prepare: bool = True,
) -> Inspection:
    """Looks inside a network with a picture: classes, feature maps, statistics, gradients and weights.

    One forward pass computes all layers, and one backward pass all gradients. The model stays as it is: weights, modes
    and hooks; and so do random states. A network without a score for each class has no top classes, and gradients only
    with a target. A layer that the target does not depend on has no gradient, and `gradients.missing` says why.

    Args:
        model: the model.
        photo: one picture: a path, an array [H, W, C] in [0, 1], or a tensor (C, H, W).
        target: the unit whose gradients are computed: a label, the number of a class, `LAYER:LABEL`, `LAYER:NUMBER` or
            `LAYER:NUMBER[ROW,COLUMN]`; the top class by default.
        layers: names of layers; by default Lucid's list, or the outputs of blocks.
        prepare: whether to resize and crop an array of another size as the model's evaluation does; files always are,
            if the model states it.

    Returns:
        An `Inspection`.

    Raises:
        ValueError: the target does not exist, the picture does not fit the network, or there are several pictures.
        TypeError: an argument has another type.
        FileNotFoundError: the picture does not exist.
        converters.LayerNotFoundError: there is no such layer.
        converters.InputSizeError: the network cannot be computed at the picture's size.

    Example:
        >>> import numpy as np
        >>> from lucid_port.inspection import inspect
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> photo = np.random.RandomState(0).uniform(size=(96, 96, 3)).astype(np.float32)
        >>> found = inspect(TinyInceptionV1(), photo, "spiral", ["conv2d0", "mixed4d"])
        >>> found
        <Inspection of TinyInceptionV1: 2 layers, gradients of softmax2_pre_activation:22>
        >>> found.feature_maps["mixed4d"].values.shape, found.gradients.channels["mixed4d"].shape
        ((6, 6, 132), (132,))
    """
    names = checked_layers(model, layers)
    passes = pass_over(model, photo, names, target, prepare=prepare, with_gradients=True)
    try:
        filters, no_filters = first_layer_filters(model), ""
    except ValueError as error:
        filters, no_filters = None, str(error)
    return Inspection(
        photo=passes.photo,
        layers=tuple(names),
        classes=passes.classes,
        feature_maps={name: feature_maps_of(name, value) for name, value in passes.values.items()},
        statistics={name: statistics_of(value) for name, value in passes.values.items()},
        gradients=passes.gradients,
        no_gradients=passes.obstacle,
        weights=weight_histograms(model),
        filters=filters,
        no_filters=no_filters,
        _model=model,
    )


@strictly
@checked
def feature_maps(
    model: Model, photo: PhotoLike, layers: Iterable[str] | None = None, *, prepare: bool = True
) -> dict[str, FeatureMaps]:
    """Returns the feature maps of layers for a picture, from one forward pass; arguments and errors as for `inspect`.

    Example:
        >>> import numpy as np
        >>> from lucid_port.inspection import feature_maps
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> feature_maps(TinyInceptionV1(), np.zeros((96, 96, 3)), ["mixed4d"])["mixed4d"].values.shape
        (6, 6, 132)
    """
    passes = pass_over(model, photo, checked_layers(model, layers), prepare=prepare)
    return {name: feature_maps_of(name, value) for name, value in passes.values.items()}


@strictly
@checked
def activation_statistics(
    model: Model, photo: PhotoLike, layers: Iterable[str] | None = None, *, prepare: bool = True
) -> dict[str, Statistics]:
    """Returns the statistics of layers for a picture, from one forward pass; arguments and errors as for `inspect`.

    Example:
        >>> import numpy as np
        >>> from lucid_port.inspection import activation_statistics
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = activation_statistics(TinyInceptionV1(), np.zeros((96, 96, 3)), ["softmax2"])["softmax2"]
        >>> found.shape, round(found.mean, 4)
        ((28,), 0.0357)
    """
    passes = pass_over(model, photo, checked_layers(model, layers), prepare=prepare)
    return {name: statistics_of(value) for name, value in passes.values.items()}


@strictly
@checked
def gradient_magnitudes(
    model: Model,
    photo: PhotoLike,
    target: str | int | None = None,
    layers: Iterable[str] | None = None,
    *,
    prepare: bool = True,
) -> Gradients:
    """Returns the magnitudes of a unit's gradients for a picture; arguments and errors as for `inspect`.

    Raises:
        ValueError: as for `inspect`, or the network has no single score for each class, and no target is given.

    Example:
        >>> import numpy as np
        >>> from lucid_port.inspection import gradient_magnitudes
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = gradient_magnitudes(TinyInceptionV1(), np.zeros((96, 96, 3)), "mixed4a:3", ["mixed3a", "mixed5a"])
        >>> list(found.means), found.missing
        (['mixed3a'], {'mixed5a': "Layer 'mixed5a' comes after the target mixed4a:3."})
    """
    passes = pass_over(model, photo, checked_layers(model, layers), target, prepare=prepare, with_gradients=True)
    if passes.gradients is None:
        raise ValueError(passes.obstacle)
    return passes.gradients
