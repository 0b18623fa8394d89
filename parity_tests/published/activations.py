"""Activations and probabilities: Building Blocks (2018), its notebooks, and Activation Atlas (2019)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.inputs import activations_of, load_image, model_size, spatial_activations
from lucid_port.recipes.semantic_dictionary import SemanticDictionary, semantic_dictionary
from parity_tests.published.checks import absolute, check, eight_bit, relative, require
from parity_tests.published.files import Published, Recorder

DOG_CAT, FLOWERS, TUX = "nb_input_dog_cat.png", "nb_input_flowers.png", "bb_input_sunglasses_tux.png"
GOLDEN = "bb_dog_cat_mixed4d_activations_GOLDEN.npy"
TOP = "nb_semantic_dictionary_mixed4d_top4.json"
COSINES = "nb_cossim_mixed4d_dog_cat.png"
SPATIAL = "bb_dog_cat_spatial_attr.json"
SPRITES = "bb_dog_cat_activation_sprites.tar"
ADVERSARIAL, ADVERSARIAL_IMAGES = "aa_adversarial_probabilities.json", "aa_adversarial_images.tar"

INPUTS = {"dog_cat": DOG_CAT, "flowers": FLOWERS, "sunglasses_tux": TUX}
SPRITE_LAYERS = ("mixed3b", "mixed4a", "mixed4b", "mixed4c", "mixed4d")
ROUNDING = 1e-4  # of the greatest value; TensorFlow's own versions differ by 2e-6


def record_inputs(model: Model, recorder: Recorder) -> None:
    """Pictures of coloured waves instead of the photographs."""
    height, width = model_size(model)
    y, x = np.mgrid[:height, :width] / 30.0
    for number, name in enumerate(INPUTS.values(), 1):
        waves = [np.sin(number * x + y), np.cos(y * number - x), np.sin(x * y / number)]
        recorder.picture(name, (np.stack(waves, -1) * 127 + 128).astype(np.uint8))


def mixed4d(model: Model, published: Published, image: str = DOG_CAT) -> np.ndarray:
    return spatial_activations(model, load_image(published.path(image), model_size(model)), "mixed4d")


# Activations -------------------------------------------------------------------------------------


def _record_golden(model: Model, recorder: Recorder) -> None:
    recorder.array(GOLDEN, mixed4d(model, recorder.published)[None])


@check("golden_activations", DOG_CAT, GOLDEN, record=_record_golden)
def golden_activations(model: Model, published: Published) -> None:
    """All of mixed4d for the dog and the cat, in single precision."""
    relative("mixed4d", mixed4d(model, published)[None], published.array(GOLDEN), ROUNDING)


def _dictionary(model: Model, published: Published, image: str) -> SemanticDictionary:
    return semantic_dictionary(model, published.path(INPUTS[image]), "mixed4d", 4)


def _record_dictionary(model: Model, recorder: Recorder) -> None:
    found = {image: _dictionary(model, recorder.published, image) for image in ("dog_cat", "flowers")}
    recorder.json(TOP, {image: {"n": one.channels.tolist(), "v": one.values.tolist()} for image, one in found.items()})


@check("semantic_dictionary", DOG_CAT, FLOWERS, TOP, record=_record_dictionary)
def dictionary(model: Model, published: Published) -> None:
    """The four strongest channels at each of the 196 positions, and how strong they are."""
    for image, rows in published.json(TOP).items():
        found, channels = _dictionary(model, published, image), np.asarray(rows["n"])
        relative(f"{image}: strongest activations", found.values, np.asarray(rows["v"]), ROUNDING)
        count = found.activations.shape[-1]
        require(channels.max() < count, f"{image}: channel {channels.max()} is among the strongest; there are {count}.")
        theirs = np.take_along_axis(found.activations, channels, -1)  # so channels that tie may change places
        relative(f"{image}: activations of the published channels", theirs, np.asarray(rows["v"]), ROUNDING)


def _cosines(activations: np.ndarray) -> np.ndarray:
    """Cosines between all positions, blocks of positions by position, in bytes cut off as the notebook's picture."""
    unit = activations / np.maximum(np.linalg.norm(activations, axis=-1, keepdims=True), 1e-12)
    between = np.einsum("abc,yxc->aybx", unit, unit)
    height, width = activations.shape[:2]
    return (between.reshape(height * height, width * width).clip(0, 1) * 255).astype(np.uint8)


def _record_cosines(model: Model, recorder: Recorder) -> None:
    recorder.picture(COSINES, _cosines(mixed4d(model, recorder.published)))


@check("cosine_similarities", DOG_CAT, COSINES, record=_record_cosines)
def cosine_similarities(model: Model, published: Published) -> None:
    """Cosines between the activation vectors of all pairs of positions."""
    eight_bit("cosines of mixed4d", _cosines(mixed4d(model, published)), published.picture(COSINES))


