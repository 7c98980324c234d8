"""Llama 3.1 8B pretraining, new in round 5.1, and its presets.

Sources: the official ruleset `training_5.1.0/closed_llama31_8b.yaml` and its reference convergence points,
the training rules (pull requests 567 and 572 of mlcommons/training_policies), the reference's README.
"""

from fractions import Fraction

from pitboard.suite.model import Benchmark, EvaluationSchedule, Preset, Scalar, computed, fixed, free
from pitboard.suite.presets import measured, with_presets

_EVALUATION_SAMPLES = 1024
_MAX_STEPS = 1_200_000
# Of the learning rate.
_END = Fraction(1, 10)

_FULL: dict[str, Scalar] = {
    "dataset": "c4",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "layers": 32,
    "attention_heads": 32,
    "key_value_heads": 8,
    "vocabulary_size": 128256,
    "rope_theta": 500000.0,
    "global_batch_size": 32,
    "batch_follows_ranks": False,
    "micro_batch_size": 1,
    "learning_rate": 8e-4,
    # The reference warms up over 4,096 samples at this batch size.
    "warmup_steps": 128,
    "activation_checkpointing": "auto",
    "compile": None,
}

# The same architecture, optimizer and schedule, small enough for two CPU cores and a text in a package.
_SMOKE: dict[str, Scalar] = {
    "dataset": "bible",
    "hidden_size": 128,
    "intermediate_size": 448,
    "layers": 2,
    "attention_heads": 4,
    "key_value_heads": 1,
    "vocabulary_size": 1024,
    "sequence_length": 256,
    "evaluation_samples": 64,
    "evaluation_interval": 128,
    # Below what the last token alone can tell (a bigram model of this text stands at 3.7), so that a model
    # whose attention does nothing does not pass; it stands at 3.9 at the sample limit.
    "target": 3.65,
    "global_batch_size": 4,
    "micro_batch_size": None,
    "learning_rate": 4e-3,
    "warmup_steps": 50,
    "max_steps": 540,
    "activation_checkpointing": "none",
    # Where BF16 is native, which is where it is compiled at all on CPUs, it takes 35 s here and saves 3.
    "compile": False,
}

_SANITY: dict[str, Scalar] = {
    "dataset": "synthetic",
    "target": None,
    "evaluation_interval": None,
    "evaluation_samples": 0,
    "batch_follows_ranks": True,
    "max_steps": 200,
}

_BENCHMARK = Benchmark(
    id="llama31_8b",
    name="Llama 3.1 8B pretraining",
    area="Language",
    problem="Small LLM pretraining",
    dataset="C4 (en, 3.0.1)",
    split="trained on the last 256 of 1,024 shards, shuffled; evaluated on 1,024 sequences held out",
    model="Llama 3.1 8B",
    model_details="32 layers, 4,096 wide, grouped-query attention, from random weights",
    reference="mlcommons/training: small_llm_pretraining/nemo",
    metric="log perplexity",
    target=3.3,
    lower_is_better=True,
    evaluation=EvaluationSchedule(
        words="every {samples:,} sequences",
        samples=12288,
    ),
    evaluation_samples=_EVALUATION_SAMPLES,
    runs=10,
    optimizer="adamw",
    replaces="bert",
    hyperparameters=(
        *free("global_batch_size", "opt_base_learning_rate", "opt_learning_rate_warmup_steps"),
        *free("gradient_accumulation_steps"),
        *fixed(
            opt_name="adamw",
            opt_adamw_beta_1=0.9,
            opt_adamw_beta_2=0.95,
            opt_adamw_epsilon=1e-5,
            opt_adamw_weight_decay=0.1,
            opt_gradient_clip_norm=1.0,
            opt_learning_rate_decay_schedule="cosine with linear warmup",
            max_sequence_length=8192,
            max_steps=_MAX_STEPS,
            eval_samples=_EVALUATION_SAMPLES,
        ),
        *computed(opt_learning_rate_decay_steps=f"{_MAX_STEPS:_} - opt_learning_rate_warmup_steps"),
        *computed(source="rules", opt_end_learning_rate=f"{float(_END)} * opt_base_learning_rate"),
        *fixed(source="rules", dropout=0.0),
    ),
)

LLAMA31_8B = with_presets(
    _BENCHMARK,
    Preset(
        name="smoke",
        summary="The same architecture and code path, scaled down to a packaged text; no download.",
        values=_SMOKE,
        reference_convergence=measured("llama31_8b_smoke"),
    ),
    Preset(
        name="full",
        summary="The benchmark as the closed division demands it, on the preprocessed C4.",
        values=_FULL,
    ),
    Preset(
        name="sanity",
        summary="Full-size layers on synthetic tokens, without a target: a quick test of a node's stack.",
        values=_SANITY,
    ),
    end_learning_rate=_END,
    settings=("max_steps",),
)
