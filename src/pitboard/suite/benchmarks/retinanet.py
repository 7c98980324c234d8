"""RetinaNet object detection.

Sources: the official ruleset `training_5.1.0/closed_retinanet.yaml`, the tables of the training rules, the
reference's README.
"""

from pitboard.suite.model import Benchmark, EvaluationSchedule, fixed, free

RETINANET = Benchmark(
    id="retinanet",
    name="RetinaNet object detection",
    area="Vision",
    problem="Object detection (light weight)",
    dataset="OpenImages v6",
    split="MLPerf subset of 264 classes: trained on 1,170,301 images, evaluated on 24,781",
    model="RetinaNet",
    model_details="single-shot detector, ResNeXt-50 backbone pretrained on ImageNet",
    reference="mlcommons/training: single_stage_detector",
    metric="mAP",
    target=0.34,
    lower_is_better=False,
    evaluation=EvaluationSchedule(
        rule="every epoch of 1,170,301 images, rounded up to whole steps",
        samples=1_170_301,
    ),
    evaluation_samples=24_781,
    runs=5,
    optimizer="adam",
    progress_key="epoch_num",
    hyperparameters=(
        *free("global_batch_size", "opt_base_learning_rate", "gradient_accumulation_steps"),
        *free("opt_learning_rate_warmup_epochs", "opt_learning_rate_warmup_factor"),
        *fixed(opt_name="adam", opt_weight_decay=0.0),
    ),
)
