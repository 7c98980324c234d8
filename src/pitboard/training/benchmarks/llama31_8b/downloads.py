"""What the Llama 3.1 8B benchmark needs to be downloaded, and what is known about it.

Sources: the reference's README (mlcommons/training, `small_llm_pretraining/nemo`) for the files, the
addresses and the counts of the validation set; AMD's README for this benchmark in
mlcommons/training_results_v5.1 for the sizes; the cards of allenai/c4 and meta-llama/Llama-3.1-8B for the
licences.

The README also says that the 91,205 validation documents hold 47,186,855 tokens. That figure was first stated
for the 405B benchmark, whose tokenizer is another, and does not fit the 167 MB (4 bytes a token) that
submitters list for the 8B file, so a download is not checked against it; the 1,024 sequences that are
evaluated must be there.
"""

from dataclasses import dataclass

from pitboard.training.data.downloads import Download


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of one indexed dataset, where published, and the sequences that must be there."""

    prefix: str
    documents: int | None = None
    tokens: int | None = None
    sequences: int = 1


DOWNLOADS = (
    Download(
        what="C4 (en, 3.0.1) as tokens: one training shard of eight, and the validation set",
        size="about 80 GB",
        licence="ODC-BY 1.0",
        uri="https://training.mlcommons-storage.org/metadata/llama-3-1-8b-preprocessed-c4-dataset.uri",
        folder="",
    ),
    Download(
        what="the tokenizer of Llama 3.1 8B; its folder has model weights too, which may be deleted",
        size="about 30 GB",
        licence="Llama 3.1 Community License",
        uri="https://training.mlcommons-storage.org/metadata/llama-3-1-8b-tokenizer.uri",
        folder="tokenizer",
    ),
)

TRAIN = DatasetFacts("c4-train.en_6_text_document")
"""The training shard: C4's files 768 to 895 of 1,024."""

VALIDATION = DatasetFacts("c4-validation-91205-samples.en_text_document", documents=91_205, sequences=1024)
"""The first 91,205 documents of C4's validation set; the first 1,024 sequences are evaluated."""

SEQUENCE_LENGTH = 8192
VOCABULARY_SIZE = 128_256
"""Tokens of the tokenizer, its 256 special ones included."""

TOKENIZER_FOLDER = "tokenizer"
