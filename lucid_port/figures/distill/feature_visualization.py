"""Figures of Feature Visualization (2017)."""

from __future__ import annotations

from lucid_port.figures.base import Panel, Result, Settings, figure
from lucid_port.optvis import objectives
from lucid_port.recipes.feature_visualization import visualize

FAMOUS = {
    "InceptionV1": {"units": ["mixed4a_pre_relu:476"]},
    "InceptionV1_caffe": {"units": ["inception_4a_output:300"]},
    "InceptionV1_seeded": {"units": ["mixed4a_pre_relu:476"]},
}


@figure(
    "fv-channel",
    "What a channel looks for",
    of="the tutorial's first picture, and of any unit",
    steps=512,
    options=FAMOUS,
    see="One channel's favourite picture: for a trained network, a texture or an object that comes again and again.",
)
def channel(settings: Settings) -> Result:
    """Any units, each as Lucid renders it by default."""
    units = list(settings.options["units"])
    made = visualize(
        settings.model,
        [objectives.as_objective(unit) for unit in units],
        size=settings.options.get("size", 128),
        steps=settings.steps,
        seed=settings.seed,
        verbose=settings.verbose,
    )
    values = made.losses[:, -1]
    captions = [f"{unit} ({value:.4g})" for unit, value in zip(units, values, strict=True)]
    panel = Panel(made.pictures, captions, columns=min(len(units), 6))
    return Result([panel], {"units": units, "values": values})
