"""Which accelerator a free-text description means: vendor, model, memory and architecture.

Submitters write one part in many ways ("NVIDIA Blackwell GPU (B200-SXM-180GB)", "B200"). The catalogue
gives it one name, so that like can be compared with like. The caller keeps the original text: what the
catalogue drops (form factor, cooling, the memory that a driver reported) is still there.
"""

import re
from collections.abc import Iterator

import msgspec

GENERATION_YEAR = {
    "Volta": 2017,
    "Turing": 2018,
    "Gaudi": 2019,
    "Ascend": 2019,
    "Ampere": 2020,
    "IPU Mk2": 2020,
    "CDNA": 2020,
    "TPU v4": 2021,
    "CDNA 2": 2021,
    "Gaudi 2": 2022,
    "Hopper": 2022,
    "Ada": 2022,
    "IPU Bow": 2022,
    "RDNA 3": 2022,
    "Xe-HPC": 2023,
    "TPU v5": 2023,
    "CDNA 3": 2023,
    "Gaudi 3": 2024,
    "TPU v6": 2024,
    "Trainium 2": 2024,
    "Blackwell": 2024,
    "Blackwell Ultra": 2025,
    "CDNA 4": 2025,
    "RDNA 4": 2025,
    "TPU v7": 2025,
    "Rubin": 2026,
}
"""Architecture family to the year its first part was released; orders the generations of one vendor."""

_LONGEST = 400  # characters looked at; the longest description in the published rounds has 47

# vendor, generation: model | memory in GB, the usual one first | other ways to write it; the next model
_PARTS = """
NVIDIA, Volta:           V100 | 32 16
NVIDIA, Turing:          T4 | 16
NVIDIA, Ampere:          A100 | 80 40; A100 PCIe | 80 40; A800 | 80 40; A40 | 48; A30 | 24; A10 | 24
NVIDIA, Ampere:          A10G | 24
NVIDIA, Ampere:          RTX A6000 | 48; RTX A5000 | 24; RTX A4000 | 16; RTX 3090 | 24; RTX 3090 Ti | 24
NVIDIA, Ada:             L40 | 48; L40S | 48; L4 | 24; RTX 4090 | 24; RTX 4080 | 16; RTX 6000 Ada | 48
NVIDIA, Hopper:          H100 | 80 96 64; H100 PCIe | 80; H100 NVL | 94; H800 | 80; H20 | 96 141
NVIDIA, Hopper:          H200 | 141; H200 NVL | 141; GH200 | 96 144
NVIDIA, Blackwell:       B200 | 180; GB200 | 186; B100 | 180; GB10 | 128
NVIDIA, Blackwell:       RTX 5090 | 32; RTX 5080 | 16; RTX Pro 5000 | 48 72; RTX Pro 4500 | 32
NVIDIA, Blackwell:       RTX Pro 6000 | 96 | RTX 6000 Pro
NVIDIA, Blackwell Ultra: B300 | 270; GB300 | 279
NVIDIA, Rubin:           VR200 | 288; R200 | 288
AMD, CDNA:               MI100 | 32
AMD, CDNA 2:             MI210 | 64; MI250 | 128; MI250X | 128
AMD, CDNA 3:             MI300A | 128; MI300X | 192; MI308X | 192; MI325X | 256
AMD, CDNA 4:             MI350X | 288; MI355X | 288
AMD, RDNA 3:             RX 7900 XTX | 24; RX 7900 XT | 20; Radeon Pro W7900 | 48 | W7900
AMD, RDNA 4:             RX 9070 XT | 16; Radeon AI Pro R9700 | 32 | R9700
Google, TPU v4:          TPU v4 | 32
Google, TPU v5:          TPU v5e | 16 | TPU v5 lite; TPU v5p | 95
Google, TPU v6:          TPU Trillium | 32 | Trillium, TPU v6e, TPU v6
Google, TPU v7:          TPU Ironwood | 192 | Ironwood, TPU v7, TPU v7x
Intel, Gaudi:            Gaudi HL-205 | 32 | HL-205, Habana Gaudi
Intel, Gaudi 2:          Gaudi 2 | 96 | HL-225, Gaudi R 2, Habana Gaudi 2
Intel, Gaudi 3:          Gaudi 3 | 128 | HL-325, Gaudi R 3
Intel, Xe-HPC:           Max 1550 | 128 | Data Center GPU Max 1550; Max 1100 | 48
Graphcore, IPU Mk2:      IPU GC200 | 32
Graphcore, IPU Bow:      Bow IPU | 32
Huawei, Ascend:          Ascend 910 | 32
AWS, Trainium 2:         Trainium 2 | 96 | trn2
"""


