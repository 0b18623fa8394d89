"""The memory that a picture may use: photographs are read, and small files of many pixels are refused."""

from __future__ import annotations

import io
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lucid_port.misc.io import load
from lucid_port.misc.io.pictures import picture_size, read_picture
from lucid_port.recipes.inputs import load_image


@pytest.mark.parametrize(("mode", "size"), [("1", (13_000, 12_000)), ("L", (6_000, 6_000)), ("RGB", (5_000, 6_000))])
def test_a_small_file_of_a_large_picture_is_refused(tmp_path, mode, size):
    Image.new(mode, size).save(tmp_path / "a.png")
    for read in (load, load_image):
        with pytest.raises(ValueError, match=r"a\.png cannot be read as \.png: its \d+ x \d+ pixels need \d+ MB"):
            read(tmp_path / "a.png")


def test_the_memory_of_a_picture_is_bounded_by_its_file(tmp_path, monkeypatch):
    pixels = np.random.RandomState(0).randint(0, 256, (300, 401, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    Image.new("RGB", (401, 300)).save(tmp_path / "black.png")
    monkeypatch.setattr("lucid_port.misc.io.pictures.MEMORY", 1000)
    assert load(tmp_path / "noise.png").shape == (300, 401, 3)
    with pytest.raises(ValueError, match="make the picture smaller"):
        load(tmp_path / "black.png")


def _photograph(path: Path, width: int, height: int) -> None:
    """A JPEG of repeated noise, with about as many bytes for each pixel as a photograph has."""
    noise = np.random.RandomState(0).randint(100, 156, (height // 50, width // 50, 3)).astype(np.uint8)
    Image.fromarray(np.tile(noise, (50, 50, 1))).save(path, quality=50)


def test_a_photograph_of_50_megapixels_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    _photograph(path, 8000, 6250)
    assert 0.1 < path.stat().st_size / 50e6 < 0.6
    assert load(path).shape == (6250, 8000, 3)
    tracemalloc.start()
    try:
        assert load_image(path, (75, 96)).shape == (75, 96, 3)
        floats = 4 * 3 * 50e6
        assert tracemalloc.get_traced_memory()[1] < floats / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [(10_000, 10_000), (13_000, 13_000)])
def test_pillow_does_not_warn_of_pictures_that_are_checked_here(tmp_path, size):
    Image.new("1", size).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"need \d+ MB of memory"):
            load_image(tmp_path / "a.png", 8)


def test_pictures_are_converted_in_parts_of_rows():
    pixels = np.random.RandomState(0).randint(0, 256, (131, 7, 3)).astype(np.uint8)
    assert np.array_equal(load_image(Image.fromarray(pixels)), pixels.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("size", [(10_000_000, 1), (1, 10_000_000)])
def test_the_memory_of_a_long_row_is_counted(tmp_path, size):
    """A row is converted as a whole: 10 million pixels with 16 bytes each are allowed, and their row needs more."""
    Image.new("L", size).save(tmp_path / "row.png")
    for read in (load, lambda path: load(path, size=(3, 4)), load_image):
        with pytest.raises(ValueError, match=r"row\.png cannot be read as \.png: its \d+ x \d+ pixels need \d+ MB"):
            read(tmp_path / "row.png")
    assert read_picture(tmp_path / "row.png").size == size


@pytest.mark.parametrize("way", ["path", "handle"])
def test_a_png_that_states_a_chunk_of_gigabytes_takes_no_more_memory_than_its_file(tmp_path, way):
    pixels = np.random.RandomState(0).randint(0, 256, (9, 14, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    place = data.index(b"IDAT") - 4
    data[place : place + 4] = (2**31 - 1).to_bytes(4, "big")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert picture_size(path) == (14, 9)
    tracemalloc.start()
    try:
        if way == "path":
            assert np.array_equal(np.asarray(read_picture(path)), pixels)
        else:
            with path.open("rb") as file:
                assert load(file).shape == (9, 14, 3)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
