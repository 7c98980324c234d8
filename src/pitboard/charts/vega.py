"""Vega-Lite as plain dictionaries of its JSON: the few words of it that the charts are written in."""

from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
"""A part of a specification, or the whole of it."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_TYPES = {"N": "nominal", "O": "ordinal", "Q": "quantitative"}


def field(shown: str, **options: object) -> Spec:
    """Return a channel that shows a field, named with its type: "minutes:Q", "label:N" or "row:O"."""
    name, _, kind = shown.partition(":")
    return {"field": name, "type": _TYPES[kind], **options}


def layer(mark: str, rows: Sequence[Mapping[str, object]], channels: Spec, **look: object) -> Spec:
    """Return a layer: a mark for each row, what its channels show, and how the mark looks."""
    return {"data": {"values": rows}, "mark": {"type": mark, **look}, "encoding": channels}


def layered(layers: Sequence[Spec], width: float, height: float) -> Spec:
    """Return layers on each other as one chart of this size in pixels, without its axes and titles."""
    return {"layer": list(layers), "width": width, "height": height}
