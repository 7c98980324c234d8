"""DLRM-DCNv2 recommendation, and its presets.

Sources: the official ruleset `training_5.1.0/closed_dlrm_dcnv2.yaml` and its reference convergence points,
the tables of the training rules, the reference's README (mlcommons/training,
`recommendation_v2/torchrec_dlrm`).
"""

from pitboard.suite.model import Benchmark, EvaluationSchedule, Preset, Scalar, fixed, free
from pitboard.suite.presets import measured, with_presets

_SAMPLES, _EVALUATION_SAMPLES = 4_195_197_692, 89_137_319

_FULL: dict[str, Scalar] = {
    "dataset": "criteo",
    "epoch_samples": _SAMPLES,
    "dense_features": 13,
    # By the reference's 26 hashed features: rows of each table, and how many of them a sample names.
    "table_rows": "40000000,39060,17295,7424,20265,3,7122,1543,63,40000000,3067956,405282,10,"
    "2209,11938,155,4,976,14,40000000,40000000,40000000,590152,12973,108,36",
    "ids_per_table": "3,2,1,2,6,1,1,1,1,7,3,8,1,6,9,5,1,1,1,12,100,27,10,3,1,1",
    "largest_table": None,
    "embedding_width": 128,
    "bottom_widths": "512,256,128",
    "top_widths": "1024,1024,512,256,1",
    "cross_layers": 3,
    "cross_rank": 512,
    # Batch size and learning rate of an official reference convergence point; the rate never changes.
    "global_batch_size": 65_536,
    "batch_follows_ranks": False,
    "micro_batch_size": None,
    "learning_rate": 4e-3,
    "max_samples": _SAMPLES,
}

# The same model, optimizer and code path, small enough for two CPU cores and the flights in a package.
_SMOKE: dict[str, Scalar] = {
    "dataset": "flights",
    "epoch_samples": 619_284,
    "table_rows": "16,315,24,7,4043,128,106,4",
    "ids_per_table": "1,1,1,1,1,1,3,1",
    "embedding_width": 16,
    "bottom_widths": "64,32,16",
    # Narrow, so that it is the cross layers that find which features belong together.
    "top_widths": "32,1",
    "cross_layers": 3,
    "cross_rank": 32,
    "evaluation_samples": 36_644,
    "evaluation_interval": 619_284 // 20,
    # Six sound models were above 0.88 by the limit on the three weeks before those held out, three without
    # cross layers below 0.868 (docs/dlrm_dcnv2.md says how it was chosen).
    "target": 0.87,
    "global_batch_size": 512,
    "learning_rate": 3e-2,
    # Twelve evaluations, six tenths of an epoch.
    "max_samples": 368_640,
    "compile": False,
}

# A GPU's share of the reference's batch on eight; tables cut so that one holds them.
_SANITY: dict[str, Scalar] = {
    "dataset": "synthetic",
    "largest_table": 1_000_000,
    "target": None,
    "evaluation_interval": None,
    "evaluation_samples": 0,
    "batch_follows_ranks": True,
    "micro_batch_size": 8192,
    "max_samples": None,
    "max_steps": 200,
}

_BENCHMARK = Benchmark(
    id="dlrm_dcnv2",
    name="DLRM-DCNv2 recommendation",
    area="Commerce",
    problem="Recommendation",
    dataset="Criteo 3.5TB",
    split=f"click logs, multi-hot variant: trained on {_SAMPLES:,} samples,"
    f" evaluated on {_EVALUATION_SAMPLES:,}",
    model="DLRM-DCNv2",
    model_details="embedding tables, bottom and top networks, deep cross network of three layers",
    reference="mlcommons/training: recommendation_v2/torchrec_dlrm",
    metric="AUC",
    target=0.80275,
    lower_is_better=False,
    evaluation=EvaluationSchedule(
        words=f"20 times in {_SAMPLES:,} samples: every {{samples:,}} samples",
        samples=_SAMPLES // 20,
        rounded="down",
    ),
    evaluation_samples=_EVALUATION_SAMPLES,
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
            eval_samples=_EVALUATION_SAMPLES,
        ),
    ),
)

DLRM_DCNV2 = with_presets(
    _BENCHMARK,
    Preset(
        name="smoke",
        summary="The same model and code path, scaled down to which aircraft flew a flight; no download.",
        values=_SMOKE,
        reference_convergence=measured("dlrm_dcnv2_smoke"),
    ),
    Preset(
        name="full",
        summary="The benchmark as the closed division demands it, on Criteo's click logs.",
        values=_FULL,
    ),
    Preset(
        name="sanity",
        summary="Full-size layers on synthetic samples, without a target: a quick test of a node's stack.",
        values=_SANITY,
    ),
)
