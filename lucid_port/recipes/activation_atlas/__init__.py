"""Activation atlases: activations of a layer for many pictures, laid out as a map of rendered cells.

Carter, Armstrong, Schubert, Johnson, Olah: Activation Atlas (Distill, 2019), https://distill.pub/2019/activation-atlas;
Lucid's `recipes.activation_atlas` (main, layout, render) and its notebook activation-atlas-simple.
"""

from lucid_port.recipes.activation_atlas.layout import LAYOUTS, bin_laid_out_activations, lay_out, normalize_layout
from lucid_port.recipes.activation_atlas.main import ActivationAtlas, activation_atlas, make_canvas
from lucid_port.recipes.activation_atlas.render import article_transforms, inverse_covariance, render_icons
from lucid_port.recipes.activation_atlas.samples import Samples, sample_activations

__all__ = [
    "LAYOUTS",
    "ActivationAtlas",
    "Samples",
    "activation_atlas",
    "article_transforms",
    "bin_laid_out_activations",
    "inverse_covariance",
    "lay_out",
    "make_canvas",
    "normalize_layout",
    "render_icons",
    "sample_activations",
]
