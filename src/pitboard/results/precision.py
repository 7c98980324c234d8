"""In which number format a run's matrix products were computed, where the log or the description says so.

Only a setting that took effect counts: the model's configuration as it was built, the run's resolved
settings, the trainer's own announcement. An option's name ("--env=FP8"), an unused recipe ("fp4_recipe:
nvfp4" beside "fp4: false"), a flag that names no format ("--amp") or that FP8 layers may override (BERT's
"fp16=True") counts for nothing, and the answer is then None: not stated.
"""

import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from pitboard.suite.formats import FORMATS
from pitboard.text import printable

_NAMES = {each.name: each.label for each in FORMATS.values()}
_RECIPES = {(str(each.bits), each.name): each.label for each in FORMATS.values() if each.low}
_NEWLINE = b"\n"  # Python 3.11 allows no backslash inside an f-string
_INDENT = 60  # bytes before a setting in which its line must begin
_MOST = 64  # places looked at for one setting: a hostile log may repeat it without end
_AFTER = 1200  # bytes after a setting in which its recipe is looked for

_LINE_START = re.compile(rb"(?:\A|\n)[ \t]*(?:[0-9]+:)?[ \t]*\Z")
_BUILT = re.compile(rb"fp([48])='(e2m1|e4m3|hybrid)'")
_SETTING = re.compile(rb"fp([48]): (true|e2m1|e4m3|hybrid)[ \r]*\n")
_RECIPE = re.compile(rb"(?<![a-z0-9_])fp([48])_recipe(?:: |=')([a-z0-9]+)")
_HEALING = re.compile(rb"healing_iter: ([1-9][0-9]{0,8})\b")
_AMP = re.compile(rb"Using (16bit|bfloat16) $")
_OWN = re.compile(rb'pitboard_precision", "value": "([a-z0-9]{1,16})"')
_BF16 = re.compile(rb"precision: bf16(?:-mixed|-true)?[ \r]*\n")
_IN_TEXT = re.compile(rf"(?<![a-z0-9])({'|'.join(FORMATS)})(?![a-z0-9])", re.IGNORECASE)


class Precision(msgspec.Struct, frozen=True):
    """A number format, what stated it, and whether that leaves no doubt.

    `name` is the label of one of `suite.FORMATS`, such as "NVFP4": the narrowest of the matrix products.
    `source` is for a reader: "log line 903: fp8='hybrid', recipe delayed (model as built)".
    """

    name: str
    source: str
    certain: bool


def precision(text: bytes) -> Precision | None:
    """The number format that a whole log states, or None where it does not say.

    The model as built (Megatron's `TransformerConfig`) goes before the resolved settings (NeMo), and 4 bits
    go before 8, because a 4-bit model still carries 8-bit settings for its other layers.
    """
    statements: list[Callable[[bytes], Precision | None]] = [_own]
    if b"fp8" in text:
        statements += [_built, _setting]
    return next((found for said in (*statements, _announced, _bf16) if (found := said(text))), None)


def from_description(description: Mapping[str, object]) -> Precision | None:
    """The one number format that a system description's software notes or framework name; never certain.

    A description covers all benchmarks of a system, so it does not prove which of them used the format.
    """
    for field in ("sw_notes", "framework"):
        said = str(description.get(field) or "")[:1000] if isinstance(description.get(field), str) else ""
        names = {found.lower() for found in _IN_TEXT.findall(said)}
        if len(names) == 1:
            return Precision(
                _NAMES[names.pop()], f"description: {field}: {printable(said[:100])}", certain=False
            )
    return None


def _places(text: bytes, literal: bytes) -> Iterator[int]:
    """The first places where `literal` begins a line, after its indent and a launcher's rank ("0: ")."""
    place = -1
    for _ in range(_MOST):
        place = text.find(literal, place + 1)
        if place < 0:
            return
        if _LINE_START.search(text, max(0, place - _INDENT), place):
            yield place


def _own(text: bytes) -> Precision | None:
    place = text.find(b'pitboard_precision"')
    found = _OWN.match(text, place) if place >= 0 else None
    name = _NAMES.get(found[1].decode()) if found else None
    return Precision(name, _source(text, place, "pitboard_precision event"), certain=True) if name else None


def _built(text: bytes) -> Precision | None:
    return _narrow(text, (b"fp4='", b"fp8='"), _BUILT, "model as built")


def _setting(text: bytes) -> Precision | None:
    return _narrow(text, (b"fp4: ", b"fp8: "), _SETTING, "run's settings")


def _narrow(
    text: bytes, literals: tuple[bytes, ...], pattern: re.Pattern[bytes], what: str
) -> Precision | None:
    for literal in literals:
        for place in _places(text, literal):
            if found := pattern.match(text, place):
                bits = found[1].decode()
                recipe = _recipe(text[place : place + _AFTER], bits)
                name = _RECIPES.get((bits, recipe), "FP8" if bits == "8" else None)
                if name is None:  # 4 bits in a format that is not named
                    return None
                said = f"{found.group().decode().strip()}{f', recipe {recipe}' if recipe else ''} ({what})"
                return Precision(name, _source(text, place, said) + _healing(text, bits), certain=True)
    return None


def _recipe(near: bytes, bits: str) -> str:
    return next((found[2].decode() for found in _RECIPE.finditer(near) if found[1].decode() == bits), "")


def _healing(text: bytes, bits: str) -> str:
    """The step from which a 4-bit run goes on in 8 bits, where its settings say so."""
    place = text.find(b"healing_iter: ") if bits == "4" else -1
    found = _HEALING.match(text, place) if place >= 0 else None
    return f"; FP8 from step {found[1].decode()} on (healing_iter)" if found else ""


def _announced(text: bytes) -> Precision | None:
    """Lightning's announcement of its automatic mixed precision."""
    place = text.find(b"Automatic Mixed Precision (AMP)")
    found = _AMP.search(text[max(0, place - 40) : place]) if place >= 0 else None
    if not found:
        return None
    said = f"Using {found[1].decode()} Automatic Mixed Precision"
    return Precision("FP16" if found[1] == b"16bit" else "BF16", _source(text, place, said), certain=True)


def _bf16(text: bytes) -> Precision | None:
    """The trainer's `precision: bf16`, in doubt because narrower formats are often set elsewhere."""
    for place in _places(text, b"precision: bf16"):
        if found := _BF16.match(text, place):
            said = f"{found.group().decode().strip()} (run's settings)"
            return Precision("BF16", _source(text, place, said), certain=False)
    return None


def _source(text: bytes, place: int, said: str) -> str:
    return f"log line {text.count(_NEWLINE, 0, place) + 1}: {said}"
