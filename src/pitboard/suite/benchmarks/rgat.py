"""R-GAT node classification.

Sources: the official ruleset `training_5.1.0/closed_rgat.yaml`, the tables of the training rules, the
reference's README.
"""

from pitboard.suite.model import Benchmark, EvaluationSchedule, fixed, free

RGAT = Benchmark(
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
        rule="20 times an epoch: every 4,730,280 training nodes, rounded up to whole steps",
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
