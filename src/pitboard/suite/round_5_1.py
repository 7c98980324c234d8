"""Round 5.1: seven benchmarks, and the two that they replaced.

Sources: the official rulesets `training_5.1.0` and `benchmark_meta` of mlperf-logging; the tables 'quality
targets', 'hyperparameters', 'evaluation frequency' and 'minimum number of runs' of the training rules; the
reference READMEs of mlcommons/training. Where the rules and the ruleset differ, the ruleset counts.
"""

from datetime import date
from fractions import Fraction

from pitboard.suite.flux1 import FLUX1
from pitboard.suite.hyperparameters import computed, fixed, free
from pitboard.suite.llama2_70b_lora import LLAMA2_70B_LORA
from pitboard.suite.llama31_8b import LLAMA31_8B
from pitboard.suite.model import Benchmark, EvaluationSchedule, Retired, Round

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

ROUND_5_1 = Round(
    version="5.1",
    ruleset="5.1.0",
    published=date(2025, 11, 12),
    benchmarks=(LLAMA31_8B, FLUX1, LLAMA2_70B_LORA, LLAMA31_405B, RETINANET, RGAT, DLRM_DCNV2),
    retired=(
        Retired(
            id="bert",
            name="BERT",
            area="Language",
            dataset="Wikipedia 2020/01/01",
            target="masked-LM accuracy ≥ 0.72",
            last_round="5.0",
            replaced_by="llama31_8b",
        ),
        Retired(
            id="stable_diffusion",
            name="Stable Diffusion v2",
            area="Vision",
            dataset="LAION-400M filtered",
            target="FID ≤ 90 and CLIP ≥ 0.15",
            last_round="5.0",
            replaced_by="flux1",
        ),
    ),
)
