"""The axes of a network's values: which one counts channels, which are images, places or tokens."""

from converters.tracing.axes.find import Findings, Report, Run, axes_of_class, find_axes
from converters.tracing.axes.reading import FoundAxes

__all__ = ["Findings", "FoundAxes", "Report", "Run", "axes_of_class", "find_axes"]
