"""What colour, shape and dash mean: the same on every chart, whatever else is drawn beside it.

An accelerator has its colour and its shape, a benchmark its colour and dash, a
precision its colour and shape, each by name. Who is highlighted keeps them; all others turn grey.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from zlib import crc32

from pitboard.charts.frame import text_width
from pitboard.charts.rows import ChartRow
from pitboard.charts.theme import DASHES, IN_TURN, SHAPES, TEXT, Theme
from pitboard.charts.vega import Spec, field
from pitboard.errors import PitboardError, near
from pitboard.text import clean

_NONE = 99  # the place of a colour beyond every palette, which is grey
OTHERS = "others"
"""Whatever is not highlighted, as a legend calls it."""


class Style(NamedTuple):
    """A colour of the palette, a shape, and a dash, by their places."""

    colour: int
    shape: int
    dash: int = 0


# No two are alike, and none that are lines on one chart of a published round share a colour.
_ACCELERATORS = {
    "NVIDIA B200": Style(0, 0),
    "NVIDIA RTX Pro 6000": Style(0, 4),
    "NVIDIA GB300": Style(1, 1),
    "NVIDIA B300": Style(8, 5),
    "NVIDIA GB200": Style(4, 2),
    "NVIDIA H200": Style(3, 3),
    "NVIDIA H100": Style(9, 4),
    "NVIDIA H200 NVL": Style(10, 6),
    "NVIDIA H100 NVL": Style(3, 0),
    "NVIDIA H100 PCIe": Style(3, 1),
    "NVIDIA A100": Style(5, 5),
    "NVIDIA A100 PCIe": Style(4, 1),
    "NVIDIA A30": Style(8, 2),
    "NVIDIA A10G": Style(5, 4),
    "NVIDIA RTX A5000": Style(5, 6),
    "NVIDIA L40S": Style(5, 3),
    "NVIDIA L40": Style(1, 0),
    "NVIDIA L4": Style(5, 7),
    "NVIDIA RTX 4090": Style(5, 8),
    "AMD MI355X": Style(7, 6),
    "AMD MI350X": Style(10, 3),
    "AMD MI325X": Style(2, 5),
    "AMD MI300X": Style(11, 2),
    "AMD RX 7900 XTX": Style(2, 0),
    "Google TPU Trillium": Style(7, 3),
    "Google TPU v5p": Style(6, 0),
    "Google TPU v5e": Style(6, 1),
    "Google TPU v4": Style(6, 2),
    "TPU": Style(6, 4),
    "Intel Gaudi HL-205": Style(10, 5),
    "Intel Gaudi 2": Style(10, 0),
    "Graphcore Bow IPU": Style(11, 7),
    "Graphcore IPU GC200": Style(11, 8),
    "Huawei Ascend 910": Style(7, 4),
    "expected": Style(2, 8),  # what `expect` sets beside the published
}

# Ordered by name: the first eight have colours of their own, the others share them under another dash.
_BENCHMARKS = (
    *("bert", "dlrm_dcnv2", "flux1", "llama2_70b_lora", "llama31_405b", "llama31_8b", "retinanet", "rgat"),
    *("dlrm", "gnn", "gpt3", "maskrcnn", "minigo", "resnet", "rnnt", "ssd", "stable_diffusion", "unet3d"),
)

_PRECISIONS = {
    "NVFP4": Style(1, 1),
    "MXFP4": Style(7, 6),
    "FP4": Style(7, 3),
    "FP8": Style(0, 0),
    "MXFP8": Style(6, 4),
    "BF16": Style(4, 2),
    "FP16": Style(3, 3),
    "TF32": Style(5, 5),
    "FP32": Style(2, 6),
    "NOT STATED": Style(2, 0),
}


def accelerator(row: ChartRow, label: str) -> str:
    """Return what gives a row its colour and shape: its `accelerator`, or what its label says behind a comma.

    "NVIDIA B200" for "Dell, NVIDIA B200"; a label without a comma as it is.
    """
    return clean(row.get("accelerator") or "") or (label.split(", ")[1:2] or [label])[0]


def of_accelerator(name: str) -> Style:
    """Return the style of an accelerator; of one that was never published, one that follows from its name."""
    return _ACCELERATORS.get(name) or _of_name(name)


def of_benchmark(series: str) -> Style:
    """Return the style of a benchmark, or of a series such as "gnn → rgat (v4.0 to v5.1)": its last."""
    name = series.partition(" (")[0].split(" → ")[-1]
    if name not in _BENCHMARKS:
        return _of_name(name)
    place = _BENCHMARKS.index(name)
    return Style(place % 8, place % 8, (place + place // 8) % len(DASHES))


def of_precision(name: str) -> Style:
    """Return the style of a precision."""
    return _PRECISIONS.get(name.upper()) or _of_name(name)


def of_results(labels: Sequence[str], styles: Mapping[str, Style] | None) -> dict[str, Style]:
    """Return the styles of results by their labels: those given for the letters that labels begin with.

    Under "" stands that of all others; without it they have the colours, shapes and dashes in turn.
    """
    given = styles or {}
    return {
        label: given.get(label.partition(" ")[0], given.get("", _in_turn(place)))
        for place, label in enumerate(labels)
    }


def of_letters(accelerators: Mapping[str, str]) -> dict[str, Style]:
    """Return the styles of results that are called by letters, given with their accelerators.

    They are those of the accelerators where no two have one colour, and else the palette's in turn.
    """
    found = {letter: of_accelerator(name) for letter, name in accelerators.items()}
    if len({style.colour for style in found.values()}) == len(found):
        return {
            letter: style._replace(dash=place) for place, (letter, style) in enumerate(sorted(found.items()))
        }
    return {letter: Style(place, place, place) for place, letter in enumerate(sorted(found))}


def _in_turn(place: int) -> Style:
    return Style(place if place < IN_TURN else _NONE, place % 8, place % len(DASHES))


def _of_name(name: str) -> Style:
    code = crc32(name.encode())
    return Style(code % 8, code // 8 % (len(SHAPES) - 1), code // 64 % len(DASHES))


def dashes(families: Iterable[tuple[str, str]]) -> dict[str, list[int]]:
    """Return the dash of each family, given with its accelerator: no two of one accelerator share theirs.

    A family's name asks for a dash, and where another before it in the alphabet has that, gets the next.
    """
    found: dict[str, list[int]] = {}
    taken: dict[str, set[int]] = {}
    for name, accelerator in sorted(set(families)):
        wanted = crc32(name.encode()) % len(DASHES)
        free = [place % len(DASHES) for place in range(wanted, wanted + len(DASHES))]
        place = next((each for each in free if each not in taken.get(accelerator, ())), wanted)
        taken.setdefault(accelerator, set()).add(place)
        found[name] = DASHES[place]
    return found


def chosen(highlight: Sequence[str], labels: Iterable[tuple[str, str]]) -> list[str]:
    """Return the labels that have all words of any of `highlight`: "NVIDIA B300" chooses "Dell, NVIDIA B300".

    Each label comes with its accelerator, whose words count too. Raises `PitboardError` for words that none
    has, with what there is.
    """
    known = dict(labels)
    found: list[str] = []
    for each in highlight:
        wanted = _words(each)
        matching = [name for name, more in known.items() if wanted and wanted <= _words(name) | _words(more)]
        if not matching:
            there = f" It has: {'; '.join([*known][:12])}{' …' if len(known) > 12 else ''}."
            hint = near(each[:60], [*known]).partition(" Known")[0]
            raise PitboardError(f"This chart has nothing called '{clean(each, 60)}'.{hint}{there}")
        found += matching
    return list(dict.fromkeys(found))


def _words(text: str) -> set[str]:
    return set(re.split(r"[\s,;:×]+", clean(text).casefold())) - {""}


class Key(NamedTuple):
    """Colour and shape of a field whose values are styled by name, with one legend for both."""

    names: list[str]
    styles: list[Style]
    look: Theme
    field: str
    legend: Spec | None
    others: str = OTHERS

    @property
    def colour(self) -> Spec:
        """The colour of a mark."""
        colours = [*(self.look.palette[style.colour] for style in self.styles), self.look.other]
        return self._channel(colours)

    @property
    def shape(self) -> Spec:
        """The shape of a mark."""
        shapes = [*(SHAPES[style.shape] for style in self.styles), SHAPES[0]]
        return self._channel(shapes)

    def _channel(self, drawn: list[str]) -> Spec:
        scale = {"domain": [*self.names, self.others], "range": drawn}
        return field(f"{self.field}:N", scale=scale, legend=self.legend)


def key(
    styles: dict[str, Style],
    look: Theme,
    field: str,
    width: float,
    *,
    title: str | None = None,
    muted: bool = False,
    others: str = OTHERS,
) -> Key:
    """Return the key of names with their styles, `width` pixels wide.

    `muted` says that some marks are grey, called `others`.
    """
    names = sorted(styles, key=lambda name: (_place(name), name))
    shown = [*names, *([others] if muted else [])]
    widest = max((text_width(name, TEXT) for name in shown), default=0.0) + 34
    drawn = {
        "title": title,
        "orient": "bottom",
        "direction": "horizontal",
        "columns": max(1, int(width / widest)),
        "values": shown,
        "symbolStrokeWidth": 1.5,
        "symbolOpacity": 1,
        "symbolDash": [1, 0],
    }
    return Key(names, [styles[name] for name in names], look, field, drawn, others)


def _place(name: str) -> int:
    known = [*_ACCELERATORS, *_PRECISIONS]
    return known.index(name) if name in known else len(known)
