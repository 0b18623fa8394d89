"""Crops and whole pictures: equal to direct crops, resumable, without metadata, and with pictures that vanished."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from lucid_port.microscope import crops
from lucid_port.microscope.crops import COUNT, SIDE, CropLayer, crop_boxes, crop_of, picture_rows, write_crops
from lucid_port.microscope.examples import QUANTILES, Chosen, Examples
from lucid_port.microscope.fields import Fields
from lucid_port.microscope.pictures import Pictures
from lucid_port.modelzoo.preprocessing import Preprocessing

UNITS, PICTURES = 3, 20
SIZES = [(61, 47), (40, 90), (96, 96), (700, 333)]
PREPARE = Preprocessing((33, 47), resize=50)
GRID = (5, 7)


def picture(number):
    width, height = SIZES[number % len(SIZES)]
    smooth = np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8)
    return Image.fromarray(smooth).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "photographs"
    place.mkdir()
    for number in range(PICTURES):
        picture(number).save(place / f"{number:02d}.png")
    return place


@pytest.fixture
def pictures(folder):
    return Pictures(folder, PREPARE)


def chosen(k, seed):
    draws = np.random.default_rng(seed)
    numbers = draws.integers(0, PICTURES, (UNITS, k)).astype(np.int32)
    values = draws.random((UNITS, k)).astype(np.float32)
    return Chosen(numbers, values, draws.integers(0, GRID[0] * GRID[1], (UNITS, k)).astype(np.uint32))


def layer(name="a", seed=0, **changes):
    quantiles = {q: chosen(2, seed + at + 2) for at, q in enumerate(QUANTILES)}
    examples = Examples(chosen(12, seed), chosen(5, seed + 1), quantiles, np.zeros(UNITS, np.int32))
    sizes = np.float32([9, 14, 90])
    fields = Fields(name, "places", PREPARE.size, GRID, (7.0, 7.0), (3.5, 3.5), sizes)
    return CropLayer(name, examples, fields, **changes)


def sprite(site, folder, unit):
    return np.asarray(Image.open(site / "data" / folder / "crops" / f"{unit:04d}.webp").convert("RGB"))


def files(site):
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in (site / "data").rglob("*.webp")}


def test_sprites_hold_the_crops_of_the_examples(tmp_path, pictures):
    made = layer()
    found = write_crops(tmp_path / "site", pictures, [made], verbose=False)
    assert (found.made, found.problems) == (UNITS, {})
    for unit in range(UNITS):
        boxes, cells = crop_boxes(made, unit, PREPARE, found.sizes)
        numbers = np.concatenate([made.examples.top.numbers[unit], made.examples.bottom.numbers[unit]])
        numbers = np.concatenate([numbers, *(made.examples.quantiles[q].numbers[unit] for q in QUANTILES)])
        assert len(boxes) == len(cells) == COUNT == len(numbers)
        direct = np.concatenate(
            [np.asarray(crop_of(picture(n), box, cell)) for n, box, cell in zip(numbers, boxes, cells, strict=True)], 1
        )
        assert sprite(tmp_path / "site", "a", unit).shape == (SIDE, SIDE * COUNT, 3)
        stream = io.BytesIO()
        Image.fromarray(direct).save(stream, "WEBP", quality=crops.QUALITY, method=crops.METHOD)
        np.testing.assert_array_equal(sprite(tmp_path / "site", "a", unit), np.asarray(Image.open(stream)))


def test_a_crop_shows_the_pixels_that_the_unit_sees():
    """The strongest cell of a white spot in the prepared image is outlined around the spot in the original."""
    pixels = np.zeros((80, 130, 3), np.uint8)
    pixels[30:36, 90:96] = 255
    original = Image.fromarray(pixels)
    prepare = Preprocessing((33, 47), resize=40)
    prepared = prepare(original)[0]
    place = int(torch.nn.functional.avg_pool2d(prepared[None, None, :30, :42], 6).argmax())
    fields = Fields("a", "places", prepare.size, (5, 7), (6.0, 6.0), (3.0, 3.0), np.float32([14]))
    box, cell = crops._placed(fields.box(0, place), fields.cell(place), prepare, original.size)
    assert cell[0] <= 93 <= cell[2]
    assert cell[1] <= 33 <= cell[3]
    assert box[0] <= cell[0] < cell[2] <= box[2]
    tile = np.asarray(crop_of(original, box))
    y, x = (axis.mean() for axis in np.nonzero(tile[..., 0] > 200))
    scale = SIDE / (box[2] - box[0])
    assert (x, y) == pytest.approx(((93 - box[0]) * scale, (33 - box[1]) * scale), abs=1.5)


def test_the_strongest_cell_is_outlined():
    tile = np.asarray(crop_of(Image.new("RGB", (200, 100), "gray"), (10, 10, 58, 58), (20, 30, 30, 50)))
    assert (tile[41:79, 20] == 255).all()
    assert (tile[41:79, 39] == 255).all()
    assert (tile[40, 21:39] == 255).all()
    assert (tile[79, 21:39] == 255).all()
    assert (tile[39:81, 19] == 0).all()
    assert (tile[45:75, 23:36] == 128).all()


def test_a_box_longer_than_the_picture_is_framed_in_gray():
    tile = np.asarray(crop_of(Image.new("RGB", (20, 10), "red"), (0, 0, 20, 10)))
    assert (tile[:24] == crops.GRAY).all()
    assert (tile[24:72] == (255, 0, 0)).all()
    assert (tile[72:] == crops.GRAY).all()


def test_missing_examples_are_gray(tmp_path, pictures):
    few = layer()
    few.examples.top.numbers[1, 3:] = -1
    write_crops(tmp_path / "site", pictures, [few], verbose=False)
    tile = sprite(tmp_path / "site", "a", 1)[:, 3 * SIDE : 12 * SIDE]
    assert np.abs(tile[:, SIDE:-SIDE].astype(int) - crops.GRAY).max() <= 3
    boxes, cells = crop_boxes(few, 1, PREPARE, dict.fromkeys(range(PICTURES), (50, 50)))
    assert boxes[3:12] == cells[3:12] == [None] * 9


def test_each_picture_is_opened_once(tmp_path, pictures, monkeypatch):
    opened = []
    original = Pictures.original

    def counting(self, number):
        opened.append(number)
        return original(self, number)

    monkeypatch.setattr(Pictures, "original", counting)
    layers = [layer("a"), layer("b", 50)]
    write_crops(tmp_path / "site", pictures, layers, verbose=False)
    wanted = np.unique(np.concatenate([crops.slots_of(one.examples)[0].ravel() for one in layers]))
    assert sorted(opened) == wanted.tolist()
    opened.clear()
    again = write_crops(tmp_path / "site", pictures, layers, verbose=False)
    assert (opened, again.made, sorted(again.sizes)) == ([], 0, wanted.tolist())


def test_whole_pictures_are_written_once_and_at_most_512_px(tmp_path, pictures):
    found = write_crops(tmp_path / "site", pictures, [layer()], verbose=False)
    for number, size in found.sizes.items():
        assert size == SIZES[number % len(SIZES)]
        whole = Image.open(tmp_path / "site" / "data" / "originals" / f"{number}.webp")
        assert whole.size == ((512, 244) if size == (700, 333) else size)
    write_crops(tmp_path / "site", pictures, [layer()], originals="full", verbose=False)
    number = next(number for number, size in found.sizes.items() if size == (700, 333))
    assert Image.open(tmp_path / "site" / "data" / "originals" / f"{number}.webp").size == (700, 333)
    write_crops(tmp_path / "other", pictures, [layer()], originals="none", verbose=False)
    assert not (tmp_path / "other" / "data" / "originals").exists()


def test_no_metadata_is_published(tmp_path, folder):
    for number in range(PICTURES):
        exif = Image.Exif()
        exif[0x010E], exif[0x0112] = "a secret place", 6
        (folder / f"{number:02d}.png").unlink()
        picture(number).save(
            folder / f"{number:02d}.jpg", exif=exif, icc_profile=b"a secret profile", comment=b"secret"
        )
    found = write_crops(tmp_path / "site", Pictures(folder, PREPARE), [layer()], verbose=False)
    assert set(found.sizes.values()) <= {size[::-1] for size in SIZES}, "the pictures are not upright"
    for name, content in files(tmp_path / "site").items():
        assert b"secret" not in content, name
        assert str(folder).encode() not in content, name
        assert not Image.open(io.BytesIO(content)).getexif(), name


def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path, pictures, monkeypatch):
    layers = [layer("a"), layer("b", 50)]
    write_crops(tmp_path / "whole", pictures, layers, verbose=False)
    encode, made = crops._Encoder.__getitem__, []

    def interrupted(self, at):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(at)
        return encode(self, at)

    monkeypatch.setattr(crops._Encoder, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_crops(tmp_path / "site", pictures, layers, verbose=False)
    monkeypatch.setattr(crops._Encoder, "__getitem__", lambda self, at: made.append(at) or encode(self, at))
    made.clear()
    write_crops(tmp_path / "site", pictures, layers, verbose=False)
    assert len(made) == 2
    assert files(tmp_path / "site") == files(tmp_path / "whole")
    assert not (tmp_path / "site" / ".state" / "crops" / "tiles.bin").exists()


def test_groups_of_units_and_worker_processes_give_the_same(tmp_path, pictures, monkeypatch):
    layers = [layer("a"), layer("b", 50)]
    write_crops(tmp_path / "one", pictures, layers, verbose=False)
    monkeypatch.setattr(crops, "GROUP", 2)
    write_crops(tmp_path / "two", pictures, layers, verbose=False)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    monkeypatch.undo()
    write_crops(tmp_path / "three", pictures, layers, workers=2, verbose=False)
    assert files(tmp_path / "one") == files(tmp_path / "three")


def test_other_examples_make_the_sprite_again(tmp_path, pictures):
    write_crops(tmp_path / "site", pictures, [layer()], verbose=False)
    changed = layer()
    changed.examples.top.places[2, 0] += 1
    before = sprite(tmp_path / "site", "a", 2)
    found = write_crops(tmp_path / "site", pictures, [changed], verbose=False)
    assert found.made == 1
    assert (sprite(tmp_path / "site", "a", 2) != before).any()


def test_only_some_units_get_sprites(tmp_path, pictures):
    write_crops(tmp_path / "site", pictures, [layer(units=(2,))], verbose=False)
    assert [path.name for path in (tmp_path / "site" / "data" / "a" / "crops").iterdir()] == ["0002.webp"]


def test_a_vanished_picture_is_named_and_tried_again(tmp_path, folder, pictures):
    number = int(layer().examples.top.numbers[0, 0])
    content = (folder / f"{number:02d}.png").read_bytes()
    (folder / f"{number:02d}.png").unlink()
    found = write_crops(tmp_path / "site", pictures, [layer()], verbose=False)
    assert list(found.problems) == [number]
    assert found.problems[number].startswith(f"{number:02d}.png: ")
    assert str(folder) not in found.problems[number]
    assert number not in found.sizes
    tile = sprite(tmp_path / "site", "a", 0)[8:-8, 8 : SIDE - 8]
    assert np.abs(tile.astype(int) - crops.GRAY).max() <= 3
    (folder / f"{number:02d}.png").write_bytes(content)
    write_crops(tmp_path / "site", pictures, [layer()], verbose=False)
    write_crops(tmp_path / "whole", pictures, [layer()], verbose=False)
    assert files(tmp_path / "site") == files(tmp_path / "whole")


def test_lost_notes_cost_only_time(tmp_path, pictures):
    write_crops(tmp_path / "site", pictures, [layer()], verbose=False)
    before = files(tmp_path / "site")
    (tmp_path / "site" / ".state" / "crops" / "notes.json").write_text('{"sprites": 3')
    assert write_crops(tmp_path / "site", pictures, [layer()], verbose=False).made == UNITS
    assert files(tmp_path / "site") == before


def test_rows_of_pictures_have_sizes_and_labels(tmp_path):
    (tmp_path / "cat").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (31, 17)).save(tmp_path / "cat" / "a.jpg", exif=exif)
    (tmp_path / "cat" / "b.png").write_bytes(b"no picture")
    rows = picture_rows(Pictures(tmp_path, PREPARE), {})
    assert rows == [
        {"number": 0, "key": "cat/a.jpg", "label": "cat", "width": 17, "height": 31},
        {"number": 1, "key": "cat/b.png", "label": "cat", "width": None, "height": None},
    ]
    data = Pictures([(np.zeros((5, 4, 3)), "dog")], PREPARE)
    assert picture_rows(data, {0: (4, 5)})[0]["width"] == 4
    assert picture_rows(data, {}, ["x"])[0] == {"number": 0, "key": "0", "label": "x", "width": None, "height": None}
