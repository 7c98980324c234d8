"""In which number format a run's matrix products were computed, where its log says so.

Only a setting that took effect counts: the model's configuration as it was built, the run's resolved
settings, the trainer's own announcement. An option's name ("--env=FP8"), an unused recipe ("fp4_recipe:
nvfp4" beside "fp4: false"), a flag that names no format ("--amp") or that FP8 layers may override (BERT's
"fp16=True") counts for nothing, and the answer is then None: not stated.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate, islice
from typing import NamedTuple

import msgspec

from pitboard.events.event import Event
from pitboard.suite.formats import FORMATS

_NAMES = {each.name: each.label for each in FORMATS.values()}
_DISCLOSED = {each.disclosed: each.label for each in reversed(FORMATS.values())}  # "fp8" is FP8, not MXFP8
# What round 6.1 lets a log disclose besides, in the words of its rules (closed division, `common.yaml`).
_DISCLOSED |= {
    "fp64": "FP64",
    "tf32": "TF32",
    "mxfp6": "MXFP6",
    "Graphcore FLOAT 16.16": "Graphcore FLOAT 16.16",
    "int8": "INT8",
    "uint8": "UINT8",
    "int4": "INT4",
    "uint4": "UINT4",
}
_RECIPES = {(str(each.bits), each.name): each.label for each in FORMATS.values() if each.low}
MAX_TEXT_BYTES = 64 << 20
"""How much of the text of one log is searched; the largest of a published round has 2.4 MB."""

_INDENT = 60  # bytes before a setting in which its line must begin
_MOST = 64  # places looked at for one setting: a hostile log may repeat it without end
_AFTER = 1200  # bytes after a setting in which its recipe is looked for

_LINE_START = re.compile(rb"(?:\A|\n)[ \t]*(?:[0-9]+:)?[ \t]*\Z")
_LOW = re.compile(rb"fp[48](?:='|: )")
_BUILT = re.compile(rb"fp([48])='(e2m1|e4m3|hybrid)'")
_SETTING = re.compile(rb"fp([48]): (true|e2m1|e4m3|hybrid)[ \r]*\n")
_RECIPE = re.compile(rb"(?<![a-z0-9_])fp([48])_recipe(?:: |=')([a-z0-9]+)")
_HEALING = re.compile(rb"healing_iter: ([1-9][0-9]{0,8})\b")
_AMP = re.compile(rb"Using (16bit|bfloat16) $")
_BF16 = re.compile(rb"precision: bf16(?:-mixed|-true)?[ \r]*\n")


class StatedPrecision(msgspec.Struct, frozen=True):
    """A number format, what stated it, and whether that leaves no doubt.

    `name` is the label of one of `suite.FORMATS`, such as "NVFP4": the narrowest of the matrix products.
    `source` is for a reader: "log line 903: fp8='hybrid', recipe delayed (model as built)".
    """

    name: str
    source: str
    certain: bool


class _Statement(NamedTuple):
    """A format's label, what stated it and where in the text, and whether that leaves no doubt."""

    name: str
    place: int
    said: str
    certain: bool = True


class LogText:
    """What stands in a log between its events: pieces, each with the number of the line it begins in."""

    def __init__(self, text: bytes = b"") -> None:
        self._pieces = [text]
        self._lines = [1]
        self._room = MAX_TEXT_BYTES - len(text)

    def add(self, line: int, piece: bytes) -> None:
        """Take the next piece, which begins with a line."""
        if self._room > 0:
            self._pieces.append(piece[: self._room])
            self._lines.append(line)
            self._room -= len(piece)

    def whole(self) -> bytes:
        """Return all pieces as one text, each on lines of its own."""
        return b"\n".join(self._pieces)

    def line(self, place: int) -> int:
        """Return the line of the log in which a place of the whole text stands."""
        starts = list(accumulate((len(piece) + 1 for piece in self._pieces), initial=0))
        piece = bisect_right(starts, place) - 1
        return self._lines[piece] + self._pieces[piece].count(b"\n", 0, place - starts[piece])


