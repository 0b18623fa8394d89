"""Makes the data of a site without a model: random pictures and numbers in the contract's files."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from lucid_port.microscope.names import Places
from lucid_port.microscope.tables import write_details, write_manifest, write_pictures, write_units

HOSTILE = "<b>deep</b>/layer: 'x' & \"y\""
"""A layer name that holds HTML."""
LABELS = ("bird", "curve", "dog & cat", "<i>fur</i>", "grid", "text", "wheel", "zebra")
TECHNIQUES = {
    "channel": "Positive channel",
    "channel-negative": "Negative channel",
    "neuron": "Neuron",
    "diversity": "Diverse",
}
QUANTILES = (99.9, 99.0, 95.0, 90.0, 50.0)
CROPS = 12 + 5 + 2 * len(QUANTILES)


@dataclass(frozen=True)
class MadeUpLayer:
    """A layer to make up.

    Attributes:
        name: Its name.
        units: Number of its units.
        grid: Rows and columns of its places.
        field: Size and stride of its receptive field.
        tokens: Names of its tokens without a place, or None.
    """

    name: str
    units: int
    grid: tuple[int, int]
    field: tuple[int, int] | None = (32, 8)
    tokens: tuple[str, ...] | None = None


LAYERS = (
    MadeUpLayer("conv2d0", 24, (28, 28), (7, 2)),
    MadeUpLayer("mixed3a", 24, (14, 14), (64, 8)),
    MadeUpLayer(HOSTILE, 24, (7, 7), (128, 16)),
)
TOKENS = MadeUpLayer("blocks.11", 8, (7, 7), None, ("cls_token",))
LARGE = MadeUpLayer("mixed4d", 832, (7, 7), (180, 16))

TO_COLOR = np.array([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])


def texture(draws: np.random.Generator, size: int, power: float = 1.2) -> Image.Image:
    """Colored noise whose spectrum falls with frequency."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    shape = (3, *frequency.shape)
    spectrum = (draws.normal(size=shape) + 1j * draws.normal(size=shape)) / np.maximum(frequency, 1 / size) ** power
    plane = np.fft.irfft2(spectrum, s=(size, size)).transpose(1, 2, 0)
    plane = plane / plane.std() @ TO_COLOR.T * 2.5
    return Image.fromarray((255 / (1 + np.exp(-3 * plane))).astype(np.uint8))


def webp(picture: Image.Image, quality: int = 80) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def make_data(
    root: Path, layers: tuple[MadeUpLayer, ...] = LAYERS, pictures: int = 200, size: int = 64, seed: int = 0
) -> Places:
    """Writes the `data` folder of a site and returns its places.

    Args:
        root: Folder of the site.
        layers: The layers.
        pictures: Number of pictures.
        size: Width and height of the renders.
        seed: Seed of all random draws.
    """
    return _Maker(root, layers, pictures, size, np.random.default_rng(seed)).make()


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    return Image.fromarray(np.concatenate([np.asarray(picture) for picture in pictures], 1))


