"""The software and the precision that a system description states, and where an entry's public files lie."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from urllib.parse import quote

import msgspec

from pitboard.events import StatedPrecision
from pitboard.suite import FORMATS, ROUNDS
from pitboard.text import printable

_LONGEST = 300  # characters of one value
_MOST = 64  # values of one description; the fullest of rounds v5.0 and v5.1 has 21
_DEEPEST = 4  # levels of lists and objects in `other_software_stack`; the real ones have two

_COMPONENTS = (
    "PyTorch, NeMo, HugeCTR, DGL, MXNet, JAX, libtpu, LLMBoost, vLLM, Megatron-LM, Transformer "
    "Engine, Python, ROCm, ROCm SMI, RCCL, hipBLASLt, FlashAttention, CUDA, CUDA driver, NCCL, "
    "cuBLAS, cuDNN, TensorRT, DALI, MOFED, OpenMPI, GPUDirect Storage, nvidia-fs, NVIDIA kernel "
    "driver, kernel"
)
_OTHER_SPELLINGS = {
    "trt": "TensorRT",
    "gds": "GPUDirect Storage",
    "flashattn": "FlashAttention",
    "torch": "PyTorch",
}
_UNSAID = {"", "-", "?", "tbd", "todo", "n/a", "na", "none", "null", "unknown"}
_FORMAT = re.compile(rf"(?<![a-z0-9])({'|'.join(FORMATS)})(?![a-z0-9])", re.IGNORECASE)


class Software(msgspec.Struct, frozen=True):
    """One statement about the stack: what (`key`), which version (`value`), which field said it (`source`).

    `key` is a component's usual name, "NGC container" (a monthly NVIDIA release), "operating system", or, for
    a field's whole text, "framework", "other software" or "notes"; an unknown key stays as it was written.
    `value` is the submitter's text of at most 300 characters, without a leading "v"; a component that came
    with an NVIDIA release has the value "NGC 25.04", because its own version is then not said.
    """

    key: str
    value: str
    source: str


def software(description: Mapping[str, object]) -> list[Software]:
    """What a description's framework, other software stack, operating system and notes state, in that order.

    "TBD", "N/A" and the like are left out as not said, as is what is neither text nor a number. At most 64
    statements; never raises, whatever the description holds.
    """
    return list(islice(dict.fromkeys(_statements(description)), _MOST))


def described_precision(description: Mapping[str, object]) -> StatedPrecision | None:
    """The one number format that a system description's software notes or framework name; never certain.

    A description covers all benchmarks of a system, so it does not prove which of them used the format.
    """
    for field in ("sw_notes", "framework"):
        said = str(description.get(field) or "")[:1000] if isinstance(description.get(field), str) else ""
        names = {found.lower() for found in _FORMAT.findall(said)}
        if len(names) == 1:
            return StatedPrecision(
                FORMATS[names.pop()].label, f"description: {field}: {printable(said[:100])}", certain=False
            )
    return None


def links(round: str, submitter: str, system: str) -> dict[str, str]:
    """Addresses of an entry in MLCommons' public repository of `round` ("5.1"): system, results and code.

    Nothing for what is not a published round's number or not the name of a folder; nothing is looked up.
    """
    source = next((known.source for known in ROUNDS if known.version == round), None)
    if source is None or {submitter, system} & {"", ".", ".."}:
        return {}
    folder = f"{source}/tree/main/{quote(submitter, safe='')}"
    name = quote(system, safe="")
    return {
        "system": f"{folder}/systems/{name}.json",
        "results": f"{folder}/results/{name}",
        "code": f"{folder}/benchmarks",
    }


def log_address(results_url: str | None, benchmark: str, log: str) -> str | None:
    """Give the address of one log, by that of its entry's results (`links`); `None` where there is none."""
    if not results_url:
        return None
    return f"{results_url.replace('/tree/', '/blob/', 1)}/{quote(benchmark, safe='')}/{quote(log, safe='')}"


def _plain(name: str) -> str:
    """A component's name for comparison: "cuda_driver_version" and "CUDA driver" are both "cudadriver"."""
    return re.sub(r"version$", "", re.sub(r"[^a-z0-9]", "", name.lower()))


