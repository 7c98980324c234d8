"""The settings of a run: one flat, validated record, from a preset and the user's overrides."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from pitboard import suite
from pitboard.errors import PitboardError, near
from pitboard.suite.formats import FORMATS, FormatName

Precision = Literal["auto", FormatName]
Checkpointing = Literal["none", "selective", "full", "auto"]
_YES_OR_NO = TypeAdapter(bool)

EXECUTION = frozenset(
    {
        *(
            "precision",
            "fp8_scaling",
            "fp8_all_gather",
            "compile",
            "device",
            "activation_checkpointing",
            "micro_batch_size",
        ),
        *("tensor_parallel", "context_parallel", "pipeline_parallel", "replicas"),
        *("data_workers", "peak_tflops", "data", "model"),
        "shard_features",
    }
)
"""The settings that change nothing of what is learned, beyond rounding."""


class Settings(BaseModel):
    """What every benchmark's run is set by; a benchmark adds its own fields in a subclass.

    Counts are in samples (for a language model: sequences) unless a name says steps or tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    spread_by: ClassVar[frozenset[str]] = frozenset()
    """Which of `tensor_parallel`, `context_parallel` and `pipeline_parallel` the benchmark's model can do."""

    preset: str
    division: Literal["closed", "open"] = "open"

    # The race: quality target, and when it is looked at. No target: train to the sample limit.
    target: float | None = None
    evaluation_interval: int | None = Field(default=None, gt=0)
    evaluations_skipped: int = Field(default=0, ge=0)
    evaluations_skipped_per_batch_sample: float = Field(default=0.0, ge=0)
    evaluation_samples: int = Field(default=0, ge=0)
    max_samples: int | None = Field(default=None, gt=0, description="sample limit; else max_steps × batch")
    max_steps: int | None = Field(default=None, gt=0, description="step limit")

    # The batch. The settings of an optimizer are in `training.optimizer`.
    global_batch_size: int = Field(gt=0)
    micro_batch_size: int | None = Field(default=None, gt=0, description="samples a rank takes at once")
    batch_follows_ranks: bool = Field(default=False, description="global batch: a micro-batch a rank")

    # How it is executed; none of these changes what is learned beyond rounding.
    precision: Precision = Field(default="auto", description="auto: what the device is fast at")
    fp8_scaling: Literal["rowwise", "tensorwise"] = "rowwise"
    fp8_all_gather: bool = Field(default=False, description="ranks gather weights in FP8")
    compile: bool | None = Field(default=None, description="torch.compile; None: where there is a compiler")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    activation_checkpointing: Checkpointing = Field(default="none", description="what is computed twice")
    tensor_parallel: int = Field(default=1, gt=0, description="ranks that share each layer")
    context_parallel: int = Field(default=1, gt=0, description="ranks that share each sequence")
    pipeline_parallel: int = Field(default=1, gt=0, description="stages that share the layers")
    replicas: int = Field(default=1, gt=0, description="hybrid sharding: copies of the sharded model")
    data_workers: int | None = Field(default=None, ge=0, description="loader processes a rank")
    peak_tflops: float | None = Field(default=None, gt=0, description="the device's peak, where not known")

    @field_validator("activation_checkpointing", mode="before")
    @classmethod
    def _once_yes_or_no(cls, value: object) -> object:
        """Read what older presets, `run.json` and commands have: yes stands for all of each block."""
        try:
            return "full" if _YES_OR_NO.validate_python(value) else "none"
        except ValidationError:
            return value

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.max_samples is None and self.max_steps is None:
            raise ValueError("give max_samples or max_steps: a run must end.")
        return self

    @model_validator(mode="after")
    def _spread_as_it_can_be(self) -> Self:
        for name in ("tensor_parallel", "context_parallel", "pipeline_parallel"):
            if getattr(self, name) > 1 and name not in self.spread_by:
                ways = ", ".join(["FSDP", *sorted(self.spread_by)]) if self.spread_by else "FSDP only"
                raise ValueError(f"this benchmark is spread by {ways}: {name} must be 1.")
        return self

    @model_validator(mode="after")
    def _low_precision_layers_whole(self) -> Self:
        if self.precision != "auto" and FORMATS[self.precision].low and self.tensor_parallel > 1:
            raise ValueError(
                f"precision {self.precision} rounds whole layers, which tensor_parallel"
                f" {self.tensor_parallel} would split; use tensor_parallel 1."
            )
        return self

    @model_validator(mode="after")
    def _gathered_as_computed(self) -> Self:
        if self.fp8_all_gather and (self.precision, self.fp8_scaling) != ("fp8", "tensorwise"):
            raise ValueError(
                "fp8_all_gather rounds a weight by one scale before ranks gather it: it takes precision fp8"
                " and fp8_scaling tensorwise."
            )
        return self

    @model_validator(mode="after")
    def _layers_compiled_whole(self) -> Self:
        if self.compile and self.tensor_parallel > 1:
            raise ValueError(
                "PyTorch's compiled backward pass gives layers that ranks share other gradients than the"
                f" plain one: use compile false with tensor_parallel {self.tensor_parallel}."
            )
        return self

    @property
    def sample_limit(self) -> int:
        """Training samples after which a run that has not reached its target is stopped."""
        limits = [self.max_samples] if self.max_samples is not None else []
        if self.max_steps is not None:
            limits.append(self.max_steps * self.global_batch_size)
        return min(limits)

    def rules(self, benchmark: suite.Benchmark) -> suite.Benchmark:
        """Return the benchmark's rules with the target and the evaluations of a run of these settings.

        Where the settings have no target, or no evaluation, the benchmark's own is used.
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

        Raises `PitboardError` for a setting that does not exist (with the nearest name) or a wrong value.
        """
        for key in overrides:
            if key not in cls.model_fields:
                raise PitboardError(f"Unknown setting '{key}'." + near(key, sorted(cls.model_fields)))
        try:
            return cls.model_validate({**values, **overrides})
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
