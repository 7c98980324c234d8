"""The number formats in which matrix products are computed: one table, which everything that names one reads.

Pitboard trains in those with a `recipe`; the others are known because published logs name them.
"""

from dataclasses import dataclass
from typing import Literal

FormatName = Literal["fp32", "bf16", "fp8", "mxfp8", "nvfp4", "mxfp4"]
"""The formats that Pitboard trains in, as `--precision` and a log's `pitboard_precision` write them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One number format.

    `label` is how tables write it, `disclosed` how the rules of round 6.1 want a log to
    (`lowest_numerical_precision_in_linear`). `capability` is the CUDA compute capability from which it is
    native, `amd` the AMD architectures by the beginning of their name; where neither is given no GPU has it.
    `recipe` says which products are in it and by whose recipe, `wider` what stays in BF16 or wider;
    `wider_blocks` are the fractions of a model's blocks, first and last, that stay in BF16.
    """

    name: str
    label: str
    bits: int
    disclosed: str
    capability: tuple[int, int] | None = None
    amd: tuple[str, ...] = ()
    recipe: str = ""
    wider: str = ""
    wider_blocks: tuple[float, float] = (0.0, 0.0)

    @property
    def low(self) -> bool:
        """Whether it is narrower than BF16, so that single layers are converted to it."""
        return self.bits < 16


_USUAL = "embeddings, normalisation, attention products, output head"

_TABLE = (
    Format(name="fp32", label="FP32", bits=32, disclosed="fp32", recipe="all products", capability=(0, 0)),
    Format(
        name="bf16",
        label="BF16",
        bits=16,
        disclosed="bfloat16",
        capability=(8, 0),  # Ampere
        amd=("gfx",),
        recipe="all products, by autocast",
        wider="parameters, optimizer state, reductions",
    ),
    Format(
        name="fp8",
        label="FP8",
        bits=8,
        disclosed="fp8",
        capability=(8, 9),  # Ada, Hopper
        amd=("gfx94", "gfx95"),  # CDNA 3 and 4
        recipe="torchao float8 (arXiv:2209.05433): all three products of a linear layer; with one scale a row"
        " all in E4M3, with one a tensor gradients in E5M2",
        wider=_USUAL,
    ),
    Format(
        name="mxfp8",
        label="MXFP8",
        bits=8,
        # The rules' list has no name for it.
        disclosed="fp8",
        capability=(10, 0),  # Blackwell
        recipe="arXiv:2506.08027 (torchao): all three products of a linear layer, in E4M3",
        wider=_USUAL,
    ),
    Format(
        name="nvfp4",
        label="NVFP4",
        bits=4,
        disclosed="nvfp4",
        capability=(10, 0),  # Blackwell
        recipe="arXiv:2509.25149: all three products of a linear layer",
        wider=f"{_USUAL}, the first and the last blocks",
        # Of 62 blocks the 12B run of arXiv:2509.25149 (section 4.1) kept the first 2 and the last 8 in BF16.
        wider_blocks=(2 / 62, 8 / 62),
    ),
    # `torchao` has no kernel for MXFP4 with stochastic rounding.
    Format(
        name="mxfp4",
        label="MXFP4",
        bits=4,
        disclosed="mxfp4",
        recipe="arXiv:2502.20586: the two gradients' products of a linear layer",
        wider=f"{_USUAL}, the forward product",
    ),
    Format(name="fp16", label="FP16", bits=16, disclosed="fp16"),
)

FORMATS = {each.name: each for each in _TABLE}
"""Every format by its name."""

TRAINED = tuple(each.name for each in _TABLE if each.recipe)
"""The names of the formats that Pitboard trains in, widest first."""
