"""Matrices of cameras and projections, and points in homogeneous coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.misc.io.serialize_array import to_array
from lucid_port.misc.tensors import ArrayLike

__all__ = [
    "anorm",
    "distances",
    "homotrans",
    "lookat",
    "normalize",
    "perspective",
    "sample_view",
    "turned_view",
    "view_from",
]

_VIEWS = np.random.default_rng(0)
"""Generator of views for calls that pass none."""


@checked
def perspective(fovy: float, aspect: float, znear: float, zfar: float) -> np.ndarray:
    """Returns the matrix of a perspective projection, for row vectors: `position @ matrix`.

    Args:
        fovy: Vertical field of view in degrees, above 0 and below 180.
        aspect: Width divided by height.
        znear: Distance of the near plane, above 0.
        zfar: Distance of the far plane, above `znear`.

    Returns:
        float32 [4, 4].

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> perspective(90, 2, 0.5, 1.5)
        array([[ 0.5,  0. ,  0. ,  0. ],
               [ 0. ,  1. ,  0. ,  0. ],
               [ 0. ,  0. , -2. , -1. ],
               [ 0. ,  0. , -1.5,  0. ]], dtype=float32)
    """
    checks.number(fovy, "perspective's fovy", above=0)
    if fovy >= 180:
        raise ValueError(f"perspective's fovy is an angle below 180 degrees, not {fovy}.")
    checks.number(aspect, "perspective's aspect", above=0)
    checks.number(znear, "perspective's znear", above=0)
    checks.number(zfar, "perspective's zfar", above=znear)
    scale = 1 / np.tan(np.radians(fovy) / 2)
    depth = znear - zfar
    rows = [
        [scale / aspect, 0, 0, 0],
        [0, scale, 0, 0],
        [0, 0, (znear + zfar) / depth, -1],
        [0, 0, 2 * znear * zfar / depth, 0],
    ]
    return np.array(rows, np.float32)


@checked
def anorm(x: ArrayLike, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> np.ndarray:
    """Returns the Euclidean norm along axes, by default of all values.

    Raises:
        ValueError: The array has no such axis, or an axis is named twice.

    Example:
        >>> float(anorm([3.0, 4.0]))
        5.0
    """
    values = _numbers(x, "anorm's x")
    return np.asarray(np.sqrt((values * values).sum(axis=_axes(axis, values.ndim), keepdims=keepdims)))


def _axes(axis: int | Sequence[int] | None, rank: int) -> tuple[int, ...] | None:
    """Returns the axes of an array of a rank; None for all.

    Raises:
        ValueError: The array has no such axis, or one is named twice.
    """
    if axis is None:
        return None
    given = checks.items([axis] if np.ndim(axis) == 0 else axis, "axis", "axes")
    axes = tuple(checks.whole(one, "Each axis", -rank, rank - 1) for one in given)
    if len({one % rank for one in axes}) < len(axes):
        raise ValueError(f"axis names an axis twice: {checks.shown(axis)}.")
    return axes


def _numbers(values: ArrayLike, what: str) -> np.ndarray:
    """Returns an array after a check that it holds real numbers."""
    array = to_array(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} is an array of real numbers, not {checks.shown(values)}.")
    return array


@checked
def normalize(v: ArrayLike, axis: int | Sequence[int] | None = None, eps: float = 1e-10) -> np.ndarray:
    """Divides by the Euclidean norm along axes, or by `eps` where the norm is smaller.

    Example:
        >>> normalize([[3.0, 4.0], [0.0, 2.0]], axis=1)
        array([[0.6, 0.8],
               [0. , 1. ]])
    """
    return to_array(v) / np.maximum(anorm(v, axis=axis, keepdims=True), eps)


@checked
def lookat(eye: ArrayLike, target: ArrayLike = (0, 0, 0), up: ArrayLike = (0, 1, 0)) -> np.ndarray:
    """Returns the matrix from coordinates of the world to those of a camera, for column vectors: `matrix @ position`.

    The camera looks along its negative z axis, and its y axis points up.

    Args:
        eye: Position of the camera.
        target: The point in the middle of the picture.
        up: Direction that is up in the picture. If it is the direction of view, another axis is taken.

    Returns:
        float32 [4, 4].

    Raises:
        ValueError: An argument does not consist of three finite numbers, or `eye` is `target`.

    Example:
        >>> homotrans(lookat([0, 0, 5]), [0, 0, 0])
        array([ 0.,  0., -5.,  1.])
    """
    place, middle, above = (
        _vector(one, f"lookat's {name}") for one, name in ((eye, "eye"), (target, "target"), (up, "up"))
    )
    if not (place != middle).any():
        raise ValueError(f"lookat's eye and target are one point, {place.tolist()}: move the eye.")
    forward = normalize(middle - place)
    side = np.cross(forward, above)
    if anorm(side) <= 1e-6 * max(float(anorm(above)), 1e-30):
        side = np.cross(forward, np.roll(np.eye(3)[np.argmax(abs(forward))], 1))
    side = normalize(side)
    rotation = np.stack([side, np.cross(side, forward), -forward])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, -rotation @ place
    return matrix.astype(np.float32) + np.float32(0)  # no negative zeros


def _vector(value: ArrayLike, what: str) -> np.ndarray:
    checks.finite_values(value, what)
    vector = np.asarray(value, np.float64)
    if vector.shape != (3,):
        raise ValueError(f"{what} is three numbers, not {checks.shown(value)}.")
    return vector


@checked
def view_from(direction: ArrayLike, distance: float) -> np.ndarray:
    """Returns the matrix of a camera that looks at the origin, see `lookat`.

    Args:
        direction: Direction of the camera from the origin; its length does not matter.
        distance: Distance of the camera from the origin, above 0.

    Raises:
        ValueError: The direction is zero, or the distance is not above 0.

    Example:
        >>> view_from([0, 0, 2], 5)[2]
        array([ 0.,  0.,  1., -5.], dtype=float32)
    """
    place = _vector(direction, "view_from's direction")
    if not place.any():
        raise ValueError("view_from's direction is zero: name a direction from the origin to the camera.")
    return lookat(normalize(place) * checks.number(distance, "view_from's distance", above=0))


@checked
def sample_view(
    min_dist: float, max_dist: float | None = None, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Draws the matrix of a camera that looks at the origin from a random direction, see `lookat`.

    Args:
        min_dist: Least distance from the origin, above 0.
        max_dist: Greatest distance; `min_dist` by default.
        generator: Source of the draws. By default, a generator of this module is used, which starts with seed 0, so
            that calls give different views. NumPy's global state is neither read nor changed.

    Returns:
        float32 [4, 4].

    Raises:
        ValueError: A distance is not above 0, or `max_dist` is below `min_dist`.

    Example:
        >>> view = sample_view(2, 3, np.random.default_rng(7))
        >>> bool(2 <= anorm(view[:3, 3]) <= 3)
        True
    """
    near, far = distances(min_dist, min_dist if max_dist is None else max_dist)
    random = _VIEWS if generator is None else generator
    distance = near + (far - near) * random.uniform()
    return view_from(random.normal(size=3), distance)


