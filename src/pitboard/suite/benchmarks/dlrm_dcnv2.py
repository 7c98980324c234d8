"""DLRM-DCNv2 recommendation.

Sources: the official ruleset `training_5.1.0/closed_dlrm_dcnv2.yaml`, the tables of the training rules, the
reference's README.
"""

from pitboard.suite.model import Benchmark, EvaluationSchedule, fixed, free

DLRM_DCNV2 = Benchmark(
    id="dlrm_dcnv2",
    name="DLRM-DCNv2 recommendation",
    area="Commerce",
    problem="Recommendation",
    dataset="Criteo 3.5TB",
    split="click logs, multi-hot variant: trained on 4,195,197,692 samples, evaluated on 89,137,319",
    model="DLRM-DCNv2",
    model_details="embedding tables, bottom and top networks, deep cross network of three layers",
    reference="mlcommons/training: recommendation_v2/torchrec_dlrm",
    metric="AUC",
    target=0.80275,
    lower_is_better=False,
    evaluation=EvaluationSchedule(
        rule="20 times in 4,195,197,692 samples: every floor(4,195,197,692 / (20 * global batch size)) steps",
        samples=4_195_197_692 // 20,
        rounded="down",
    ),
    evaluation_samples=89_137_319,
    runs=10,
    optimizer="adagrad",
    progress_key="epoch_num",
    hyperparameters=(
        *free("global_batch_size", "opt_base_learning_rate", "gradient_accumulation_steps"),
        *fixed(
            opt_name="adagrad",
            opt_adagrad_learning_rate_decay=0.0,
            opt_adagrad_initial_accumulator_value=0.0,
            opt_adagrad_epsilon=1e-8,
            opt_weight_decay=0.0,
            opt_learning_rate_warmup_steps=0,
            opt_learning_rate_decay_start_step=0,
            opt_learning_rate_decay_steps=0,
            eval_samples=89_137_319,
        ),
    ),
)
