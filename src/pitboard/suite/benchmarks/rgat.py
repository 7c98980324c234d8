"""R-GAT node classification, and its presets.

Sources: the official ruleset `training_5.1.0/closed_rgat.yaml` and its reference convergence points, the
tables of the training rules, the reference's README and scripts (mlcommons/training,
`graph_neural_network`).
"""

from pitboard.suite.model import Benchmark, EvaluationSchedule, Preset, Scalar, fixed, free
from pitboard.suite.presets import measured, with_presets

_FULL: dict[str, Scalar] = {
    "dataset": "igbh-full",
    "shard_features": True,
    "feature_size": 1024,
    "hidden_size": 512,
    "attention_heads": 4,
    "classes": 2983,
    "dropout": 0.2,
    "fan_out": "15-10-5",
    # Batch size and learning rate of the first reference convergence point; two epochs, as the reference.
    "global_batch_size": 4096,
    "micro_batch_size": None,
    "learning_rate": 1e-3,
    "max_samples": 2 * 94_605_581,
    # Every batch has other shapes.
    "compile": False,
}

# The same layers, sampling and optimizer, small enough for two CPU cores and the text in a package.
_SMOKE: dict[str, Scalar] = {
    "dataset": "verses",
    "shard_features": False,
    "feature_size": 128,
    "hidden_size": 64,
    "classes": 66,
    "fan_out": "6-3-2",
    "evaluation_samples": 1555,
    # A tenth of the epoch.
    "evaluation_interval": 1866,
    # Twenty of twenty seeds reach it by 23,040 samples; a perceptron on the same features comes to 0.30.
    "target": 0.45,
    "global_batch_size": 128,
    "learning_rate": 4e-3,
    "max_samples": 28_800,
}

_SANITY: dict[str, Scalar] = {
    "dataset": "synthetic",
    "shard_features": False,
    # A hundredth of IGBH-Full's.
    "synthetic_papers": 2_693_462,
    "target": None,
    "evaluation_interval": None,
    "evaluation_samples": 0,
    "batch_follows_ranks": True,
    "micro_batch_size": 1024,
    "max_samples": None,
    "max_steps": 200,
}

_BENCHMARK = Benchmark(
    id="rgat",
    name="R-GAT node classification",
    area="Graphs",
    problem="Node classification",
    dataset="IGBH-Full",
    split="trained on 94,605,581 labelled paper nodes; evaluated on 788,379",
    model="R-GAT",
    model_details="three-layer relational graph attention network, 25M parameters",
    reference="mlcommons/training: graph_neural_network",
    metric="accuracy",
    target=0.72,
    lower_is_better=False,
    evaluation=EvaluationSchedule(
        words="20 times an epoch: every {samples:,} training nodes",
        samples=4_730_280,
    ),
    evaluation_samples=788_379,
    runs=10,
    optimizer="adam",
    progress_key="epoch_num",
    hyperparameters=(
        *free("global_batch_size", "opt_base_learning_rate", "gradient_accumulation_steps"),
        *fixed(opt_name="adam"),
    ),
)

RGAT = with_presets(
    _BENCHMARK,
    Preset(
        name="smoke",
        summary="The same layers, sampling and code path on the verses of a packaged text; no download.",
        values=_SMOKE,
        reference_convergence=measured("rgat_smoke"),
    ),
    Preset(
        name="full",
        summary="The benchmark as the closed division demands it, on IGBH-Full.",
        values=_FULL,
    ),
    Preset(
        name="sanity",
        summary="Full-size layers on a made-up graph, without a target: a quick test of a node's stack.",
        values=_SANITY,
    ),
)