def distances(least: float, most: float) -> tuple[float, float]:
    """Checks the least and the greatest distance of a camera, and returns them.

    Raises:
        ValueError: A distance is not above 0, or the greatest is below the least.
    """
    near = checks.number(least, "The least distance of a view", above=0)
    far = checks.number(most, "The greatest distance of a view", above=0)
    if far < near:
        raise ValueError(f"The greatest distance of a view, {far}, is below the least, {near}.")
    return float(near), float(far)


@checked
def turned_view(turn: float, distance: float, elevation: float = 20.0) -> np.ndarray:
    """Returns the matrix of a camera on a circle around the vertical axis, which looks at the origin; see `lookat`.

    Args:
        turn: Position on the circle, in turns: 0 is in front, 0.25 on the right.
        distance: Distance from the origin.
        elevation: Angle above the horizontal plane in degrees.

    Example:
        >>> turned_view(0, 5, elevation=0)[2]
        array([ 0.,  0.,  1., -5.], dtype=float32)
    """
    around, above = 2 * np.pi * turn, np.radians(elevation)
    flat = np.cos(above)
    return view_from([np.sin(around) * flat, np.sin(above), np.cos(around) * flat], distance)


@checked
def homotrans(M: np.ndarray, p: ArrayLike) -> np.ndarray:
    """Transforms points by a matrix, in homogeneous coordinates.

    Args:
        M: [m, n].
        p: [..., n], or [..., n - 1], to which a coordinate 1 is appended.

    Returns:
        [..., m].

    Raises:
        ValueError: The points have another number of coordinates.

    Example:
        >>> homotrans(np.diag([2.0, 3.0, 1.0]), [1.0, 1.0])
        array([2., 3., 1.])
    """
    points = _numbers(p, "homotrans's p")
    if (
        _numbers(M, "homotrans's M").ndim != 2
        or points.ndim < 1
        or points.shape[-1] not in (M.shape[1] - 1, M.shape[1])
    ):
        raise ValueError(f"A matrix of shape {list(M.shape)} cannot transform points of shape {list(points.shape)}.")
    if points.shape[-1] < M.shape[1]:
        points = np.concatenate([points, np.ones_like(points[..., :1])], -1)
    return points @ M.T
