"""Figures of The Building Blocks of Interpretability (2018).

They start from the user's picture (`--image`), or from the model's own (`lucid_port.figures.photographs`).
"""

from __future__ import annotations

import numpy as np

from converters import checks
from lucid_port.figures.base import Panel, Result, Settings, Table, Takes, figure
from lucid_port.figures.common import (
    CAFFE,
    ONE_LAYER,
    TILE,
    a_class,
    a_layer,
    class_label,
    class_of,
    enlargement,
    for_models,
    likeliest,
    render_options,
    tile,
)
from lucid_port.figures.drawing import AGAINST, COLOURS, FOR, Colour, heat, outlined, part, two_sided
from lucid_port.figures.photographs import photograph
from lucid_port.recipes.activation_grid import activation_grid, factored_activation_grid
from lucid_port.recipes.attribution import (
    POOLS,
    channel_attribution,
    class_attribution,
    class_number,
    spatial_attribution,
)
from lucid_port.recipes.inputs import load_image, spatial_activations
from lucid_port.recipes.neuron_groups import neuron_groups
from lucid_port.recipes.semantic_dictionary import channel_icons, semantic_dictionary

# Classes of the photograph from scikit-image. The article's picture of a dog and a cat has "Labrador retriever" and
# "tiger cat": pass it with --image, and these classes with --units.
CLASSES = ("Egyptian cat", "espresso")
NUMBERS = ("8", "947")  # the numbers of `CLASSES`, for a network without labels
DRAWN = ("heart", "bricks")  # classes of the picture for TinyInceptionV1
LAYER = for_models(["mixed4d"], ["inception_4d_output"], ["mixed4a"])
LAYER_AND_CLASSES = for_models(
    ["mixed4d", *CLASSES], ["inception_4d_output", *CLASSES], ["mixed4a", *DRAWN], ["mixed4d", *NUMBERS]
)
# In InceptionV1_caffe, the channels of 4e show cats and cups more clearly than those of 4d.
ATTRIBUTED = {**LAYER_AND_CLASSES, CAFFE: {"units": ["inception_4e_output", *CLASSES]}}
GROUP = 136  # width of a group's pictures, in pixels
POOL_TITLES = {
    "native": "The gradient itself",
    "smooth": "Max pools with a smoother gradient",
    "smooth_blurred": "Max pools with a smoother gradient, blurred",
}


def _peaks(strength: np.ndarray, count: int) -> list[tuple[int, int]]:
    """(row, column) of up to `count` maxima that keep a distance from each other and from the border."""
    left = strength.astype(np.float64).copy()
    rows, columns = np.indices(left.shape)
    apart = max(left.shape) / 3.5
    if min(left.shape) > 4:  # positions at the border see more padding than picture
        left[[0, -1]], left[:, [0, -1]] = -np.inf, -np.inf
    found: list[tuple[int, int]] = []
    while len(found) < count and np.isfinite(left).any():
        row, column = (int(at) for at in np.unravel_index(left.argmax(), left.shape))
        found.append((row, column))
        left[np.hypot(rows - row, columns - column) < apart] = -np.inf
    return found


# The figures -------------------------------------------------------------------------------------


@figure(
    "bb-semantic-dictionary",
    "The strongest channels at places of a picture",
    of="the semantic dictionary",
    steps=512,
    options=LAYER,
    takes=ONE_LAYER,
    see="For each marked place, the channels with the largest activations, shown as pictures of what they detect "
    "instead of numbers. In the photograph, an eye activates detectors of eyes and snouts, and the rim of a cup those "
    "of rims and bowls; in the drawing, a heart activates detectors of corners and round edges, and bricks those of "
    "lines and lattices.",
    fast_steps=64,
    fast_options={"size": 64, "places": 2},
    of_picture=True,
)
def dictionary(settings: Settings) -> Result:
    """The four strongest channels of a layer at each of the positions with the largest activations."""
    (layer,) = settings.units
    picture = photograph(settings)
    found = semantic_dictionary(settings.model, picture, layer)
    grid = found.values.shape[:2]
    places = _peaks(found.values[..., 0], settings.options.get("places", 3))
    options = render_options(settings, 80)
    channels = list(dict.fromkeys(int(channel) for place in places for channel in found.channels[place]))
    icons = channel_icons(settings.model, layer, channels, **options)
    panels = [Panel([outlined(picture, places, grid)], [f"largest activations of {layer}"], scale=enlargement(picture))]
    for number, place in enumerate(places, 1):
        captions = [f"{c}: {value:.4g}" for c, value in zip(found.channels[place], found.values[place], strict=True)]
        seen = outlined(part(picture, place, grid, max(options["size"], TILE)), [(0, 0)], (1, 1), [COLOURS[number - 1]])
        pictures = [seen, *(tile(icons[int(channel)]) for channel in found.channels[place])]
        panels.append(Panel(pictures, [f"row {place[0]}, column {place[1]}", *captions]))
    data = {
        "layer": layer,
        "places": places,
        "channels": [found.channels[place] for place in places],
        "values": [found.values[place] for place in places],
    }
    return Result(panels, data)