_BY_NAME = {_plain(name): name for name in _COMPONENTS.split(", ")} | _OTHER_SPELLINGS
_IN_TEXT = re.compile(
    r"(?<![a-z0-9])(?:(?P<name>"
    + "|".join(
        name.lower() for name in ("PyTorch", "NeMo", "HugeCTR", "DGL", "MXNet", "LLMBoost", "ROCm", "CUDA")
    )
    + r")(?![a-z])(?: (?P<version>v?[0-9]+\.[0-9]+\.[\w.+~-]*|[0-9]\.[0-9]+))?"
    r"|(?P<release>[23][0-9]\.(?:0[1-9]|1[0-2]))(?![\w.]))",
    re.IGNORECASE,
)
_PART = re.compile(r"(?P<name>[a-z][a-z _-]*?)[ _:=-]+(?P<version>v?[0-9a-f]*[0-9][^ ]*)", re.IGNORECASE)


def _statements(description: Mapping[str, object]) -> Iterator[Software]:
    if framework := _value(description.get("framework")):
        yield Software("framework", framework, "framework")
        yield from _named(framework, "framework")
    stack = description.get("other_software_stack")
    yield from _parts(stack) if isinstance(stack, str) else _entries(stack, "other software", _DEEPEST)
    if system := _value(description.get("operating_system")):
        yield Software("operating system", system, "operating_system")
    if notes := _value(description.get("sw_notes")):
        yield Software("notes", notes, "sw_notes")
        yield from _named(notes, "sw_notes")


def _value(said: object) -> str:
    """`said` as a value, or "" where nothing is said."""
    if isinstance(said, bool) or not isinstance(said, str | int | float):
        return ""
    if isinstance(said, int) and abs(said) >= 10**18:  # no version; Python refuses to print the hugest
        return ""
    text = " ".join(str(said)[:_LONGEST].split())
    return "" if text.lower() in _UNSAID else re.sub(r"^v(?=[0-9])", "", text)


def _entries(stack: object, key: str, depth: int) -> Iterator[Software]:
    """A JSON object's or list's values under their keys' usual names."""
    if depth == 0:
        return
    if isinstance(stack, Mapping):
        for name, said in islice(stack.items(), _MOST):
            written = str(name)[:_LONGEST].strip()
            yield from _entries(said, _BY_NAME.get(_plain(written), written), depth - 1)
    elif isinstance(stack, list):
        for said in stack[:_MOST]:
            yield from _entries(said, key, depth - 1)
    elif value := _value(stack):
        yield Software(key, value, "other_software_stack")


def _parts(text: str) -> Iterator[Software]:
    """Free text such as "CUDA 12.8, hipblaslt-1.1.0": one component a comma."""
    for part in text[: _LONGEST * 4].split(","):
        found = _PART.fullmatch(part.strip())
        name = _BY_NAME.get(_plain(found["name"])) if found else None
        if found and name:
            yield Software(name, _value(found["version"]), "other_software_stack")
        elif value := _value(part):
            yield Software("other software", value, "other_software_stack")


def _named(text: str, source: str) -> Iterator[Software]:
    """Components with their versions, and NVIDIA releases, in a sentence.

    A release holds for the components before it ("PyTorch, NeMo Framework NVIDIA Release 25.04"), unless the
    sentence begins with one ("NVIDIA Release 25.08 (NeMo, PyTorch)"): then for those after it.
    """
    found = list(_IN_TEXT.finditer(text))
    leads = bool(found) and bool(found[0]["release"])
    current, names = "", list[str]()
    for item in found:
        if release := item["release"]:
            yield Software("NGC container", release, source)
            current = f"NGC {release}"
            yield from (Software(name, current, source) for name in names)
        elif item["version"]:
            yield Software(_BY_NAME[_plain(item["name"])], _value(item["version"]), source)
        elif leads:
            yield Software(_BY_NAME[_plain(item["name"])], current, source)
        else:
            # a name after a release begins a new group; further releases would add to the old one
            names = [*([] if current else names), _BY_NAME[_plain(item["name"])]]
            current = ""
