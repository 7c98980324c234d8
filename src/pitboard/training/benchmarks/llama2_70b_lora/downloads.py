"""What the Llama 2 70B LoRA benchmark needs to be downloaded, and what is known about it.

Sources: the reference's README and scripts (mlcommons/training, `llama2_70b_lora`) for the files and their
layout; the training rules for the counts of sequences; the model's config.json for its sizes.
"""

from pathlib import Path

from pitboard.errors import PitboardError
from pitboard.training.data.downloads import Download
from pitboard.training.data.llama_weights import LlamaWeights

DATA_FOLDER = "scrolls_gov_report_8k"
MODEL_FOLDER = "Llama2-70b-fused-qkv-mlperf"
SEQUENCES = {"train": 3901, "validation": 173}
"""Packed sequences of `SEQUENCE_LENGTH` tokens in each split."""
SEQUENCE_LENGTH = 8192


MODEL = LlamaWeights(layers=80, width=8192, key_width=1024, inner=28672, vocabulary=32000, fused=True)

_STORE = "https://llama2.mlcommons-storage.org/metadata"
DOWNLOADS = (
    Download(
        what="GovReport of SCROLLS, packed to 8,192 tokens; for members of MLCommons, who sign in",
        size="about 1.5 GB",
        licence="works of the United States' government",
        uri=f"{_STORE}/scrolls-gov-report-8k.uri",
        folder=DATA_FOLDER,
    ),
    Download(
        what="Llama 2 70B with fused query, key and value; for members of MLCommons, who sign in",
        size="138 GB",
        licence="Llama 2 Community License",
        uri=f"{_STORE}/llama-2-70b-fused-qkv-mlperf.uri",
        folder=MODEL_FOLDER,
    ),
)


def parquet_files(folder: Path, split: str) -> list[Path]:
    """Return a split's files, `train*.parquet` or `validation*.parquet`, in the order of their names.

    Raises `PitboardError` if there are none.
    """
    files = sorted(folder.glob(f"{split}*.parquet"))
    if not files:
        raise PitboardError(
            f"{folder} holds no {split}*.parquet; give the folder of the packed GovReport."
            " `pitboard data llama2_70b_lora` says what to download."
        )
    return files
