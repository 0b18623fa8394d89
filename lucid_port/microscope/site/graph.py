"""Draws a network's graph from top to bottom: layers of the site as labels, other operations as dots.

Runs of operations without branches are one dot. Ranks are longest paths; the order within ranks follows the means of
neighbors (after Sugiyama et al., 1981).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Drawing", "Edge", "Node", "draw_graph"]

MOST = 400
"""Nodes of a drawing; of larger graphs, only the layers of the site are drawn."""
LONGEST = 24
"""Characters of a label."""
CHARACTER, LABEL_HEIGHT, DOT = 7.2, 24.0, 7.0
GAP, SMALL_STEP, LARGE_STEP, MARGIN = 12.0, 17.0, 24.0, 10.0
SWEEPS = 8


@dataclass(frozen=True)
class Node:
    """A node of a drawing.

    Attributes:
        x, y: Its middle.
        width, height: Its size.
        label: Text of a layer; "" of other operations, which are dots.
        title: Name of the layer, or names of the operations.
        folder: Folder of the layer, or None.
    """

    x: float
    y: float
    width: float
    height: float
    label: str
    title: str
    folder: str | None

    @property
    def left(self) -> float:
        """Left side."""
        return round(self.x - self.width / 2, 1)

    @property
    def top(self) -> float:
        """Upper side."""
        return round(self.y - self.height / 2, 1)


@dataclass(frozen=True)
class Edge:
    """A curve of a drawing, as the data of an SVG path."""

    path: str


@dataclass(frozen=True)
class Drawing:
    """A drawing of a graph."""

    width: float
    height: float
    nodes: Sequence[Node]
    edges: Sequence[Edge]


@dataclass
class _Graph:
    """A graph while it is laid out.

    Attributes:
        titles: Names of each node's operations.
        folders: Folder of each node's layer, or None.
        after: Successors of each node.
    """

    titles: list[list[str]] = field(default_factory=list)
    folders: list[str | None] = field(default_factory=list)
    after: list[list[int]] = field(default_factory=list)

    def add(self, titles: list[str], folder: str | None) -> int:
        self.titles.append(titles)
        self.folders.append(folder)
        self.after.append([])
        return len(self.titles) - 1

    def before(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self.after]
        for one, others in enumerate(self.after):
            for other in others:
                found[other].append(one)
        return found


def draw_graph(graph: Mapping[str, Any]) -> Drawing | None:
    """Lays out the graph of a manifest.

    Args:
        graph: "nodes", each with "name", "layer" (folder or None) and "op", and "edges", pairs of numbers of nodes.

    Returns:
        The drawing; None if there is nothing to draw.

    Example:
        >>> nodes = [{"name": name, "layer": None, "op": "conv"} for name in "abc"]
        >>> nodes.append({"name": "d", "layer": "d", "op": "add"})
        >>> drawing = draw_graph({"nodes": nodes, "edges": [[0, 3], [2, 3]]})
        >>> [(node.title, node.y) for node in drawing.nodes]
        [('a', 13.5), ('c', 13.5), ('d', 45.0)]
    """
    whole = _Graph()
    for node in graph["nodes"]:
        whole.add([str(node["name"])], node["layer"])
    order = _forward(whole, graph["edges"])
    small = _joined(whole, order)
    if len(small.titles) > MOST:
        small = _layers_alone(whole, order)
    linked = {end for one, others in enumerate(small.after) for other in others for end in (one, other)}
    small = _kept(small, [node for node, folder in enumerate(small.folders) if folder or node in linked])
    return _laid_out(small) if small.titles else None


def _forward(graph: _Graph, edges: Sequence[Sequence[int]]) -> list[int]:
    """Adds the edges that lead forward in an order of the nodes, and returns the order."""
    after: list[list[int]] = [[] for _ in graph.titles]
    waiting = [0] * len(after)
    for one, other in {(int(a), int(b)) for a, b in edges if a != b}:
        after[one].append(other)
        waiting[other] += 1
    order = [node for node, count in enumerate(waiting) if not count]
    for node in order:  # grows
        for other in sorted(after[node]):
            waiting[other] -= 1
            if not waiting[other]:
                order.append(other)
    there = set(order)
    order += [node for node in range(len(after)) if node not in there]  # nodes of a cycle
    at = {node: rank for rank, node in enumerate(order)}
    for one, others in enumerate(after):
        graph.after[one] = sorted(other for other in others if at[other] > at[one])
    return order


def _joined(graph: _Graph, order: Sequence[int]) -> _Graph:
    """Joins runs of operations that are no layers and have one predecessor and one successor."""
    before, small = graph.before(), _Graph()
    new: dict[int, int] = {}
    for node in order:
        ahead = before[node]
        runs_on = (
            graph.folders[node] is None
            and len(ahead) == 1
            and graph.folders[ahead[0]] is None
            and len(graph.after[ahead[0]]) == 1
        )
        if runs_on:
            new[node] = new[ahead[0]]
            small.titles[new[node]] += graph.titles[node]
        else:
            new[node] = small.add(list(graph.titles[node]), graph.folders[node])
    _connect(graph, small, new)
    return small


def _connect(graph: _Graph, small: _Graph, new: Mapping[int, int]) -> None:
    for one, others in enumerate(graph.after):
        for other in others:
            if new[one] != new[other] and new[other] not in small.after[new[one]]:
                small.after[new[one]].append(new[other])


def _layers_alone(graph: _Graph, order: Sequence[int]) -> _Graph:
    """Returns the graph of layers: an edge wherever a path through other operations leads from one to the other."""
    before, small = graph.before(), _Graph()
    nearest: dict[int, set[int]] = {}
    for node in order:
        sources = set().union(*(nearest[one] for one in before[node]))
        if graph.folders[node] is None:
            nearest[node] = sources
        else:
            own = small.add(list(graph.titles[node]), graph.folders[node])
            nearest[node] = {own}
            for source in sources:
                small.after[source].append(own)
    return small


def _kept(graph: _Graph, nodes: Sequence[int]) -> _Graph:
    small = _Graph()
    new = {node: small.add(graph.titles[node], graph.folders[node]) for node in nodes}
    for node in nodes:
        small.after[new[node]] = [new[other] for other in graph.after[node]]
    return small


def _laid_out(graph: _Graph) -> Drawing:
    rank = _ranks(graph)
    real = len(graph.titles)
    routes: list[list[int]] = []
    for one in range(real):  # long edges go through invisible nodes
        targets = graph.after[one]
        graph.after[one] = []
        for target in targets:
            route = [one]
            for between in range(rank[one] + 1, rank[target]):
                route.append(graph.add([], None))
                rank.append(between)
            route.append(target)
            routes.append(route)
            for start, end in itertools.pairwise(route):
                graph.after[start].append(end)
    rows: list[list[int]] = [[] for _ in range(max(rank) + 1)]
    for node, row in enumerate(rank):
        rows[row].append(node)
    widths = [_width(graph, node, node < real) for node in range(len(rank))]
    x = _columns(graph, rows, widths)
    y, height = _heights(graph, rows)
    left = min(x[node] - widths[node] / 2 for node in range(len(rank))) - MARGIN
    x = [one - left for one in x]
    width = max(x[node] + widths[node] / 2 for node in range(len(rank))) + MARGIN
    nodes = [_node(graph, node, x[node], y[rank[node]], widths[node]) for node in range(real)]
    edges = [Edge(_curve([(x[node], y[rank[node]]) for node in route])) for route in routes]
    return Drawing(round(width, 1), round(height, 1), nodes, edges)


def _ranks(graph: _Graph) -> list[int]:
    """Returns the longest path to each node; sources stand right before their first successor."""
    before = graph.before()
    rank = [0] * len(before)
    waiting = [len(ahead) for ahead in before]
    order = [node for node, count in enumerate(waiting) if not count]
    for node in order:  # grows
        for other in graph.after[node]:
            rank[other] = max(rank[other], rank[node] + 1)
            waiting[other] -= 1
            if not waiting[other]:
                order.append(other)
    for node, ahead in enumerate(before):
        if not ahead and graph.after[node]:
            rank[node] = min(rank[other] for other in graph.after[node]) - 1
    return rank


def _width(graph: _Graph, node: int, is_real: bool) -> float:
    if graph.folders[node]:
        return len(_label(graph, node)) * CHARACTER + 22
    return DOT if is_real else 1.0


def _label(graph: _Graph, node: int) -> str:
    if not graph.folders[node]:
        return ""
    name = graph.titles[node][0]
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2 - 1]}…{name[-LONGEST // 2 :]}"


def _columns(graph: _Graph, rows: list[list[int]], widths: Sequence[float]) -> list[float]:
    """Orders the rows, and returns the middle of each node."""
    before = graph.before()
    x = [0.0] * len(widths)
    for row in rows:
        _place(row, [0.0] * len(row), widths, x)
    for sweep in range(2 * SWEEPS):
        down = sweep % 2 == 0
        sides = before if down else graph.after
        for row in rows if down else rows[::-1]:
            wanted = {node: _mean([x[one] for one in sides[node]], x[node]) for node in row}
            if sweep < SWEEPS:
                row.sort(key=lambda node: wanted[node])
            _place(row, [wanted[node] for node in row], widths, x)
    return x


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _place(row: Sequence[int], wanted: Sequence[float], widths: Sequence[float], x: list[float]) -> None:
    """Places a row as near to the wanted places as order and gaps allow, by least squares (pooled violators)."""
    offsets = [0.0]
    for one, other in itertools.pairwise(row):
        offsets.append(offsets[-1] + (widths[one] + widths[other]) / 2 + GAP)
    blocks: list[tuple[float, int]] = []
    for place, offset in zip(wanted, offsets, strict=True):
        total, count = place - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            last = blocks.pop()
            total, count = total + last[0], count + last[1]
        blocks.append((total, count))
    at = 0
    for total, count in blocks:
        for _ in range(count):
            x[row[at]] = total / count + offsets[at]
            at += 1


def _heights(graph: _Graph, rows: Sequence[Sequence[int]]) -> tuple[list[float], float]:
    """Returns the middle of each row, and the height of the drawing."""
    y: list[float] = []
    top = MARGIN
    for row in rows:
        has_label = any(graph.folders[node] for node in row)
        size = LABEL_HEIGHT if has_label else DOT
        y.append(top + size / 2)
        top += size + (LARGE_STEP if has_label else SMALL_STEP - DOT + GAP / 2)
    last = LABEL_HEIGHT if any(graph.folders[node] for node in rows[-1]) else DOT
    return y, y[-1] + last / 2 + MARGIN


def _node(graph: _Graph, node: int, x: float, y: float, width: float) -> Node:
    folder = graph.folders[node]
    height = LABEL_HEIGHT if folder else DOT
    title = ", ".join(graph.titles[node])
    return Node(round(x, 1), round(y, 1), round(width, 1), height, _label(graph, node), title, folder)


def _curve(spots: Sequence[tuple[float, float]]) -> str:
    """Returns a smooth path through places that lie below each other."""
    parts = [f"M{spots[0][0]:.1f},{spots[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(spots):
        middle = (y0 + y1) / 2
        parts.append(f"C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f} {x1:.1f},{y1:.1f}")
    return "".join(parts)
