"""How benchmarks follow one another over the rounds, and which of them are generative.

The rulesets name a benchmark by an id, and tell its target; that an id was given up for another one, and
whether the task stayed the same, stands in the training rules and the reference implementations only.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Succession:
    """That benchmark `id` took the place of `earlier`, and `why` the two are the same task or are not.

    It `continues` where dataset and target stayed and only the name changed.
    """

    id: str
    earlier: str
    continues: bool
    why: str


SUCCESSIONS = (
    Succession("retinanet", "ssd", True, "the same RetinaNet on OpenImages to the same target, renamed"),
    Succession("rgat", "gnn", True, "the same R-GAT on IGBH to the same target, renamed"),
    Succession("dlrm_dcnv2", "dlrm", False, "another model, multi-hot Criteo data and another target"),
    Succession("llama31_8b", "bert", False, "another model, dataset and target"),
    Succession("flux1", "stable_diffusion", False, "another model, dataset and target"),
    Succession("llama31_405b", "gpt3", False, "another model and target"),
)

GENERATIVE = frozenset(
    {
        *("gpt3", "llama2_70b_lora", "llama31_405b", "llama31_8b", "stable_diffusion", "flux1"),
        *("gpt_oss_20b", "deepseekv3_671b", "qwen35_397b_grpo"),
    }
)
"""The benchmarks that train or fine-tune a model which generates text or pictures."""