class Accelerator(msgspec.Struct, frozen=True):
    """One catalogue entry.

    `memory_gb` is the nominal memory of one accelerator as its vendor names it; `generation` is an
    architecture family, a key of `GENERATION_YEAR`.
    """

    vendor: str
    model: str
    memory_gb: int
    generation: str

    @property
    def name(self) -> str:
        """Vendor and model: "NVIDIA B200"."""
        return f"{self.vendor} {self.model}"


class _Part(msgspec.Struct, frozen=True):
    vendor: str
    model: str
    generation: str
    memories: tuple[int, ...]

    def with_memory(self, stated: int | None) -> Accelerator:
        usual = self.memories[0]
        nearest = min(self.memories, key=lambda gb: abs(gb - (stated or usual)))
        return Accelerator(self.vendor, self.model, nearest, self.generation)


def _spellings() -> Iterator[tuple[str, _Part]]:
    """Every way to write a part, lower case with single spaces, from the table."""
    for line in _PARTS.strip().splitlines():
        family, parts = line.split(":", 1)
        vendor, generation = family.split(", ")
        for part in parts.split(";"):
            model, memories, *others = (field.strip() for field in part.split("|"))
            entry = _Part(vendor, model, generation, tuple(int(gb) for gb in memories.split()))
            for spelling in (model, *(other for field in others for other in field.split(", "))):
                yield _plain(spelling), entry


def _plain(text: str) -> str:
    """`text` in lower case, with every run of other signs than letters and figures made one space."""
    return re.sub(r"[^a-z0-9]+", " ", text[:_LONGEST].lower()).strip()


_BY_SPELLING = {spelling.replace(" ", ""): part for spelling, part in _spellings()}
# Longest first, so "h200 nvl" is tried before "h200"; the look-arounds keep "b200" out of "gb200" and "a30"
# out of "a3000", while a form factor may be glued on ("H100SXM5", "GB200NVL72").
_PATTERN = re.compile(
    r"(?<![a-z0-9])(?:"
    + "|".join(
        # A space may be left out, or stand between letters and figures: "RTX4090", "MI 300X".
        re.sub(r"(?<=[a-z]{2})(?=[0-9])", " ?", spelling.replace(" ", " ?"))
        for spelling, _ in sorted(_spellings(), key=lambda pair: -len(pair[0]))
    )
    + r")(?=$|[^a-z0-9]|sxm|nvl|pcie|oam)"
)
_MEMORY = re.compile(
    r"(?<![\w.])([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*([TGM])(?:i?B)?(?![A-Za-z0-9])", re.IGNORECASE
)
_PER_GB = {"T": 1000, "G": 1, "M": 1 / 1024}


def accelerator(text: str | None, memory: str | None = None) -> Accelerator | None:
    """The part that a system description's `accelerator_model_name` means, or None.

    None where the text names no part of the catalogue, or more than one; nothing is guessed from a vendor's
    or a family's name alone. Where a part was sold with several memories, the one nearest to what `text`
    states is taken, else nearest to `memory` (`accelerator_memory_capacity`), else the usual one.
    """
    if not text:
        return None
    parts = {_BY_SPELLING[found.replace(" ", "")] for found in _PATTERN.findall(_plain(text))}
    if len(parts) != 1:
        return None
    return parts.pop().with_memory(memory_gb(text) or memory_gb(memory))


def memory_gb(text: str | None) -> int | None:
    """The memory of one accelerator in GB that `text` states, or None: "183359 MiB" is 179, "2x 24 GB" is 24.

    Vendors call 2**30 bytes a GB, so MiB and MB are divided by 1024, and GiB and GB are the same.
    """
    found = _MEMORY.search(text[:_LONGEST]) if text else None
    return round(float(found[1]) * _PER_GB[found[2].upper()]) or None if found else None
