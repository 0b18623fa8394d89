"""The page, and Matplotlib's figures."""

from __future__ import annotations

import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from lucid_port.inspection import (
    draw_feature_maps,
    draw_filters,
    inspect,
    plot_classes,
    plot_gradients,
    plot_statistics,
    plot_weights,
)
from lucid_port.inspection.charts import line_chart
from lucid_port.misc.convert_matplotlib import matplotlib_to_numpy
from parity_tests.attribution.networks import photos


class Page(HTMLParser):
    """The elements of a page, checked to be closed."""

    VOID = ("meta", "link", "img", "br", "wbr", "line")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def page(inspected):
    return Page(inspected.html(count=3))


def test_a_page_is_one_file(page):
    """It loads nothing: pictures are in it, there are no scripts, and links lead to its own parts."""
    assert {"script", "iframe", "object"}.isdisjoint(tag for tag, _ in page.found)
    for tag, attributes in page.found:
        for name in ("src", "href", "srcset", "xlink:href", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
        assert not any(name.startswith("on") for name in attributes)
    style = "".join(page.texts)
    assert "url(" not in style
    assert "@import" not in style


def test_links_lead_to_parts(page):
    parts = {attributes["id"] for _, attributes in page.found if "id" in attributes}
    links = {attributes["href"][1:] for attributes in page.all("a")}
    assert links <= parts
    assert parts >= {"pixels", "depth", "layers", "weights", *(f"layer-{at}" for at in range(1, 6))}


def test_pictures_have_texts_and_sizes(page):
    assert len(page.all("img")) > 10
    for attributes in page.all("img"):
        assert attributes["alt"]
        assert int(attributes["width"]) > 0
        assert int(attributes["height"]) > 0
    assert all(attributes["aria-label"] for attributes in page.all("svg"))


def test_a_page_has_all_layers(page, inspected):
    text = " ".join(page.texts)
    assert all(name in text for name in (*inspected.layers, *inspected.weights))
    for layer in ("relu", "conv2", "add"):
        shown = [one["alt"] for one in page.all("img") if one["alt"].startswith(f"Activation of {layer}:")]
        wanted = inspected.feature_maps[layer].strongest(3)
        assert shown == [f"Activation of {layer}:{channel} over the picture" for channel in wanted]
    assert "dog" in text
    assert "tabby" in text
    assert "tabby cat" not in text  # the first of the synonyms


def test_names_are_escaped(inspected):
    Page(inspected.html(title="<script>alert(1)</script>", command="a <b> & c"))
    assert "<script>" not in inspected.html(title="<script>")


def test_icons_are_renders_of_the_channels_on_the_page(inspected):
    made = inspected.icons(1, steps=1, size=12)
    wanted = [f"{layer}:{inspected.feature_maps[layer].strongest(1)[0]}" for layer in inspected.layers]
    assert [one.name for one in made] == wanted
    page = Page(inspected.html(icons=True, count=1, steps=1, size=12))
    assert [one["alt"] for one in page.all("img") if one["alt"].startswith("Render")] == [
        f"Render of {name}" for name in wanted
    ]


def test_saved_pages(inspected, tmp_path, capsys):
    first = inspected.save(tmp_path / "new" / "a.html")
    assert first.read_text(encoding="utf-8") == inspected.html()
    assert inspected.save(first) == first  # an earlier page is replaced
    assert inspected.save(tmp_path / "folder") == tmp_path / "folder" / "index.html"
    assert inspected.save(tmp_path / "folder") == tmp_path / "folder" / "index.html"
    (tmp_path / "own.html").write_text("mine")
    assert inspected.save(tmp_path / "own.html", overwrite=True).read_bytes()[:15] == b"<!doctype html>"
    inspected.show()
    assert capsys.readouterr().out == f"{inspected!r}\n"


def test_a_notebook_shows_the_page_in_a_frame(inspected):
    """Its styles stay inside."""
    (frame,) = Page(inspected._repr_html_()).all("iframe")
    assert frame["srcdoc"] == inspected.html()


def test_values_that_are_not_finite():
    from lucid_port.modelzoo.from_torch import from_torch

    class Broken(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(torch.log(x - 0.5)).mean((2, 3))

    model = from_torch(Broken(), (0, 1), image_shape=(19, 26, 3))
    found = inspect(model, photos(1)[0], 1, ["conv"])
    assert "% of the values are NaN or infinite" in found.html()


def test_charts_break_where_there_is_no_value():
    chart = line_chart("a", {"one": [1.0, 0.0, 100.0, 10.0], "two": [None, float("nan"), None, 5.0]})
    assert chart.lines["one"][0].count("M") == 2
    assert [dot.layer for dot in chart.lines["one"][1]] == [0, 2, 3]
    assert chart.lines["one"][1][0].y > chart.lines["one"][1][2].y > chart.lines["one"][1][1].y
    assert [dot.layer for dot in chart.lines["two"][1]] == [3]
    assert line_chart("a", {"one": [None, 0.0]}) is None
    assert line_chart("a", {"one": [0.0, 1.0]}, "share").lines["one"][1][0].y == 178


# Matplotlib --------------------------------------------------------------------------------------


def test_figures(inspected):
    before = "matplotlib.pyplot" in sys.modules
    figures = [
        plot_classes(inspected),
        draw_feature_maps(inspected, "conv2", 4),
        plot_statistics(inspected),
        plot_gradients(inspected),
        plot_weights(inspected),
        draw_filters(inspected),
    ]
    assert ("matplotlib.pyplot" in sys.modules) == before
    for figure in figures:
        pixels = matplotlib_to_numpy(figure)
        assert np.ptp(pixels[..., :3]) > 0.5
    assert [len(figure.axes) for figure in figures] == [1, 4, 2, 2, 4, 6]
    widths = [patch.get_width() for patch in figures[0].axes[0].patches]
    np.testing.assert_allclose(widths, [one.probability for one in inspected.top_classes])
    means = figures[3].axes[1].lines[0].get_ydata()
    np.testing.assert_allclose(means[:3], [inspected.gradients.means[name] for name in inspected.layers[:3]])
    titles = [plot.get_title() for plot in figures[1].axes]
    assert [int(one.split(":")[0]) for one in titles] == inspected.feature_maps["conv2"].strongest(4)
