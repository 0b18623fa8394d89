"""What results, models and layers show of themselves in a notebook and at a prompt."""

import copy
import re

import numpy as np
import pytest

from lucid_port.misc.io import displaying, showing
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.layer import ListedLayers
from lucid_port.optvis import param, render


@pytest.fixture(scope="module")
def model():
    return vision_models.TinyInceptionV1()


@pytest.fixture(scope="module")
def renders(model):
    return render.render_vis(model, "mixed4a:8", lambda: param.image(30, 20, batch=2), thresholds=[0, 3], verbose=False)


def test_renders_show_their_pictures_twice_as_large(renders):
    html = renders._repr_html_()
    assert html.count("<img") == 4
    assert html.count("width: 60px") == 4
    assert "1 update, picture 0" in html
    assert "4 updates, picture 1" in html


def test_the_curve_of_the_objective_is_in_a_fold(renders):
    html = renders._repr_html_()
    assert f"<summary>Objective: {renders.losses[-1]:.4g}</summary>" in html
    points = re.search('points="([^"]*)"', html)[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert len(points) == 4
    # The curve is a straight image of the values, upside down.
    np.testing.assert_allclose(np.corrcoef(heights, renders.losses)[0, 1], -1, atol=1e-3)


def test_copies_and_empty_renders_show_themselves(renders):
    assert copy.deepcopy(renders)._repr_html_().count("<img") == 4
    assert repr(render.Renders()) == "Renders([])"


def test_renders_print_one_line(renders):
    assert repr(renders) == "<Renders: 2 pictures of 2, 20 x 30 x 3, after 1, 4 updates>"


def test_a_curve_leaves_out_what_is_not_finite():
    html = displaying.curve_html([1.0, np.nan, 2.0, np.inf, 3.0], "objective")
    assert len(re.search('points="([^"]*)"', html)[1].split()) == 3


def test_many_renders_show_the_pictures_of_their_folder(model, tmp_path):
    made = render.render_many(model, "mixed4a:3,8", size=24, steps=1, output=tmp_path / "units", verbose=False)
    html = made._repr_html_()
    assert html.count("width: 48px") == 2
    assert "mixed4a:3" in html
    assert repr(made) == f"<ManyRenders: 2 of 2 units, 24 x 24 in {tmp_path / 'units'}>"


def test_many_pictures_are_cut(monkeypatch):
    monkeypatch.setattr(displaying, "MOST", 3)
    html = displaying.pictures_html([np.zeros((4, 4, 3))] * 5, [str(number) for number in range(5)])
    assert html.count("<img") == 3
    assert "and 2 more" in html


def test_models_and_layers_are_tables(model):
    layers = model.layers
    assert isinstance(layers, ListedLayers)
    assert isinstance(layers, tuple)
    html = layers._repr_html_()
    assert html.count("<tr>") == 1 + len(layers)
    assert '<td style="text-align: left;">mixed4a</td>' in html
    whole = model._repr_html_()
    assert "96 x 96 x 3" in whole
    assert html in whole


def test_names_are_escaped():
    assert "<b>" not in displaying.table_html("<b>", ["<b>"], [["<b>"]])


def test_render_lists_lucids_functions():
    assert {"render_many", "render_vis", "make_vis_T", "make_many_T"} <= set(dir(render)) & set(render.__all__)


@pytest.mark.parametrize(("width", "shown"), [(32, 224), (199, 398), (200, None), (512, None)])
def test_a_single_small_picture_is_enlarged_by_a_whole_factor(width, shown):
    assert showing._visible_width(width) == shown


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("Inceptionv1", "InceptionV1"), ("inceptionV1_caffe", "InceptionV1_caffe"), ("VGG19", "VGG19_caffe")],
)
def test_a_models_name_is_corrected(wrong, right):
    with pytest.raises(AttributeError, match=f"Did you mean .*{right}"):
        getattr(vision_models, wrong)
