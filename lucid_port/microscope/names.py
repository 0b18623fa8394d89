"""Names of the files of a site: folders of layers, and the place of each file."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from converters.paths import user_path
from converters.signatures import checked

__all__ = ["RESERVED", "Places", "layer_folder"]

DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
)
"""Names that Windows takes for devices, also with a suffix."""

RESERVED = DEVICES | frozenset(
    {"data", "assets", ".state", "index.html", "404.html", "style.css", "script.js", "search-index.js"}
    | {"notes.toml", "credits.toml", "credits.csv"}
)
"""Names at the root of a site that no layer may have: the site's own files, and those that Windows does not take."""

LONGEST = 80
"""Characters of a layer's name that its folder keeps."""


@checked
def layer_folder(name: str) -> str:
    """Returns a name for a layer's folder that all file systems take and no other layer has.

    Example:
        >>> layer_folder("mixed4a"), layer_folder("inception_3a/1x1")
        ('mixed4a', 'inception_3a_1x1-a3afa392')
        >>> layer_folder("data")
        'data-3a6eb079'
    """
    plain = re.sub(r"[^a-z0-9_.-]+", "_", name)[:LONGEST].strip(".")
    is_device = plain.partition(".")[0] in DEVICES  # Windows takes neither "con" nor "con.txt"
    is_safe = plain == name != "" and plain not in RESERVED and not is_device
    plain = plain.replace(".", "_") if is_device else plain
    return plain if is_safe else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def render_name(unit: int) -> str:
    """Returns the name of a unit's render in the folder of its technique."""
    return f"{unit:04d}.webp"


@checked
@dataclass(frozen=True)
class Places:
    """The place of each file of a site.

    Layers are given by their names, not by their folders.

    Attributes:
        root: The site's folder.
        folders: Layer -> folder, for layers whose folder is not `layer_folder(name)`.

    Example:
        >>> places = Places("site")
        >>> places.render("mixed4a", "channel", 45).as_posix()
        'site/data/mixed4a/renders/channel/0045.webp'
    """

    root: Path
    folders: dict[str, str] = field(default_factory=dict)

    def __init__(self, root: str | os.PathLike[str], folders: dict[str, str] | None = None) -> None:
        object.__setattr__(self, "root", user_path(root))
        object.__setattr__(self, "folders", dict(folders or {}))

    def folder(self, layer: str) -> str:
        """Returns the name of a layer's folder."""
        return self.folders.get(layer) or layer_folder(layer)

    # Pages -------------------------------------------------------------------------------------

    @property
    def index(self) -> Path:
        return self.root / "index.html"

    @property
    def missing_page(self) -> Path:
        return self.root / "404.html"

    def page(self, layer: str, unit: int | None = None) -> Path:
        """Returns the page of a layer, or of a unit."""
        return self.root / self.folder(layer) / ("index.html" if unit is None else f"{unit}.html")

    def redirect(self, layer: str) -> Path:
        """Returns the page at the address that a layer has in OpenAI's Microscope."""
        return self.root / f"{self.folder(layer)}_0" / "index.html"

    def assets(self, layer: str | None = None) -> Path:
        """Returns the folder of scripts, styles and sprites, or that of a layer."""
        return self.root / "assets" if layer is None else self.root / "assets" / self.folder(layer)

    @property
    def notes(self) -> Path:
        return self.root / "notes.toml"

    # Data --------------------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def manifest(self) -> Path:
        return self.data / "manifest.json"

    @property
    def pictures(self) -> Path:
        return self.data / "pictures.parquet"

    @property
    def units(self) -> Path:
        return self.data / "units.parquet"

    def original(self, number: int) -> Path:
        """Returns the copy of a whole picture."""
        return self.data / "originals" / f"{number}.webp"

    def layer(self, layer: str) -> Path:
        """Returns the folder of a layer's data."""
        return self.data / self.folder(layer)

    def array(self, layer: str, part: str) -> Path:
        """Returns the file of pooled activations: part is "max", "mean" or "place"."""
        return self.layer(layer) / f"{part}.npy"

    def examples(self, layer: str) -> Path:
        return self.layer(layer) / "examples.safetensors"

    def details(self, layer: str) -> Path:
        return self.layer(layer) / "details.json"

    def renders(self, layer: str, technique: str) -> Path:
        """Returns the folder of a technique's pictures."""
        return self.layer(layer) / "renders" / technique

    def render(self, layer: str, technique: str, unit: int) -> Path:
        return self.renders(layer, technique) / render_name(unit)

    def recipe(self, layer: str, technique: str) -> Path:
        return self.renders(layer, technique) / "recipe.json"

    def crops(self, layer: str, unit: int) -> Path:
        return self.layer(layer) / "crops" / f"{unit:04d}.webp"

    def maps(self, layer: str, unit: int) -> Path:
        return self.layer(layer) / "maps" / f"{unit:04d}.webp"

    def deepdream(self, layer: str) -> Path:
        return self.layer(layer) / "deepdream.webp"

    def caricature(self, layer: str, picture: str) -> Path:
        return self.layer(layer) / "caricatures" / f"{picture}.webp"

    # Working files -----------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        return self.root / ".state"

    @property
    def pooled(self) -> Path:
        """Folder of the shards of pooled activations."""
        return self.state / "pooled"

    @property
    def settings(self) -> Path:
        return self.state / "settings.json"

    def task(self, part: str, layer: str, name: str) -> Path:
        """Returns the folder of a task's working files; part is "renders/channel", "links", ..."""
        head, _, tail = part.partition("/")
        return self.state / head / self.folder(layer) / tail / name