def precision(
    text: LogText, own: Event | None = None, disclosed: Event | None = None
) -> StatedPrecision | None:
    """The number format that a whole log states, or None where it does not say.

    `own` is its event `pitboard_precision`, `disclosed` its `lowest_numerical_precision_in_linear`, which
    knows fewer formats. Pitboard's own word goes first. The model as built (Megatron's `TransformerConfig`)
    goes before the resolved settings (NeMo), and 4 bits go before 8, because a 4-bit model still carries
    8-bit settings for its other layers.
    """
    found = _in_event(own, _NAMES)
    if found:
        return found
    whole = text.whole()
    statement = (_low(whole) if b"fp8" in whole else None) or _announced(whole)
    if statement is None and (found := _in_event(disclosed, _DISCLOSED)):
        return found
    statement = statement or _bf16(whole)
    if statement is None:
        return None
    source = f"log line {text.line(statement.place)}: {statement.said}"
    return StatedPrecision(statement.name, source, statement.certain)


def _in_event(event: Event | None, names: dict[str, str]) -> StatedPrecision | None:
    if event is None or not isinstance(event.value, str) or event.value not in names:
        return None
    return StatedPrecision(names[event.value], f"log line {event.line}: {event.key} event", certain=True)


def _begins_line(text: bytes, place: int) -> bool:
    """Tell whether a line begins at a place, after its indent and a launcher's rank ("0: ")."""
    return _LINE_START.search(text, max(0, place - _INDENT), place) is not None


def _low(text: bytes) -> _Statement | None:
    """A format of 4 or 8 bits, as the model was built or else as the run's settings say."""
    places = _places(text)
    return _first(text, places, (b"fp4='", b"fp8='"), _BUILT, "model as built") or _first(
        text, places, (b"fp4: ", b"fp8: "), _SETTING, "run's settings"
    )


def _places(text: bytes) -> dict[bytes, list[int]]:
    """The first places where each literal of `_LOW` begins a line."""
    found: dict[bytes, list[int]] = defaultdict(list)
    for match in _LOW.finditer(text):
        found[match.group()].append(match.start())
    return {
        literal: [place for place in places[:_MOST] if _begins_line(text, place)]
        for literal, places in found.items()
    }


def _first(
    text: bytes,
    places: dict[bytes, list[int]],
    literals: tuple[bytes, ...],
    pattern: re.Pattern[bytes],
    what: str,
) -> _Statement | None:
    for place in (place for literal in literals for place in places.get(literal, ())):
        if found := pattern.match(text, place):
            bits = found[1].decode()
            recipe = _recipe(text[place : place + _AFTER], bits)
            name = _RECIPES.get((bits, recipe), "FP8" if bits == "8" else None)
            if name is None:  # 4 bits in a format that is not named
                return None
            said = f"{found.group().decode().strip()}{f', recipe {recipe}' if recipe else ''} ({what})"
            return _Statement(name, place, said + _healing(text, bits))
    return None


def _recipe(near: bytes, bits: str) -> str:
    return next((found[2].decode() for found in _RECIPE.finditer(near) if found[1].decode() == bits), "")


def _healing(text: bytes, bits: str) -> str:
    """The step from which a 4-bit run goes on in 8 bits, where its settings say so."""
    place = text.find(b"healing_iter: ") if bits == "4" else -1
    found = _HEALING.match(text, place) if place >= 0 else None
    return f"; FP8 from step {found[1].decode()} on (healing_iter)" if found else ""


def _announced(text: bytes) -> _Statement | None:
    """Lightning's announcement of its automatic mixed precision."""
    place = text.find(b"Automatic Mixed Precision (AMP)")
    found = _AMP.search(text[max(0, place - 40) : place]) if place >= 0 else None
    if not found:
        return None
    said = f"Using {found[1].decode()} Automatic Mixed Precision"
    return _Statement("FP16" if found[1] == b"16bit" else "BF16", place, said)


def _bf16(text: bytes) -> _Statement | None:
    """The trainer's `precision: bf16`, in doubt because narrower formats are often set elsewhere."""
    for found in islice(_BF16.finditer(text), _MOST):
        if _begins_line(text, found.start()):
            said = f"{found.group().decode().strip()} (run's settings)"
            return _Statement("BF16", found.start(), said, certain=False)
    return None
