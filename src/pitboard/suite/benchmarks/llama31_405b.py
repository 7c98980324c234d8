"""Llama 3.1 405B pretraining, and its presets.

Sources: the official ruleset `training_5.1.0/closed_llama31_405b.yaml`, the tables of the training rules, the
reference's README.
"""

from fractions import Fraction
from math import ceil

from pitboard.suite.model import Benchmark, EvaluationSchedule, Preset, Scalar, computed, fixed, free
from pitboard.suite.presets import measured, with_presets

_EVALUATION_SAMPLES = 5_760
# The batch of the reference, by which the rules scale the schedule.
_BATCH = 1152


def closed_schedule(global_batch_size: int) -> dict[str, Scalar]:
    """Return the settings that the closed division makes follow from the batch: rate, warm-up, steps."""
    return {
        "learning_rate": 8e-5 * global_batch_size / _BATCH,
        "warmup_steps": ceil(8000 * _BATCH / global_batch_size),
        "max_steps": ceil(1_200_000 * _BATCH / global_batch_size),
    }


_FULL: dict[str, Scalar] = {
    "dataset": "c4",
    "hidden_size": 16384,
    "intermediate_size": 53248,
    "layers": 126,
    "attention_heads": 128,
    "key_value_heads": 8,
    "vocabulary_size": 32000,
    "rope_theta": 500000.0,
    "base_steps": None,
    "global_batch_size": _BATCH,
    "batch_follows_ranks": False,
    "micro_batch_size": 1,
    **closed_schedule(_BATCH),
    # The schedule's 1.4 billion sequences would read each document some 260 times; the reference converges
    # within half a million.
    "max_samples": 1_000 * _BATCH,
    "activation_checkpointing": "auto",
}

# The same architecture, optimizer and schedule; the base is pre-trained in initialisation.
_SMOKE: dict[str, Scalar] = {
    "dataset": "python",
    "hidden_size": 128,
    "intermediate_size": 448,
    "layers": 3,
    "attention_heads": 4,
    "key_value_heads": 1,
    "vocabulary_size": 1024,
    "sequence_length": 256,
    "base_steps": 120,
    "evaluation_samples": 64,
    "evaluation_interval": 24,
    # Far below the base (7.2), below what a run that leaves out a shard (3.28) or the base (3.8) ends with.
    "target": 3.14,
    "global_batch_size": 8,
    "micro_batch_size": None,
    "learning_rate": 3e-3,
    "warmup_steps": 8,
    "max_steps": 64,
    "max_samples": None,
    "activation_checkpointing": "none",
    # Compiling takes longer here than it saves.
    "compile": False,
}

_SANITY: dict[str, Scalar] = {
    "dataset": "synthetic",
    "target": None,
    "evaluation_interval": None,
    "evaluation_samples": 0,
    # With AdamW's state 424 GB: as many as a node of eight 80 GB GPUs holds.
    "layers": 8,
    "batch_follows_ranks": True,
    "max_steps": 100,
    "max_samples": None,
}

_BENCHMARK = Benchmark(
    id="llama31_405b",
    name="Llama 3.1 405B pretraining",
    area="Language",
    problem="LLM pretraining",
    dataset="C4 (en, 3.0.1)",
    split="trained on the last 256 of 1,024 shards, shuffled; evaluated on 5,760 sequences held out",
    model="Llama 3.1 405B",
    model_details="126 layers, 16,384 wide, from a pretrained checkpoint",
    reference="mlcommons/training: large_language_model_pretraining/nemo",
    metric="log perplexity",
    target=5.6,
    lower_is_better=True,
    evaluation=EvaluationSchedule(
        words="every {samples:,} sequences",
        samples=18_432,
        skipped=12,
        skipped_per_batch_sample=Fraction(26, 10_000),
    ),
    evaluation_samples=_EVALUATION_SAMPLES,
    runs=3,
    optimizer="adamw",
    hyperparameters=(
        *free("global_batch_size", "gradient_accumulation_steps"),
        *fixed(
            opt_name="adamw",
            opt_adamw_beta_1=0.9,
            opt_adamw_beta_2=0.95,
            opt_adamw_epsilon=1e-5,
            opt_adamw_weight_decay=0.1,
            opt_gradient_clip_norm=1.0,
            opt_learning_rate_decay_schedule="cosine with linear warmup",
            max_sequence_length=8192,
            eval_samples=_EVALUATION_SAMPLES,
            init_checkpoint_step=0,
        ),
        *computed(
            opt_base_learning_rate="8e-5 * global_batch_size / 1152",
            opt_learning_rate_decay_steps=(
                "ceil(1_200_000 * 1152 / global_batch_size) - ceil(8000 * 1152 / global_batch_size)"
            ),
        ),
        *computed(source="rules", opt_learning_rate_warmup_steps="ceil(8000 * 1152 / global_batch_size)"),
        *fixed(source="rules", opt_end_learning_rate=8e-7, dropout=0.0),
    ),
)

LLAMA31_405B = with_presets(
    _BENCHMARK,
    Preset(
        name="smoke",
        summary="The same code path on a small base, continued on two texts of Python's; no download.",
        values=_SMOKE,
        reference_convergence=measured("llama31_405b_smoke"),
    ),
    Preset(
        name="full",
        summary="The benchmark as the closed division demands it: Meta's weights, the preprocessed C4.",
        values=_FULL,
    ),
    Preset(
        name="sanity",
        summary="Full-size layers on synthetic tokens, without a target: a quick test of a node's stack.",
        values=_SANITY,
    ),
)
