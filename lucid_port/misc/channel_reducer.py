"""Dimensionality reduction of activations along their channel axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from converters import checks
from converters.errors import reason
from converters.signatures import checked
from lucid_port.misc.io.serialize_array import to_array
from lucid_port.misc.tensors import ArrayLike

__all__ = ["ChannelReducer"]


class ChannelReducer:
    """Reduces the last axis of arrays of any rank with a decomposition of scikit-learn.

    Calling the reducer transforms the array, and fits the decomposition first if it is not fitted yet. The fitted
    attributes of the estimator are available without their underscore: `components` for `components_`.

    Args:
        n_components: number of channels to keep.
        reduction_alg: name of a class in `sklearn.decomposition` (NMF, PCA, FastICA, ...), or a class with the same
            interface.
        **kwargs: passed to the estimator.

    Raises:
        ValueError: `n_components` is not an integer from 1 on, or the name is unknown.
        ImportError: scikit-learn is not installed.

    Example:
        >>> reducer = ChannelReducer(2, "PCA")
        >>> activations = np.random.default_rng(0).random((1, 4, 4, 6))
        >>> reducer(activations).shape
        (1, 4, 4, 2)
        >>> reducer.components.shape
        (2, 6)
    """

    @checked
    def __init__(self, n_components: int = 3, reduction_alg: str | type[Any] = "NMF", **kwargs: Any) -> None:
        if not isinstance(n_components, (int, np.integer)) or n_components < 1:
            raise ValueError(f"n_components must be an int from 1 on, not {checks.shown(n_components)}.")
        self.n_components = int(n_components)
        estimator = _estimator(reduction_alg) if isinstance(reduction_alg, str) else reduction_alg
        self._reducer = estimator(n_components=self.n_components, **kwargs)
        self._is_fit = False

    @checked
    def fit(self, acts: ArrayLike) -> Any:
        """Fits the estimator to activations [..., channels] and returns it."""
        fitted = self._apply_flat(self._reducer.fit, acts)
        self._is_fit = True
        return fitted

    @checked
    def fit_transform(self, acts: ArrayLike) -> np.ndarray:
        """Fits the estimator to activations [..., channels] and reduces them to [..., n_components]."""
        reduced = self._apply_flat(self._reducer.fit_transform, acts)
        self._is_fit = True
        return reduced

    @checked
    def transform(self, acts: ArrayLike) -> np.ndarray:
        """Reduces activations [..., channels] to [..., n_components]."""
        return self._apply_flat(self._reducer.transform, acts)

    def __call__(self, acts: ArrayLike) -> np.ndarray:
        return self.transform(acts) if self._is_fit else self.fit_transform(acts)

    def _apply_flat(self, function: Callable[[np.ndarray], Any], acts: ArrayLike) -> Any:
        array = to_array(acts)
        checks.finite_values(array, "The array of activations")
        if array.ndim == 0:
            raise ValueError("The activations are an array [..., channels], not a single number.")
        try:
            result = function(array.reshape(-1, array.shape[-1]))
        except ValueError as error:  # of scikit-learn
            estimator = type(self._reducer).__name__
            raise ValueError(f"{estimator} cannot reduce {checks.shown(array)}: {reason(error)}.") from error
        if not isinstance(result, np.ndarray):
            return result
        return result.reshape(*array.shape[:-1], -1)

    def __getattr__(self, name: str) -> Any:
        reducer = self.__dict__.get("_reducer")
        if reducer is not None and not name.startswith("_") and hasattr(reducer, name + "_"):
            return getattr(reducer, name + "_")
        raise AttributeError(f"ChannelReducer has no attribute {name!r} (is it fitted?).")

    def __dir__(self) -> list[str]:
        fitted = [n[:-1] for n in dir(self._reducer) if n.endswith("_") and not n.startswith("_")]
        return [*super().__dir__(), *fitted]


def _estimator(name: str) -> Any:
    try:
        import sklearn.decomposition
        from sklearn.base import BaseEstimator
    except ModuleNotFoundError as error:
        raise ImportError("Groups and factors need scikit-learn: pip install -e '.[figures]'.") from error

    found = getattr(sklearn.decomposition, name, None)
    if not (isinstance(found, type) and issubclass(found, BaseEstimator)):
        raise ValueError(f"Unknown dimensionality reduction method {name!r}.")
    return found
