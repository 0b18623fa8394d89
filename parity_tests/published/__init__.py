"""The official InceptionV1 against the numbers and pictures that the articles published; see docs/published.md."""

from parity_tests.published import activations, attributions, renders, tuning, weights
from parity_tests.published.checks import CHECKS

__all__ = ["CHECKS", "activations", "attributions", "renders", "tuning", "weights"]
