"""The axes of a network's values: which one counts channels, which are images, places or tokens."""

from converters.tracing.axes.find import Report, Run, find_axes
from converters.tracing.axes.reading import FoundAxes

__all__ = ["FoundAxes", "Report", "Run", "find_axes"]
