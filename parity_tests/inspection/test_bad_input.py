"""Wrong arguments: one sentence each, before the work starts."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from converters import InputSizeError, LayerNotFoundError, MissingPackageError
from lucid_port.inspection import (
    draw_feature_maps,
    feature_maps,
    inspect,
    plot_weights,
    weight_histograms,
)
from parity_tests.attribution.networks import photos

PHOTO = photos(1)[0]


@pytest.fixture(scope="module")
def model(branching):
    return branching[1]


CASES = [
    ({"target": "dgo"}, "No class of the model is called 'dgo'. Did you mean dog?"),
    ({"target": 4}, "has no unit 4: its units are 0 to 3."),
    ({"target": -1}, "A target, if it is not a text, is a whole number from 0 on, not -1."),
    ({"target": "conv2:9"}, "Layer 'conv2' has no unit 9: its units are 0 to 5."),
    ({"target": "conv2"}, "'conv2' is a layer: name one of its units, as in conv2:0."),
    ({"target": "conv2:3[99,0]"}, "Layer 'conv2' has no place [99,0]: it has 19 x 26 places."),
    ({"layers": []}, "layers is empty: name at least one layer, or leave it out."),
    ({"layers": ["conv2", "conv2"]}, "The layer 'conv2' is named twice: name it once."),
    ({"layers": 3}, "layers"),
    ({"photo": photos(2)}, "One picture is inspected at a time, not 2: pass them one by one."),
    ({"photo": np.zeros((19, 26, 5))}, "The picture has 5 channels, and the network takes 3."),
    ({"photo": PHOTO * 255}, "The picture has values from"),
    ({"photo": torch.zeros(2, 19)}, "The picture is a tensor (N, C, H, W) with pixels, not a tensor of shape (2, 19)."),
]


@pytest.mark.parametrize(("arguments", "sentence"), CASES, ids=lambda value: str(value)[:40])
def test_a_wrong_argument(model, arguments, sentence):
    with pytest.raises((ValueError, TypeError)) as raised:
        inspect(model, **{"photo": PHOTO, **arguments})
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_layers_that_do_not_exist(model):
    for arguments in ({"layers": ["conv2", "conv9"]}, {"target": "conv9:3"}):
        with pytest.raises(LayerNotFoundError, match=r"No layer is called 'conv9'\. Did you mean conv"):
            inspect(model, PHOTO, **arguments)
    with pytest.raises(LayerNotFoundError, match="Did you mean conv"):
        feature_maps(model, PHOTO, ["conv9"])


def test_files_that_do_not_exist(model, tmp_path):
    with pytest.raises(FileNotFoundError):
        inspect(model, tmp_path / "none.png")


def test_a_size_that_the_network_does_not_take(tiny):
    with pytest.raises(InputSizeError):
        inspect(tiny, PHOTO, prepare=False)


def test_pictures_of_another_size_are_prepared(tiny):
    found = inspect(tiny, Image.new("RGB", (130, 101)), layers=["mixed3a"])
    assert found.photo.shape == (96, 96, 3)


def test_wrong_arguments_of_the_result(inspected, branching):
    maps = inspected.feature_maps["conv2"]
    with pytest.raises(ValueError, match="Layer 'conv2' has no channel 6: its channels are 0 to 5"):
        maps.heat_map(6, (4, 4))
    with pytest.raises(ValueError, match="Layer 'mean' has no rows and columns"):
        inspected.feature_maps["mean"].heat_map(0, (4, 4))
    with pytest.raises(ValueError, match="count is a whole number from 1 on"):
        maps.strongest(0)
    with pytest.raises(ValueError, match="Layer 'conv9' was not inspected"):
        inspected.gradients.strongest("conv9")
    with pytest.raises(ValueError, match="bins is a whole number from 1 on, not 0"):
        weight_histograms(branching[1], 0)
    with pytest.raises(LayerNotFoundError, match="Did you mean conv2"):
        draw_feature_maps(inspected, "conv9")
    with pytest.raises(LayerNotFoundError, match="Did you mean conv1"):
        plot_weights(inspected, ["conv11"])
    with pytest.raises(ValueError, match="There are no weights to draw"):
        plot_weights(inspected, [])


def test_pages_that_cannot_be_written(inspected, tmp_path):
    """Nothing that the user has is replaced."""
    with pytest.raises(ValueError, match=r"a\.png is no page's name: name a file that ends in \.html, or a folder"):
        inspected.save(tmp_path / "a.png")
    (tmp_path / "own.html").write_text("my page")
    with pytest.raises(FileExistsError, match="is not an earlier page of this command"):
        inspected.save(tmp_path / "own.html")
    with pytest.raises(FileExistsError, match="is a folder that holds something else: name a file in it, as in"):
        inspected.save(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("my site")
    with pytest.raises(FileExistsError, match="is not an earlier page"):
        inspected.save(tmp_path / "site")
    assert (tmp_path / "own.html").read_text() == "my page"
    assert (tmp_path / "site" / "index.html").read_text() == "my site"


def test_matplotlib_is_missing(inspected, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match=r"need the package matplotlib: pip install -e '\.\[plots\]'"):
        draw_feature_maps(inspected, "conv2")
