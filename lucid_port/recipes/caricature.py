"""Caricatures (feature inversion): pictures that exaggerate the features of a given picture in a layer.

Lucid's `recipes.caricature` and its notebook misc/feature_inversion_caricatures.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.io import save
from lucid_port.misc.io.sanitizing import sanitize
from lucid_port.modelzoo.vision_base import SerializedModel
from lucid_port.optvis import param, transform
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives import Objective, wrap_objective
from lucid_port.optvis.objectives.base import ObjectiveFunction
from lucid_port.optvis.objectives.readers import Activations, as_reader, by_image
from lucid_port.recipes.inputs import ImageLike, load_image, model_size
from lucid_port.recipes.steps import run

__all__ = ["Caricature", "caricature", "dot_compare", "feature_inversion", "make_caricature"]

MAGNITUDE_EPSILON = 1e-6
LEAST_COSSIM = 0.1


@dataclass(frozen=True)
class Caricature:
    """A picture and its caricatures.

    Attributes:
        image: the picture, [H, W, 3].
        layers: names of the L layers.
        pictures: the caricature by each layer, [L, H, W, 3].
        losses: objective value, summed over the layers, before each update, [steps].
    """

    image: np.ndarray
    layers: tuple[str, ...]
    pictures: np.ndarray
    losses: np.ndarray


@wrap_objective
@checked
def dot_compare(layer: str, batch: int = 1, cossim_pow: float = 0.0) -> ObjectiveFunction:
    """Compares the activation of image `batch` with that of image 0, the reference.

    The value is `dot * max(0.1, dot / |a|) ** cossim_pow`, where `dot` is the dot product of the two activations and
    `|a|` the length of image `batch`'s, as in Lucid's recipe.

    Args:
        layer: name of the layer.
        batch: index of the image that is compared with image 0.
        cossim_pow: 0 for the dot product alone; larger values keep the direction closer to the reference's.

    Raises:
        TypeError, ValueError: `cossim_pow` is not a number from 0 on.

    Example:
        >>> import torch
        >>> dot_compare("mixed4a")(lambda name: torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor(11.)
    """
    checks.number(cossim_pow, "cossim_pow", 0)

    def inner(T: Activations) -> torch.Tensor:
        activation = by_image(as_reader(T), layer)
        reference, own = activation[0], activation[batch]
        dot = (reference * own).sum()
        if cossim_pow == 0:
            return dot
        cossim = dot / (MAGNITUDE_EPSILON + own.square().sum().sqrt())
        return dot * cossim.clamp(min=LEAST_COSSIM) ** cossim_pow

    return inner


@checked
def caricature(
    img: ImageLike,
    model: Model,
    layer: str | Sequence[str],
    n_steps: int = 512,
    cossim_pow: float = 0.0,
    verbose: bool = True,
    *,
    size: int | Sequence[int] | None = None,
    seed: int = 0,
) -> Caricature:
    """Renders pictures whose activations have the direction of a given picture's activations, and are larger.

    The pictures of all layers are optimized in one batch with the given picture, which passes the same transforms.

    Args:
        img: a path, or an array [H, W, C] in [0, 1].
        model: the model.
        layer: name of a layer, or a list of names.
        n_steps: number of updates.
        cossim_pow: see `dot_compare`.
        verbose: show progress on a terminal or in a notebook.
        size: (height, width) of the pictures; the model's own by default.
        seed: seed of all random draws; the picture of layer k starts like a single picture with `seed + k`.

    Raises:
        TypeError: `layer` is neither a name nor a list of names.
        ValueError: `img` is not a picture, or no layer is named.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> made = caricature(np.full((32, 32, 3), 0.5), TinyInceptionV1(), ["mixed3a", "mixed4a"], n_steps=2, size=32)
        >>> made.pictures.shape
        (2, 32, 32, 3)
    """
    layers = [layer] if isinstance(layer, str) else checks.items(layer, "layer", "a layer's name, or a list of names")
    names = [checks.text(name, "A layer's name", "text, as in 'mixed4a'") for name in layers]
    if not names:
        raise ValueError("layer names no layer: name at least one.")
    reference = load_image(img, model_size(model) if size is None else size)
    height, width = reference.shape[:2]
    compare = [dot_compare(name, batch=1 + number, cossim_pow=cossim_pow) for number, name in enumerate(names)]
    vis = VisT(
        model,
        Objective.sum(compare),
        param.concat([param.constant(reference[None]), param.image(width, height, batch=len(names))]),
        transforms=[*transform.standard_transforms, transform.crop_or_pad_to(height, width)],
        seed=seed,
    )
    losses = run(vis, n_steps, verbose)
    return Caricature(reference, tuple(names), vis.image()[1:], losses)


feature_inversion = caricature


@checked
def make_caricature(
    image_url: ImageLike,
    saved_model_folder_url: str | os.PathLike[str],
    to: str | os.PathLike[str],
    n_steps: int = 512,
    cossim_pow: float = 0.0,
    *,
    size: int | Sequence[int] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes the caricatures of a picture by the layers that a model's manifest lists.

    The files in `to` are `input.jpg`, a JPEG file for each layer, and `results.json`, the returned value. As in Lucid,
    the contrast of each file is stretched.

    Args:
        image_url: the picture; see `caricature`.
        saved_model_folder_url: folder with a `manifest.json`; see `FrozenGraphModel`.
        to: folder for the files. Existing files are replaced.
        n_steps, cossim_pow, size, seed: see `caricature`.

    Returns:
        `type` ("caricature"), `input_image` (a path), and `values`: for each layer a dict of `type` ("image"), `url`
        and `shape`.

    Raises:
        ValueError: the manifest lists no layers, or is not complete.
        FileNotFoundError: the picture or the manifest does not exist.
        OSError: a file cannot be written.

    Example:
        >>> import tempfile
        >>> from lucid_port.modelzoo.nets_factory import graph_file
        >>> manifest = {"model_path": str(graph_file("TinyInceptionV1")), "input_name": "input", "layers": ["mixed3a"]}
        >>> manifest |= {"image_shape": [32, 32, 3], "image_value_range": [-117, 138]}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = save(manifest, f"{folder}/manifest.json")
        ...     results = make_caricature(np.full((32, 32, 3), 0.5), folder, f"{folder}/made", n_steps=1)
        ...     sorted(os.listdir(f"{folder}/made")), results["values"][0]["shape"]
        (['input.jpg', 'mixed3a.jpg', 'results.json'], (32, 32, 3))
    """
    model = SerializedModel.from_directory(saved_model_folder_url)
    if not model.layer_names:
        raise ValueError(f"The manifest of {saved_model_folder_url} lists no layers: name them in its 'layers'.")
    made = caricature(image_url, model, model.layer_names, n_steps, cossim_pow, False, size=size, seed=seed)
    source = os.path.join(to, "input.jpg")
    save(made.image, source)
    values = []
    for picture, layer in zip(made.pictures, made.layers, strict=True):
        url = os.path.join(to, f"{sanitize(layer)}.jpg")
        save(picture, url)
        values.append({"type": "image", "url": url, "shape": picture.shape})
    results = {"type": "caricature", "input_image": source, "values": values}
    save(results, os.path.join(to, "results.json"))
    return results
