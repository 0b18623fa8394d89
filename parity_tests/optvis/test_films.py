"""Films of renders: even frames, and files."""

import itertools

import numpy as np
import pytest
from PIL import Image

from converters.errors import MissingPackageError
from lucid_port.misc.io import films
from lucid_port.misc.io.films import even_frames, save_film
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import films as recording
from lucid_port.optvis import param, render
from lucid_port.optvis.recipe_files import read_recipe


def differences(frames):
    return np.array([np.sqrt(((a - b) ** 2).mean()) for a, b in itertools.pairwise(frames)])


def spread(frames):
    found = differences(frames)
    return (found.max() - found.min()) / found.mean()


@pytest.fixture(scope="module")
def made():
    film = recording.FilmFrames(12)
    renders = render.render_vis(
        TinyInceptionV1(), "mixed4a:45", lambda: param.image(41, 50), thresholds=[255], callbacks=[film], verbose=False
    )
    return film, renders


def test_frames_of_a_render_differ_equally(made):
    frames = made[0].frames()
    assert len(frames) == 12
    assert spread(frames) < 0.2
    np.testing.assert_allclose(frames[-1], made[1][-1][0], atol=0.51 / 255)  # whole levels: half of one


def test_equal_numbers_of_steps_would_not(made):
    kept = [frame / 255 for frame in made[0]._kept]
    assert spread([kept[at] for at in np.linspace(0, len(kept) - 1, 12).astype(int)]) > 0.5


@pytest.mark.parametrize("name", ["unit.gif", "unit.webp", "unit.mp4"])
def test_files(made, name, tmp_path):
    frames = made[0].frames()
    path = save_film(frames, tmp_path / "new" / name)
    if name.endswith("mp4"):
        read = pytest.importorskip("imageio_ffmpeg").read_frames(str(path))
        about = next(read)
        assert about["source_size"] == (42, 50)
        count = sum(1 for _ in read)
        assert count == len(frames) + films.HOLD - 1
        return
    film = Image.open(path)
    assert (film.n_frames, film.size) == (12, (41, 50))
    assert film.info["loop"] == 0
    film.seek(11)
    last = np.asarray(film.convert("RGB")) / 255
    assert np.sqrt(((last - frames[-1]) ** 2).mean()) < 0.08


def test_frames_of_a_webp_differ_equally(made, tmp_path):
    film = Image.open(save_film(made[0].frames(), tmp_path / "unit.webp"))
    read = []
    for number in range(film.n_frames):
        film.seek(number)
        read.append(np.asarray(film.convert("RGB")) / 255)
    assert spread(read) < 0.2


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(recording, "MOST_BYTES", 41 * 41 * 3 * 20)
    film = recording.FilmFrames(3)
    render.render_vis(
        TinyInceptionV1(), "mixed3a:4", lambda: param.image(41), thresholds=[99], callbacks=[film], verbose=False
    )
    assert len(film._kept) <= 21
    assert len(film.frames()) == 3


def test_a_short_render_has_few_frames():
    assert even_frames([np.zeros(3)] * 2, 5) == [0, 1]


def test_pictures_that_do_not_change_have_distinct_frames():
    assert even_frames([np.zeros(3)] * 9, 4) == [0, 1, 2, 8]


@pytest.mark.parametrize("shape", [(300, 300, 3), (16, 17, 1)])
def test_large_pictures_are_sampled(shape):
    start = np.random.default_rng(0).random(shape)
    pictures = [start * (1 - at) for at in (0, 0.5, 0.9, 0.99, 1)]
    assert even_frames(pictures, 3) == [0, 1, 4]


def test_renders_save_films(tmp_path):
    made = render.render_vis(
        TinyInceptionV1(), "mixed3a:4", lambda: param.image(32), thresholds=range(6), verbose=False
    )
    assert Image.open(made.save(tmp_path / "x.webp")).n_frames == 6
    assert Image.open(made.save(tmp_path / "x.gif")).n_frames == 6
    assert Image.open(made.save(tmp_path / "one.webp", index=-1)).n_frames == 1
    assert read_recipe(tmp_path / "x.gif").steps == 6
    assert read_recipe(tmp_path / "x.webp").steps == 6


def test_wrong_names(tmp_path):
    with pytest.raises(ValueError, match=r"films end in \.gif, \.webp, \.mp4"):
        save_film([np.zeros((4, 4, 3))], tmp_path / "film.avi")
    with pytest.raises(ValueError, match="one size"):
        save_film([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))], tmp_path / "film.gif")


def test_mp4_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingPackageError, match=r"pip install imageio-ffmpeg, or name a \.gif or \.webp file"):
        save_film([np.zeros((4, 4, 3))], tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()