# Probabilities -----------------------------------------------------------------------------------


def _probabilities(model: Model, image: np.ndarray) -> np.ndarray:
    return activations_of(model, image, ["softmax2"])["softmax2"]


def _record_classes(model: Model, recorder: Recorder) -> None:
    found = _probabilities(model, load_image(recorder.published.path(DOG_CAT), model_size(model)))
    top = np.argsort(-found)[:5]
    recorder.json(SPATIAL, {"output": [{"n": int(n), "v": round(float(found[n]), 3)} for n in top]})


@check("class_probabilities", DOG_CAT, SPATIAL, record=_record_classes)
def class_probabilities(model: Model, published: Published) -> None:
    """The five likeliest classes of the dog and the cat, to the third decimal."""
    found = _probabilities(model, load_image(published.path(DOG_CAT), model_size(model)))
    rows = published.json(SPATIAL)["output"]
    numbers, values = [row["n"] for row in rows], [row["v"] for row in rows]
    absolute("greatest probabilities", -np.sort(-found)[: len(rows)], values, 0.0006)
    absolute("probabilities of the published classes", found[numbers], values, 0.0006)


def _of_label(model: Model, found: np.ndarray, label: str) -> float:
    """The probability of a class by its label; of the likelier where two have the same (crane, maillot)."""
    numbers = [number for number, name in enumerate(model.labels[: len(found)]) if name.split(", ")[0] == label]
    require(bool(numbers), f"No class is called {label!r}.")
    return float(found[numbers].max())


def _record_adversarial(model: Model, recorder: Recorder) -> None:
    pictures = {name: np.asarray(Image.open(recorder.published.path(file))) for name, file in INPUTS.items()}
    rows = {}
    for name, picture in pictures.items():
        found = _probabilities(model, load_image(picture))
        numbers = [number for number in np.argsort(-found) if number < len(model.labels)][:6]
        rows[f"{name}.png"] = [
            [model.labels[number].split(", ")[0], round(100 * float(found[number]), 2)] for number in numbers
        ]
    recorder.json(ADVERSARIAL, rows)
    recorder.archive(ADVERSARIAL_IMAGES, {f"{name}.png": picture for name, picture in pictures.items()})


@check("adversarial_probabilities", ADVERSARIAL, ADVERSARIAL_IMAGES, record=_record_adversarial)
def adversarial_probabilities(model: Model, published: Published) -> None:
    """Activation Atlas's tables of pictures with patches: six classes of nine pictures, to 0.01 %."""
    for name, rows in published.json(ADVERSARIAL).items():
        found = _probabilities(model, load_image(published.picture(ADVERSARIAL_IMAGES, name)))
        percentages = [100 * _of_label(model, found, label) for label, _ in rows]
        absolute(f"{name}: percentages", percentages, [value for _, value in rows], 0.0151)  # 0.01 and the rounding


# Heat maps ---------------------------------------------------------------------------------------


def _tiles(sheet: np.ndarray, height: int, width: int, count: int) -> np.ndarray:
    """[h, w, C] from a sheet of tiles, row by row."""
    sheet = sheet if sheet.ndim == 2 else sheet[..., 0]
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // width
    cut = sheet[: rows * height, : columns * width].reshape(rows, height, columns, width)
    return cut.transpose(1, 3, 0, 2).reshape(height, width, -1)[..., :count]


def _heat_maps(activations: np.ndarray) -> np.ndarray:
    """Each channel over its own maximum, in bytes cut off."""
    return (activations / np.maximum(activations.max((0, 1)), 1e-9) * 255).astype(np.uint8)


def _layers(model: Model, published: Published) -> dict[str, np.ndarray]:
    return activations_of(model, load_image(published.path(DOG_CAT), model_size(model)), SPRITE_LAYERS)


def _record_sprites(model: Model, recorder: Recorder) -> None:
    sheets = {}
    for layer, activations in _layers(model, recorder.published).items():
        columns = list(np.moveaxis(_heat_maps(activations), -1, 0))
        columns += [np.zeros_like(columns[0])] * (-len(columns) % 8)
        sheets[f"sprite_{layer}_activations.png"] = np.vstack(
            [np.hstack(columns[start : start + 8]) for start in range(0, len(columns), 8)]
        )
    recorder.archive(SPRITES, sheets)


@check("heat_maps", DOG_CAT, SPRITES, record=_record_sprites)
def heat_maps(model: Model, published: Published) -> None:
    """Activation maps of five layers as bytes, relative to each channel's maximum."""
    for layer, activations in _layers(model, published).items():
        found = _heat_maps(activations)
        tiles = _tiles(published.picture(SPRITES, f"sprite_{layer}_activations.png"), *found.shape)
        eight_bit(f"heat maps of {layer}", found, tiles)
