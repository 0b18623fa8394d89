"""Geometry of the drawings: graphs, histograms, curves, kernels, and the order of similar units."""

from __future__ import annotations

import base64
import io
import itertools

import numpy as np
import pytest
from PIL import Image

from lucid_port.microscope.site.charts import bars, curve_points, kernel_picture, number, polar_points
from lucid_port.microscope.site.content import Curve, Histogram
from lucid_port.microscope.site.graph import MOST, draw_graph
from lucid_port.microscope.site.read import joined_histogram, similarity_order


def graph_of(names: str, edges: list[tuple[int, int]]) -> dict:
    """A graph whose capital letters are layers."""
    nodes = [{"name": name, "layer": name.lower() if name.isupper() else None, "op": "x"} for name in names]
    return {"nodes": nodes, "edges": edges}


def test_edges_lead_down_and_nodes_of_a_row_do_not_overlap():
    draws = np.random.default_rng(0)
    names = "".join(draws.choice(list("aB"), 40))
    edges = [(int(draws.integers(end)), end) for end in range(1, 40) for _ in range(2)]
    drawing = draw_graph(graph_of(names, edges))
    rows: dict[float, list] = {}
    for node in drawing.nodes:
        rows.setdefault(node.y, []).append(node)
        assert node.left >= 0
        assert node.left + node.width <= drawing.width
        assert 0 < node.y < drawing.height
    for row in rows.values():
        row.sort(key=lambda node: node.x)
        assert all(one.left + one.width < other.left for one, other in itertools.pairwise(row))
    for edge in drawing.edges:
        first, last = edge.path.split("C")[0], edge.path.split()[-1]
        assert float(first.split(",")[1]) < float(last.split(",")[1])


def test_runs_of_operations_are_one_dot():
    drawing = draw_graph(graph_of("AbcdE", [(0, 1), (1, 2), (2, 3), (3, 4)]))
    assert [node.title for node in drawing.nodes] == ["A", "b, c, d", "E"]


def test_branches_stay_apart():
    drawing = draw_graph(graph_of("AbcD", [(0, 1), (0, 2), (1, 3), (2, 3)]))
    assert len({node.x for node in drawing.nodes if not node.folder}) == 2
    assert len({node.x for node in drawing.nodes if node.folder}) == 1


def test_a_cycle_is_drawn_without_its_edges_back():
    assert len(draw_graph(graph_of("ABC", [(0, 1), (1, 2), (2, 1)])).nodes) == 3


def test_large_graphs_are_drawn_as_layers_alone():
    names = "A" + "b" * (2 * MOST) + "C"
    edges = [(0, at) for at in range(1, 2 * MOST + 1)] + [(at, 2 * MOST + 1) for at in range(1, 2 * MOST + 1)]
    drawing = draw_graph(graph_of(names, edges))
    assert [node.title for node in drawing.nodes] == ["A", "C"]
    assert len(drawing.edges) == 1


def test_an_empty_graph_has_no_drawing():
    assert draw_graph({"nodes": [], "edges": []}) is None


def test_empty_bins_have_no_bar_and_rare_ones_stay_visible():
    path = bars(Histogram([1000, 0, 1], 0, 3), 0, 3, 30, 50)
    assert path.count("M") == 2
    assert path.endswith("M20,50V49H30V50Z")


def test_curves_and_kernels_of_zeros_are_drawn():
    assert curve_points(Curve("radius", [0.0, 0.0]), 10, 10) == "0,10 10,10"
    assert polar_points(Curve("hue", [0.0, 0.0], polar=True), 10) == "0,-0 -0,-0"
    assert kernel_picture([[0.0]])[1] == (1, 1)


def test_kernels_show_sign_by_color_and_magnitude_by_opacity():
    address, shape = kernel_picture([[2.0, -1.0, None]])
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    assert shape == (1, 3)
    assert pixels[0, :, 3].tolist() == [255, 128, 0]
    assert pixels[0, 0, 0] > pixels[0, 0, 2]
    assert pixels[0, 1, 2] > pixels[0, 1, 0]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (-1234.6, "−1,235"), (1e9, "1e+09"), (float("nan"), "–")])
def test_numbers(value, text):
    assert number(value) == text


def test_similar_units_are_neighbors_in_the_order():
    details = {
        0: {"similar": [("a", 3, 0.9), ("b", 1, 1.0)]},
        1: {"similar": [("a", 2, 0.8)]},
        2: {"similar": [("a", 1, 0.8)]},
        3: {"similar": [("a", 0, 0.9)]},
    }
    order = similarity_order("a", details, {0: 5.0, 1: 4.0, 2: 9.0, 3: None})
    assert sorted(order, key=order.get) == [2, 1, 0, 3]


def test_the_histogram_of_a_layer_counts_every_picture_of_every_unit():
    joined = joined_histogram([Histogram([3, 1], 0, 2), Histogram([0, 5], -4, 4), Histogram([], 0, 0)])
    assert (joined.low, joined.high, joined.total) == (-4, 4, 9)
    assert joined_histogram([Histogram([0], 0, 0)]) is None
