"""Fetches photographs that Debian ships, with credits, as data for a Microscope.

Run `python benchmarks/photographs.py FOLDER`.
The packages are downloaded by `apt-get download` and unpacked into a temporary folder; nothing is installed. Pictures
become JPEG files of at most 640 pixels in a folder for each kind, beside a `credits.csv`.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

PACKAGES = (
    "gnome-backgrounds",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "tuxpaint-stamps-default",
    "ukui-wallpapers",
)
STAMPS = "usr/share/tuxpaint/stamps"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LONGEST, LEAST = 640, 64
DRAWN = re.compile(r"cartoon|symbols|abstract|/desktop/|screenshot|icon|clipart", re.IGNORECASE)
SIZE = re.compile(r"[-_]?\d{3,4}x\d{3,4}")


def unpacked(package: str, folder: Path) -> Path:
    """Downloads a package, and returns the folder that holds its files."""
    subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True, capture_output=True)
    (archive,) = folder.glob(f"{package}_*.deb")
    target = folder / package
    subprocess.run(["dpkg-deb", "-x", str(archive), str(target)], check=True)
    return target


def pictures_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yields the photographs of a package and their kinds; of one picture in several sizes, the first."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() not in SUFFIXES or path.is_symlink() or DRAWN.search(name):
            continue
        is_stamp = name.startswith(STAMPS)
        parts = name.removeprefix(f"{STAMPS}/").split("/")[:-1]
        kind = "-".join(parts[:2]) if is_stamp else "wallpapers"
        own = path.parent.as_posix() + SIZE.sub("", path.stem) if is_stamp else SIZE.sub("", name.split("contents")[0])
        if own not in seen:
            seen.add(own)
            yield path, kind


def license_of(folder: Path) -> str:
    """Returns the license of most files of a package, as its copyright file states it."""
    (text,) = (path.read_text(encoding="utf-8") for path in folder.glob("usr/share/doc/*/copyright"))
    found = re.findall(r"^License: *(\S+)", text, re.MULTILINE)
    return found[0] if found else "see the package's copyright file"


def save_small(source: Path, target: Path) -> bool:
    """Writes a picture of at most `LONGEST` pixels, transparent parts on white; returns False if it is tiny."""
    with Image.open(source) as picture:
        if min(picture.size) < LEAST:
            return False
        rgba = picture.convert("RGBA")
    rgba.thumbnail((LONGEST, LONGEST))
    white = Image.new("RGBA", rgba.size, "white")
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.alpha_composite(white, rgba).convert("RGB").save(target, quality=90)
    return True


def fetch(output: Path) -> int:
    """Fetches all photographs into a folder, and returns their number."""
    lines = []
    with tempfile.TemporaryDirectory() as name:
        for package in PACKAGES:
            folder = unpacked(package, Path(name))
            license = license_of(folder)
            for path, kind in pictures_in(folder):
                named = SIZE.sub("", path.stem) if path.stem.strip("0123456789x") else path.parents[2].name
                key = f"{kind}/{package}-{re.sub(r'[^A-Za-z0-9]+', '-', named).strip('-').lower()}.jpg"
                if save_small(path, output / key):
                    lines.append((key, f"Debian package {package}", license, f"https://packages.debian.org/{package}"))
    with open(output / "credits.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("picture", "author", "license", "source"), *sorted(set(lines))])
    return len(set(lines))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks/photographs.py", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder for the photographs")
    folder = parser.parse_args().folder
    print(f"{fetch(folder)} photographs in {folder}")


if __name__ == "__main__":
    main()
