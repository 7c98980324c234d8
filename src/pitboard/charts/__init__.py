"""One chart grammar for terminal export and web page: plain rows and words in, Vega-Lite out."""

from pitboard.charts.bars import bars
from pitboard.charts.converging import convergence, samples_to_target
from pitboard.charts.export import as_json, save, svg
from pitboard.charts.factors import attribution
from pitboard.charts.findings import dots, few_bars
from pitboard.charts.heat import pair_bandwidth
from pitboard.charts.ranks import ranks, step_parts
from pitboard.charts.scaling import efficiency, scale
from pitboard.charts.slopes import rounds
from pitboard.charts.strips import runs
from pitboard.charts.sweep import precision_sweep
from pitboard.charts.trend import trend

__all__ = [
    "as_json",
    "attribution",
    "bars",
    "convergence",
    "dots",
    "efficiency",
    "few_bars",
    "pair_bandwidth",
    "precision_sweep",
    "ranks",
    "rounds",
    "runs",
    "samples_to_target",
    "save",
    "scale",
    "step_parts",
    "svg",
    "trend",
]
