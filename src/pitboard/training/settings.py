"""The settings of a run: one flat, validated record, from a preset and the user's overrides."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pitboard import suite
from pitboard.errors import PitboardError, near
from pitboard.suite.formats import FORMATS, FormatName

Precision = Literal["auto", FormatName]

EXECUTION = frozenset(
    {
        *("precision", "fp8_scaling", "compile", "device", "activation_checkpointing", "micro_batch_size"),
        *("tensor_parallel", "replicas", "data_workers", "peak_tflops", "data", "model"),
    }
)
"""The settings that change nothing of what is learned, beyond rounding."""


class Settings(BaseModel):
    """What every benchmark's run is set by; a benchmark adds its own fields in a subclass.

    Counts are in samples (for a language model: sequences) unless a name says steps or tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str
    division: Literal["closed", "open"] = "open"

    # The race: quality target, and when it is looked at. No target: train to the sample limit.
    target: float | None = None
    evaluation_interval: int | None = Field(default=None, gt=0)
    evaluations_skipped: int = Field(default=0, ge=0)
    evaluations_skipped_per_batch_sample: float = Field(default=0.0, ge=0)
    evaluation_samples: int = Field(default=0, ge=0)
    max_samples: int | None = Field(default=None, gt=0, description="sample limit; else max_steps × batch")

    # The optimizer: AdamW, cosine with linear warm-up.
    global_batch_size: int = Field(gt=0)
    micro_batch_size: int | None = Field(default=None, gt=0, description="samples a rank takes at once")
    batch_follows_ranks: bool = Field(default=False, description="global batch: a micro-batch a rank")
    learning_rate: float = Field(gt=0)
    end_learning_rate: float = Field(ge=0)
    warmup_steps: int = Field(ge=0)
    max_steps: int = Field(gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    epsilon: float = Field(default=1e-5, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    decay_vectors: bool = Field(default=False, description="weight decay on norms and biases too")
    gradient_clip_norm: float = Field(default=1.0, gt=0)

    # How it is executed; none of these changes what is learned beyond rounding.
    precision: Precision = Field(default="auto", description="auto: what the device is fast at")
    fp8_scaling: Literal["rowwise", "tensorwise"] = "rowwise"
    compile: bool | None = Field(default=None, description="torch.compile; None: where a compiler is at hand")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    activation_checkpointing: bool = False
    tensor_parallel: int = Field(default=1, gt=0, description="ranks that share each layer")
    replicas: int = Field(default=1, gt=0, description="hybrid sharding: copies of the sharded model")
    data_workers: int | None = Field(default=None, ge=0, description="loader processes a rank")
    peak_tflops: float | None = Field(default=None, gt=0, description="the device's peak, where not known")

    @model_validator(mode="after")
    def _narrow_layers_whole(self) -> Self:
        if self.precision != "auto" and FORMATS[self.precision].low and self.tensor_parallel > 1:
            raise ValueError(
                f"precision {self.precision} rounds whole layers, which tensor_parallel"
                f" {self.tensor_parallel} would split; use tensor_parallel 1."
            )
        return self

    @property
    def sample_limit(self) -> int:
        """Training samples after which a run that has not reached its target is stopped."""
        limit = self.max_steps * self.global_batch_size
        return limit if self.max_samples is None else min(limit, self.max_samples)

    def rules(self, benchmark: suite.Benchmark) -> suite.Benchmark:
        """Return the benchmark's rules with the target and the evaluations of a run of these settings.

        Where the settings have no target, or no evaluation, the benchmark's own stands there.
        """
        evaluation = replace(
            benchmark.evaluation,
            samples=self.evaluation_interval or benchmark.evaluation.samples,
            skipped=self.evaluations_skipped,
            # The rules' fraction exactly: 0.0026 of a batch is not what the binary number makes of it.
            skipped_per_batch_sample=Fraction(str(self.evaluations_skipped_per_batch_sample)),
        )
        target = benchmark.target if self.target is None else self.target
        return replace(benchmark, target=target, evaluation=evaluation)

    def changed_from(self, values: Mapping[str, Any]) -> list[str]:
        """Name the settings that differ from a preset's `values` and change what is learned, in order."""
        preset = self.build({**values, "preset": self.preset}, {})
        same = EXECUTION | ({"global_batch_size"} if self.batch_follows_ranks else frozenset())
        names = sorted(type(self).model_fields.keys() - same)
        return [name for name in names if getattr(self, name) != getattr(preset, name)]

    @classmethod
    def build(cls, values: Mapping[str, Any], overrides: Mapping[str, Any]) -> Self:
        """Validate a preset's values with the user's overrides on top.

        The schedule's end follows a learning rate that is changed: it stays the same fraction of it, which
        the rules state (a tenth for Llama 3.1 8B) or the reference has (all of it for FLUX.1).
        Raises `PitboardError` for a setting that does not exist (with the nearest name) or a wrong value.
        """
        for key in overrides:
            if key not in cls.model_fields:
                raise PitboardError(f"Unknown setting '{key}'." + near(key, sorted(cls.model_fields)))
        given = {**values, **overrides}
        try:
            settings = cls.model_validate(given)
            if "end_learning_rate" in overrides or settings.learning_rate == values.get("learning_rate"):
                return settings
            end = settings.learning_rate * (values["end_learning_rate"] / values["learning_rate"])
            return cls.model_validate(given | {"end_learning_rate": end})
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(map(str, first["loc"]))
            what = f"Setting '{setting}' is {first['input']!r}" if setting else "The settings do not fit"
            raise PitboardError(
                f"{what}: {_sentence(first['msg'])} Change it with --set or take the preset's value."
            ) from error


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:] + "."


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """Split the `KEY=VALUE` texts of `--set`; pydantic turns the values into their types later.

    Raises `PitboardError` for a text without `=`.
    """
    parsed = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise PitboardError(f"--set {text!r}: expected KEY=VALUE, for example --set learning_rate=0.001.")
        parsed[key.strip().replace("-", "_")] = value.strip()
    return parsed
