"""What the Llama 3.1 405B benchmark needs to be downloaded, and what is known about it.

Sources: the reference's README and script (mlcommons/training, `large_language_model_pretraining/nemo`) for
the files, their addresses and the counts of the validation set; Meta's model card and config.json for the
weights and their sizes.

MLCommons gives its members the weights as a distributed checkpoint of NeMo, which the reference converted
from Meta's release on Hugging Face; that release is what is read here.
"""

from pitboard.training.benchmarks.llama31_8b.downloads import DatasetFacts
from pitboard.training.data.downloads import Download, HubDownload
from pitboard.training.data.llama_weights import LlamaWeights

MODEL_FOLDER = "model"
TOKENIZER_FOLDER = "tokenizer"
_STORE = "https://training.mlcommons-storage.org/metadata"

DOWNLOADS = (
    Download(
        what="C4 (en, 3.0.1) in the tokens of Mixtral 8x22B: the training shards, and the validation set",
        size="the two of eight training shards that are read are a quarter of C4's 365 million documents",
        licence="ODC-BY 1.0",
        uri=f"{_STORE}/mixtral-8x22b-preprocessed-c4-dataset.uri",
        folder="",
    ),
    Download(
        what="the tokenizer of Mixtral 8x22B",
        size="a few MB",
        licence="Apache-2.0",
        uri=f"{_STORE}/mixtral-8x22b-tokenizer.uri",
        folder=TOKENIZER_FOLDER,
    ),
    HubDownload(
        what="the weights of Llama 3.1 405B in BF16, from Meta, for those who accepted its licence",
        size="812 GB",
        licence="Llama 3.1 Community License",
        uri="https://huggingface.co/meta-llama/Llama-3.1-405B",
        folder=MODEL_FOLDER,
    ),
)

TRAIN = (DatasetFacts("c4-train.en_6_text_document"), DatasetFacts("c4-train.en_7_text_document"))
"""The training shards, equally weighted: C4's files 768 to 895 and 896 to 1,023 of 1,024."""

VALIDATION = DatasetFacts(
    "c4-validation-91205-samples.en_text_document", documents=91_205, tokens=47_186_855, sequences=5760
)
"""The first 91,205 documents of C4's validation set; all of the 5,760 sequences that they give."""

SEQUENCE_LENGTH = 8192
TOKENIZER_VOCABULARY = 32_000
MODEL = LlamaWeights(layers=126, width=16_384, key_width=1024, inner=53_248, vocabulary=128_256)