@figure(
    "bb-channel-attribution",
    "Which channels argue for one class against another",
    of="the opening figure",
    steps=512,
    options=ATTRIBUTED,
    takes=Takes("a layer, a class and another class", [a_layer, a_class], least=3, most=3),
    see="Attribution of the difference of two classes' logits to the channels of a layer. Detectors of the parts of a "
    "class argue for it, mostly at positions on the object itself. Some argue for it because they argue against the "
    "other class, at positions on the other object.",
    fast_steps=64,
    fast_options={"size": 64, "channels": 4},
    of_picture=True,
)
def attribution(settings: Settings) -> Result:
    """The channels that contribute most to either of two classes, and the positions of these contributions."""
    layer, *classes = settings.units
    model, picture, (toward, against) = settings.model, photograph(settings), map(class_of, classes)
    spatial_activations(model, picture, layer)  # raises an error if the layer has no positions
    found = channel_attribution(model, picture, layer, toward, against)
    count = checks.whole(settings.options.get("channels", 6), "channels", 1)
    best, worst = found.order[:count].tolist(), found.order[::-1][:count].tolist()
    options = render_options(settings, 110)
    icons = channel_icons(model, layer, list(dict.fromkeys([*best, *worst])), **options)
    small = load_image(picture, max(options["size"], TILE))
    names = class_label(model, toward), class_label(model, against)
    panels = [
        Panel(
            [picture, two_sided(picture, found.field.sum(-1))],
            ["the picture", f"orange: {names[0]}, blue: {names[1]}"],
            title=f"{layer}: {names[0]} against {names[1]}",
            scale=enlargement(picture),
        )
    ]
    for name, channels, colour in ((names[0], best, FOR), (names[1], worst, AGAINST)):
        captions = [f"{channel}: {found.values[channel]:+.3f}" for channel in channels]
        panels.append(
            Panel([tile(icons[channel]) for channel in channels], captions, title=f"Channels that argue for {name}")
        )
        panels.append(Panel([_where(small, found.field[..., channel], colour) for channel in channels], columns=count))
    data = {"layer": layer, "toward": names[0], "against": names[1], "order": found.order, "values": found.values}
    return Result(panels, data)


def _where(picture: np.ndarray, values: np.ndarray, colour: Colour) -> np.ndarray:
    """Overlays the magnitudes of a channel's contributions [h, w] on the picture."""
    scaled = np.abs(values) / max(float(np.abs(values).max()), 1e-12)
    return heat(picture, [scaled], [colour])


@figure(
    "bb-activation-grid",
    "A picture as a layer sees it",
    of="the activation grid",
    steps=1024,
    options=LAYER,
    takes=ONE_LAYER,
    see="For each position of the layer, a picture of its whole activation vector: eyes where the picture has eyes, "
    "rims where it has rims; in the drawing, hearts and bricks. Below, the area of each icon is proportional to the "
    "length of its vector, so that the positions that excite the network most stand out.",
    fast_steps=96,
    fast_options={"size": 32, "batch_size": 32},
    of_picture=True,
)
def grid(settings: Settings) -> Result:
    """Icons of all positions, mixed from shared images of neuron groups, at full size and scaled by magnitude."""
    (layer,) = settings.units
    options = render_options(settings, 48)
    if settings.options.get("naive", False):
        found = activation_grid(settings.model, photograph(settings), layer, **options)
    else:
        batch = settings.options.get("batch_size", 64)
        found = factored_activation_grid(settings.model, photograph(settings), layer, batch_size=batch, **options)
    panels = [
        Panel([found.image], title="The picture", scale=enlargement(found.image)),
        Panel([found.mosaic], title=f"{layer}: an icon for each position", scale=enlargement(found.mosaic)),
        Panel([found.scaled_mosaic()], title="Scaled by the length of the vector", scale=enlargement(found.mosaic)),
    ]
    return Result(panels, {"layer": layer, "magnitudes": found.magnitudes})


