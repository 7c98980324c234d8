"""Llama 3.1 405B pretraining.

Sources: the official ruleset `training_5.1.0/closed_llama31_405b.yaml`, the tables of the training rules, the
reference's README.
"""

from fractions import Fraction

from pitboard.suite.model import Benchmark, EvaluationSchedule, computed, fixed, free

LLAMA31_405B = Benchmark(
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
        rule="every 18,432 sequences, rounded up to whole steps; "
        "the first floor(0.0026 * global batch size + 12) are skipped",
        samples=18_432,
        skipped=12,
        skipped_per_batch_sample=Fraction(26, 10_000),
    ),
    evaluation_samples=5_760,
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
            eval_samples=5_760,
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
