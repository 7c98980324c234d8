"""One chart grammar for terminal export and web page: plain rows and words in, a Vega-Altair chart out."""

from pitboard.charts.export import save, svg
from pitboard.charts.scaling import efficiency, scale

__all__ = ["efficiency", "save", "scale", "svg"]
