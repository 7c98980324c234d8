"""The rounds of MLPerf Training: one table, which everything that must know a round reads.

A row is the version, when its results were published, and the SHA-256 of the archive of results from which
`make rounds` builds what the package ships of it.

A round's benchmarks, run counts and targets are read from the installed `mlperf-logging` (`suite.official`),
never typed. Those of round 5.1 are described in full besides, in `suite.benchmarks`; where the training rules
and the ruleset differ there, the ruleset counts.
"""

import re

from pitboard.errors import PitboardError
from pitboard.suite.benchmarks.dlrm_dcnv2 import DLRM_DCNV2
from pitboard.suite.benchmarks.flux1 import FLUX1
from pitboard.suite.benchmarks.llama2_70b_lora import LLAMA2_70B_LORA
from pitboard.suite.benchmarks.llama31_8b import LLAMA31_8B
from pitboard.suite.benchmarks.llama31_405b import LLAMA31_405B
from pitboard.suite.benchmarks.retinanet import RETINANET
from pitboard.suite.benchmarks.rgat import RGAT
from pitboard.suite.model import Benchmark, Retired, Round


def _round(
    version: str,
    published: str | None,
    archive: str | None = None,
    benchmarks: tuple[Benchmark, ...] = (),
    retired: tuple[Retired, ...] = (),
) -> Round:
    repository = f"https://github.com/mlcommons/training_results_v{version}"
    return Round(
        version=version,
        ruleset=f"{version}.0",
        published=published,
        source=repository if published else None,
        archive=archive,
        benchmarks=benchmarks,
        retired=retired,
    )


# Where each date stands. "Archive" is the index of the copies of MLCommons' result repositories that
# `make rounds` reads, which tells the month only.
#   1.0  archive; itbusinessnet.com/2021/06/mlcommons-releases-mlperf-training-v1-0-results
#   1.1  insidehpc.com/2021/12/mlcommons-releases-mlperf-training-v1-1-ai-benchmarks
#   2.0  insidehpc.com/2022/06/mlperf-latest-results-highlight-more-capable-ml-training
#   2.1  forbes.com/sites/karlfreund/2022/11/09/nvidia-wins-again
#   3.0  insidehpc.com/2023/06/mlcommons-mlperf-results-show-ai-performance-gains
#   3.1  NVIDIA's post of that day, copied at prefersystems.com/2023/11/08
#   4.0, 4.1  archive
#   5.0, 5.1, 6.0  MLCommons by GLOBE NEWSWIRE; mlcommons.org/2026/06/mlperf-training-v6-0-results
#   6.1  no source tells of results
ROUNDS = (
    _round("1.0", "2021-06", "8c887bb7b3cbd362b7e5bc88cc54e362ffad1d76e67eeb3c7f078d2a35dbcb85"),
    _round("1.1", "2021-12-01"),
    _round("2.0", "2022-06-29", "6082b1979b3389418f2d31d3cea9a7f82135c5ec4b33497ae0573ee6baf58caf"),
    _round("2.1", "2022-11-09"),
    _round("3.0", "2023-06-27"),
    _round("3.1", "2023-11-08", "0f56a05ef2e02b9378f54a10c05ffb66a730c764a0d02720a4f763234fb1ad46"),
    _round("4.0", "2024-06", "49540459a098f8cb5a3e4a68695821bd02b18a3a7e14c4417aaaa030f71a58b6"),
    _round("4.1", "2024-11", "3c0d7df0b1df0c10ef5320ac69d7b1fac7854bf2d528193dccf89d34c7703a28"),
    _round("5.0", "2025-06-04", "c167c91703f89550cc201fc25dd7df36897191776b7fd88abb16b4e9ec05875c"),
    _round(
        "5.1",
        "2025-11-12",
        "2845ad0a5390fa9f4ff0ab94116645097673c1ff6f979a915e27f03e10cb7ca5",
        benchmarks=(LLAMA31_8B, FLUX1, LLAMA2_70B_LORA, LLAMA31_405B, RETINANET, RGAT, DLRM_DCNV2),
        retired=(
            Retired(
                id="bert",
                name="BERT",
                area="Language",
                dataset="Wikipedia 2020/01/01",
                target="masked-LM accuracy ≥ 0.72",
                last_round="5.0",
                replaced_by="llama31_8b",
            ),
            Retired(
                id="stable_diffusion",
                name="Stable Diffusion v2",
                area="Vision",
                dataset="LAION-400M filtered",
                target="FID ≤ 90 and CLIP ≥ 0.15",
                last_round="5.0",
                replaced_by="flux1",
            ),
        ),
    ),
    _round("6.0", "2026-06-16"),
    _round("6.1", None),
)
"""Every round from 1.0 on that `mlperf-logging` has rules for, oldest first."""

NEWEST_RACED = next(known for known in reversed(ROUNDS) if known.raceable)
"""The newest round that Pitboard can race: the default wherever runs are made or shown."""

NEWEST_RACED_LABEL = f"{NEWEST_RACED.version}, the newest that Pitboard can race"
"""How users are told which round a run takes where none is named."""


def find_round(version: str) -> Round:
    """Return a round by its version: "5.1", "v5.1" or the name of its ruleset, "5.1.0".

    Raises `PitboardError` for an unknown one, with the nearest that are known.
    """
    wanted = version.removeprefix("v")
    for known in ROUNDS:
        if wanted in (known.version, known.ruleset):
            return known
    raise PitboardError(f"There is no round '{version:.40}'. {_nearest(wanted)}")


def raceable_round(version: str | None = None) -> Round:
    """Return the round to race: the newest that can be, unless a version is given.

    Raises `PitboardError` for an unknown round and for one that Pitboard cannot race.
    """
    if version is None:
        return NEWEST_RACED
    wanted = find_round(version)
    if not wanted.raceable:
        can = ", ".join(known.version for known in ROUNDS if known.raceable)
        raise PitboardError(
            f"Pitboard cannot race round {wanted.version} yet; it can race {can}."
            f" `pitboard suite --round {wanted.version}` lists its benchmarks."
        )
    return wanted


def _nearest(version: str) -> str:
    """Return a sentence that names the known rounds next to a version, or all where it is no number."""
    every = [known.version for known in ROUNDS]
    if not re.fullmatch(r"\d{1,3}(\.\d{1,3})?", version):
        return f"Known: {', '.join(every)}."
    number = float(version)
    first, second = sorted(sorted(every, key=lambda known: abs(float(known) - number))[:2], key=float)
    return f"The nearest are {first} and {second}."