@figure(
    "bb-spatial-attribution",
    "Contributions of earlier positions to later ones",
    of="spatial attribution",
    steps=0,
    options=for_models(["mixed4d", "mixed5a"], ["inception_4d_output", "inception_5a_output"], ["mixed3b", "mixed4d"]),
    takes=Takes("two layers, the earlier first", [a_layer], least=2, most=2),
    see="The contribution (orange) of each place of the earlier layer to a marked place of the later layer comes "
    "mostly from under that place. Max pools make the plain gradient noisy. A smoother gradient shows the same regions "
    "with less noise, and a blurred one shows broader regions. Below, the contribution of each place to the likeliest "
    "classes.",
    fast_steps=0,
    of_picture=True,
)
def spatial(settings: Settings) -> Result:
    """Attribution to a layer, by three gradients of strong positions in a later one and two gradients of classes."""
    layer, later = settings.units
    model, picture = settings.model, photograph(settings)
    strength = np.linalg.norm(spatial_activations(model, picture, later), axis=-1)
    places = _peaks(strength, settings.options.get("places", 4))
    classes = likeliest(model, picture, settings.options.get("classes", 4))
    named = [f"row {row}, column {column} of {later}" for row, column in places]
    marked = [outlined(picture, [place], strength.shape) for place in places]
    scale = enlargement(picture)
    panels = [Panel(marked, named, title=f"Places of {later}", scale=scale)]
    toward, per_class = {}, {}
    for pools in POOLS:
        found = spatial_attribution(model, picture, layer, later, pools=pools, positions=places).normalised
        shown = [heat(picture, [found[place] / max(float(found[place].max()), 1e-12)]) for place in places]
        shown = [outlined(one, [place], strength.shape) for one, place in zip(shown, places, strict=True)]
        panels.append(Panel(shown, title=f"{POOL_TITLES[pools]}: from {layer}", scale=scale))
        toward[pools] = [found[place] for place in places]
    # Omits the blurred gradient: over several pools the blur grows, and evidence for and against a class cancels.
    for pools in POOLS[:2]:
        values = [class_attribution(model, picture, layer, one, pools=pools) for one in classes]
        names = [class_label(model, one) for one in classes]
        shown = [two_sided(picture, one) for one in values]
        title = f"{POOL_TITLES[pools]}: for classes (orange) and against them (blue)"
        panels.append(Panel(shown, names, title, scale=scale))
        per_class[pools] = values
    labels = [class_label(model, one) for one in classes]
    data = {
        "layers": [layer, later],
        "places": places,
        "attributions": toward,
        "classes": classes,
        "labels": labels,
        "to_classes": per_class,
    }
    return Result(panels, data)


@figure(
    "bb-neuron-groups",
    "A picture's neurons in six groups",
    of="the neuron groups",
    steps=512,
    options=LAYER_AND_CLASSES,
    takes=Takes("a layer, and classes", [a_layer, a_class], most=11),
    see="Thousands of activations in six groups: the position of each group (its color), an icon of what it detects, "
    "and its contribution to each class. Groups correspond to things: eyes, fur, the rim, the inside of the cup, the "
    "background; in the drawing, hearts, bricks, the edge between the two, and the background.",
    fast_steps=64,
    fast_options={"size": 72},
    of_picture=True,
)
def groups(settings: Settings) -> Result:
    """Non-negative factors of the activations of a layer, their icons, and their effects on classes."""
    layer, *labels = settings.units
    model, picture = settings.model, photograph(settings)
    classes = [class_number(model, class_of(one)) for one in labels] or likeliest(model, picture, 2)
    found = neuron_groups(
        model, picture, layer, settings.options.get("groups", 6), classes=classes, **render_options(settings, 80)
    )
    maps = np.moveaxis(found.spatial, -1, 0)
    maps = maps / np.maximum(maps.max((1, 2), keepdims=True), 1e-12)
    count = len(maps)
    effects = {class_label(model, one): found.effects[one] for one in classes}
    captions = [
        ", ".join(f"{name} {values[number]:+.2f}" for name, values in effects.items()) for number in range(count)
    ]
    small = load_image(picture, (GROUP * picture.shape[0] // picture.shape[1], GROUP))
    places = [heat(small, [one], [COLOURS[number % len(COLOURS)]]) for number, one in enumerate(maps)]
    panels = [
        Panel(
            [picture, heat(picture, maps, COLOURS)],
            ["the picture", "its groups"],
            title=f"{layer}: {count} groups",
            scale=enlargement(picture),
        ),
        Table(
            [*places, *(load_image(icon, GROUP) for icon in found.icons)],
            [*captions, *[""] * count],
            columns=count,
            heads=[f"group {number}" for number in range(1, count + 1)],
            sides=["position, and contribution to classes", "what it detects"],
        ),
    ]
    strongest = [np.argsort(-row)[:5] for row in found.channels]
    data = {"layer": layer, "effects": effects, "error": found.error, "strongest_channels": strongest}
    return Result(panels, {**data, "spatial": found.spatial})
