"""Llama 2 70B LoRA fine-tuning, and its presets.

Sources: the official ruleset `training_5.1.0/closed_llama2_70b_lora.yaml`, the training rules, and the
reference's README and launch script (mlcommons/training, `llama2_70b_lora`).
"""

from fractions import Fraction

from pitboard.suite.model import Benchmark, EvaluationSchedule, Preset, Scalar, fixed, free
from pitboard.suite.presets import measured, with_presets

_FULL: dict[str, Scalar] = {
    "dataset": "govreport",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "layers": 80,
    "attention_heads": 64,
    "key_value_heads": 8,
    "vocabulary_size": 32000,
    "rope_theta": 10000.0,
    # Llama 2's tokenizer puts <s> before each document, so it also tells where a packed one begins.
    "begin_token": 1,
    # As the reference: its attention spans the documents of a sequence.
    "document_boundaries": False,
    "global_batch_size": 8,
    "batch_follows_ranks": False,
    "micro_batch_size": 1,
    "learning_rate": 4e-4,
    "warmup_steps": 0,
    "max_steps": 1024,
    # The reference leaves these at the Trainer's defaults.
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
    "activation_checkpointing": "auto",
}

# The same architecture, adapters, optimizer and schedule; the base is pre-trained in initialisation.
_SMOKE: dict[str, Scalar] = {
    "dataset": "pydoc",
    "hidden_size": 128,
    "intermediate_size": 448,
    "layers": 3,
    "attention_heads": 4,
    "key_value_heads": 1,
    "vocabulary_size": 1024,
    "sequence_length": 256,
    "begin_token": 0,
    "document_boundaries": True,
    "base_steps": 160,
    "evaluation_samples": 32,
    "evaluation_interval": 32,
    # Far below the frozen base (6.21), and adapters on a base of random weights (6.7).
    "target": 5.18,
    "micro_batch_size": None,
    "learning_rate": 6e-3,
    "max_steps": 64,
    "activation_checkpointing": "none",
    # Compiling takes longer here than it saves.
    "compile": False,
}

_BENCHMARK = Benchmark(
    id="llama2_70b_lora",
    name="Llama 2 70B LoRA fine-tuning",
    area="Language",
    problem="LLM fine-tuning",
    dataset="SCROLLS GovReport",
    split="trained on 3,901 packed sequences of 8,192 tokens; evaluated on 173",
    model="Llama 2 70B LoRA",
    model_details="adapters of rank 16 on the attention of a frozen, pretrained Llama 2 70B",
    reference="mlcommons/training: llama2_70b_lora",
    metric="eval loss",
    target=0.925,
    lower_is_better=True,
    evaluation=EvaluationSchedule(
        words="every {samples:,} sequences",
        samples=384,
        skipped=2,
        skipped_per_batch_sample=Fraction(1, 8),
    ),
    evaluation_samples=173,
    runs=10,
    optimizer="adamw",
    hyperparameters=(
        *free("global_batch_size", "opt_base_learning_rate", "opt_learning_rate_training_steps"),
        *free("gradient_accumulation_steps"),
        *free("opt_learning_rate_warmup_ratio", source="rules"),
        *fixed(lora_rank=16),
        # The ruleset wants these logged and leaves the value to the rules.
        *fixed(
            source="rules",
            lora_alpha=32,
            lora_dropout=0.1,
            opt_gradient_clip_norm=0.3,
            opt_adamw_weight_decay=0.0001,
            # The rules print 8196, a slip: the reference and every published log train on 8192.
            max_sequence_length=8192,
        ),
    ),
)

LLAMA2_70B_LORA = with_presets(
    _BENCHMARK,
    Preset(
        name="smoke",
        summary="The same code path on a small base, tuned on Python's documentation; no download.",
        values=_SMOKE,
        reference_convergence=measured("llama2_70b_lora_smoke"),
    ),
    Preset(
        name="full",
        summary="The benchmark as the closed division demands it, on the packed GovReport.",
        values=_FULL,
    ),
    end_learning_rate=Fraction(0),
    settings=("lora_rank", "lora_alpha", "lora_dropout"),
)