class _Maker:
    def __init__(self, root, layers, pictures, size, draws):
        self.places, self.layers, self.pictures, self.size, self.draws = Places(root), layers, pictures, size, draws
        self.renders = [webp(texture(draws, size)) for _ in range(12)]
        self.wide = [webp(side_by_side([texture(draws, size) for _ in range(4)])) for _ in range(3)]
        photos = [texture(draws, 96, 1.6) for _ in range(30)]
        self.sprites = [self.sprite(photos) for _ in range(6)]
        self.whole = webp(texture(draws, 256, 1.6))

    def sprite(self, photos):
        sprite = Image.new("RGB", (96 * CROPS, 96))
        for column in range(CROPS):
            sprite.paste(photos[self.draws.integers(len(photos))], (96 * column, 0))
        return webp(sprite, 75)

    def write(self, path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def make(self):
        rows = [row for layer in self.layers for row in self.layer(layer)]
        write_units(self.places.root, rows)
        numbers = range(self.pictures)
        write_pictures(self.places.root, [self.picture(number) for number in numbers])
        for number in numbers:
            self.write(self.places.original(number), self.whole)
        write_manifest(self.places.root, self.manifest())
        return self.places

    def picture(self, number):
        label = LABELS[number % len(LABELS)]
        key = f"{label.strip('<>')[:3]}/photo {number}.jpg"
        return {"number": number, "key": key, "label": label, "width": 640, "height": 480}

    def manifest(self):
        names = [layer.name for layer in self.layers]
        return {
            "model": {
                "name": "MadeUp <net>", "source": "made_up:net", "hash": "0123456789abcdef",
                "image_shape": [224, 224, 3], "value_range": [0, 1],
            },
            "preprocessing": {"size": [224, 224], "interpolation": "bilinear", "crop": 0.875},
            "settings": {"quality": "preview", "size": self.size, "steps": 64, "seed": 0, "originals": "small",
                         "tuning": {"orientation": [7.5 * step for step in range(24)], "radius": [3.0, 64.0],
                                    "hue": [15.0 * step for step in range(24)], "frequency": [2.0, 48.0]}},
            "layers": [self.entry(layer) for layer in self.layers],
            "graph": graph(names, {name: self.places.folder(name) for name in names}),
            "techniques": {key: {"title": title, "size": self.size, "steps": 64} for key, title in TECHNIQUES.items()},
            "pictures": self.pictures,
            "problems": {"5": "it is <b>empty</b>"},
            "labels": list(LABELS),
            "credits": {"bir/photo 0.jpg": {"author": "A. <b>Nother</b>", "license": "CC BY 4.0"}},
            "versions": {"lucid_port": "0.1.0", "torch": "2.14"},
        }  # fmt: skip

    def entry(self, layer):
        return {
            "name": layer.name, "folder": self.places.folder(layer.name),
            "units": list(range(layer.units)), "total_units": layer.units,
            "grid": list(layer.grid), "axes": "NCHW", "tokens": None if layer.tokens is None else list(layer.tokens),
            "field": None if layer.field is None else dict(zip(("size", "stride"), layer.field, strict=True)),
            "dtypes": {"max": "float16", "mean": "float16", "place": "uint16"}, "techniques": list(TECHNIQUES),
            "weights": {"counts": [int(2000 * np.exp(-((n - 16) ** 2) / 30)) for n in range(32)],
                        "low": -0.4, "high": 0.4},
            "deepdream": True, "caricatures": ["photo"],
        }  # fmt: skip

    def layer(self, layer):
        places, draws, folder = self.places, self.draws, self.places.layer(layer.name)
        for technique in TECHNIQUES:
            self.write(places.recipe(layer.name, technique), json.dumps({"steps": 64}).encode())
            made = self.wide if technique == "diversity" else self.renders
            for unit in range(layer.units):
                self.write(places.render(layer.name, technique, unit), made[draws.integers(len(made))])
        for unit in range(layer.units):
            self.write(places.crops(layer.name, unit), self.sprites[unit % len(self.sprites)])
        self.write(places.deepdream(layer.name), self.whole)
        self.write(places.caricature(layer.name, "photo"), self.whole)
        cells = layer.grid[0] * layer.grid[1] + len(layer.tokens or ())
        values = draws.gamma(2.0, 2.0, (self.pictures, layer.units)).astype(np.float32)
        values[:, layer.units - 1] = 0  # a dead unit
        place = draws.integers(0, cells, values.shape).astype(np.uint32)
        np.save(folder / "max.npy", values.astype(np.float16))
        np.save(folder / "mean.npy", (values / 3).astype(np.float16))
        np.save(folder / "place.npy", place.astype(np.uint16))
        self.examples(layer, values, place)
        self.details(layer, values)
        return [self.row(layer, unit, values[:, unit]) for unit in range(layer.units)]

    def examples(self, layer, values, place):
        order = np.argsort(-values, 0, kind="stable")
        chosen = {"top": order[:12], "bottom": order[::-1][:5]}
        for q in QUANTILES:
            rank = round((1 - q / 100) * (len(order) - 1))
            chosen[f"quantile {q:g}"] = order[rank : rank + 2]
        arrays = {"dropped": np.zeros(layer.units, np.int32)}
        for name, numbers in chosen.items():
            arrays[f"{name}/numbers"] = np.ascontiguousarray(numbers.T.astype(np.int32))
            arrays[f"{name}/values"] = np.ascontiguousarray(np.take_along_axis(values, numbers, 0).T)
            arrays[f"{name}/places"] = np.ascontiguousarray(np.take_along_axis(place, numbers, 0).T)
        save_file(arrays, self.places.examples(layer.name))

    def details(self, layer, values):
        found = {unit: self.detail(layer, unit, values[:, unit]) for unit in range(layer.units)}
        write_details(self.places.details(layer.name), found)

    def detail(self, layer, unit, values):
        draws = self.draws
        counts, _ = np.histogram(values, 32)
        angles = np.arange(24) / 24 * 2 * np.pi

        def links():
            others = [self.layers[draws.integers(len(self.layers))] for _ in range(8)]
            return [
                [one.name, int(draws.integers(one.units)), float(weight), bool(draws.random() < 0.2),
                 np.round(draws.normal(size=(3, 3)) * weight, 3).tolist()]
                for one, weight in zip(others, sorted(draws.normal(size=8), key=abs, reverse=True), strict=True)
            ]  # fmt: skip

        return {
            "histogram": {"counts": counts.tolist(), "low": float(values.min()), "high": float(values.max())},
            "classes": [[label, 5.0 / (rank + 1)] for rank, label in enumerate(draws.permutation(LABELS).tolist())],
            "tuning": {
                "orientation": (1 + np.cos(angles + unit) + draws.random(24) * 0.2).tolist(),
                "radius": draws.random(10).tolist(),
                "hue": (1 + np.cos(angles + unit)).tolist(),
                "frequency": draws.random(10).tolist(),
            },
            "in": links(), "out": links(),
            "similar": [[one.name, int(draws.integers(one.units)), round(0.9 - 0.05 * n, 3)]
                        for n, one in enumerate([layer, layer, layer, layer, *self.layers])],
            "box": [[128, 48, 448, 368]] * CROPS,
            "cell": [None if layer.tokens and unit % 2 else [240, 160, 320, 240]] * CROPS,
        }  # fmt: skip

    def row(self, layer, unit, values):
        dead = not values.any()
        row = {
            "layer": layer.name, "unit": unit, "maximum": float(values.max()), "mean": float(values.mean()),
            "minimum": float(values.min()), "selectivity": float(self.draws.random()),
            "best_class": str(self.draws.choice(LABELS)), "sparseness": None if dead else float(self.draws.random()),
            "dead": dead, "dropped": 0, "field": 40.0,
        }  # fmt: skip
        return row | {f"value_{name}": float(self.draws.gamma(4, 5)) for name in TECHNIQUES}


def graph(names, folders):
    """A graph with four branches between layers, as Inception has them."""
    nodes = [{"name": "input", "layer": None, "op": "input"}]
    edges, last = [], 0
    for name in names:
        branches = []
        for length in (1, 2, 2, 3):
            at = last
            for number in range(length):
                nodes.append({"name": f"{name}/{length}/{number}", "layer": None, "op": "conv"})
                edges.append([at, len(nodes) - 1])
                at = len(nodes) - 1
            branches.append(at)
        nodes.append({"name": name, "layer": folders[name], "op": "concat"})
        edges += [[at, len(nodes) - 1] for at in branches]
        last = len(nodes) - 1
    return {"nodes": nodes, "edges": edges}
