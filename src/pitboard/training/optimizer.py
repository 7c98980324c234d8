"""Optimizers: their schedules, and gradient clipping over sharded gradients; AdamW with a cosine."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Self

import torch
import torch.distributed as dist
from mlperf_logging.mllog import constants
from pydantic import Field
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate

from pitboard.training.settings import Settings


class ScheduledOptimizer:
    """The optimizers of a model, the learning rate of each step, and the clipping of the model's gradients.

    `learning_rate` gives the rate of a 0-based step, for every parameter group; most models have one
    optimizer, several where their parts are trained by different ones. Gradients are clipped to the global
    L2 norm `clip_norm`, unless it is infinite.
    """

    def __init__(
        self,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
        learning_rate: Callable[[int], float],
        clip_norm: float = math.inf,
    ) -> None:
        self.optimizers = optimizers
        self.learning_rate = learning_rate
        self._clip_norm = clip_norm
        self._parameters = [p for p in model.parameters() if p.requires_grad]

    def update(self, learning_rate: float, stages: DeviceMesh | None = None) -> Tensor:
        """Change the parameters by their gradients, drop those, and return their norm before clipping.

        `stages` are the ranks with the other parameters of the model, where a pipeline divides them.
        """
        norm = clip_gradients(self._parameters, self._clip_norm, stages)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad()
        return norm


class AdamWSettings(Settings):
    """The settings of a run with AdamW, and of its schedule: a cosine with linear warm-up."""

    learning_rate: float = Field(gt=0)
    end_learning_rate: float = Field(ge=0)
    warmup_steps: int = Field(ge=0)
    max_steps: int = Field(gt=0, description="step limit, where the cosine ends")
    beta1: float = Field(ge=0, lt=1)
    beta2: float = Field(ge=0, lt=1)
    epsilon: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    decay_vectors: bool = Field(default=False, description="weight decay on norms and biases too")
    gradient_clip_norm: float = Field(gt=0)

    @classmethod
    def build(cls, values: Mapping[str, Any], overrides: Mapping[str, Any]) -> Self:
        """Validate a preset's values with the user's overrides on top, as every `Settings`.

        The schedule's end follows a learning rate that is changed: it stays the same fraction of it, which
        the rules state (a tenth for Llama 3.1 8B) or the reference has (all of it for FLUX.1).
        """
        settings = super().build(values, overrides)
        if "end_learning_rate" in overrides or settings.learning_rate == values.get("learning_rate"):
            return settings
        end = settings.learning_rate * (values["end_learning_rate"] / values["learning_rate"])
        return super().build(values, {**overrides, "end_learning_rate": end})


def adamw_with_cosine(
    model: nn.Module, settings: AdamWSettings, *, peak_in_warmup: bool = False
) -> ScheduledOptimizer:
    """Return AdamW over the model's trainable parameters, with its cosine schedule and gradient clipping."""
    rate = partial(cosine_learning_rate, settings=settings, peak_in_warmup=peak_in_warmup)
    clip_norm = settings.gradient_clip_norm
    return ScheduledOptimizer(model, adamw(model, settings), learning_rate=rate, clip_norm=clip_norm)


def adamw_hyperparameters(settings: AdamWSettings) -> dict[str, object]:
    """Return what the rules want logged of AdamW and its schedule, by MLLOG key."""
    decay: dict[str, object] = {
        constants.OPT_LR_DECAY_STEPS: settings.max_steps - settings.warmup_steps,
        constants.OPT_LR_DECAY_SCHEDULE: "cosine with linear warmup",
    }
    if settings.end_learning_rate == settings.learning_rate:
        decay = {constants.OPT_LR_DECAY_SCHEDULE: "constant with linear warmup"}
    return {
        constants.OPT_BASE_LR: settings.learning_rate,
        constants.OPT_END_LR: settings.end_learning_rate,
        constants.OPT_LR_WARMUP_STEPS: settings.warmup_steps,
        **decay,
        constants.OPT_ADAMW_BETA_1: settings.beta1,
        constants.OPT_ADAMW_BETA_2: settings.beta2,
        constants.OPT_ADAMW_EPSILON: settings.epsilon,
        constants.OPT_ADAMW_WEIGHT_DECAY: settings.weight_decay,
        constants.OPT_GRADIENT_CLIP_NORM: settings.gradient_clip_norm,
        "max_steps": settings.max_steps,
    }


def adamw(model: nn.Module, settings: AdamWSettings) -> torch.optim.AdamW:
    """Return the fused AdamW over the trainable parameters; weight decay acts on every matrix.

    Vectors (normalisation weights, biases) are decayed only with `decay_vectors`: Megatron's optimizer, in
    the Llama references, spares them, and torchtitan's, in the FLUX.1 reference, does not.
    """
    groups = []
    for parameters in by_mesh([p for p in model.parameters() if p.requires_grad]):
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim <= 1]
        groups.append({"params": matrices, "weight_decay": settings.weight_decay})
        groups.append(
            {"params": vectors, "weight_decay": settings.weight_decay if settings.decay_vectors else 0.0}
        )
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
    )


def cosine_learning_rate(step: int, settings: AdamWSettings, *, peak_in_warmup: bool = False) -> float:
    """Return the learning rate of a 0-based step: linear warm-up, then a cosine to the end rate.

    Step s of W warm-up steps gets (s + 1)/(W + 1) of the peak, as in NeMo's CosineAnnealingScheduler, which
    the Llama 3.1 reference uses, or with `peak_in_warmup` (s + 1)/W, as in torchtitan's, which the FLUX.1
    reference does; the cosine spans `max_steps` − `warmup_steps` steps.
    """
    peak, end, warmup = settings.learning_rate, settings.end_learning_rate, settings.warmup_steps
    if step < warmup:
        return peak * (step + 1) / (warmup if peak_in_warmup else warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, settings.max_steps - warmup))
    return end + (peak - end) * 0.5 * (1.0 + math.cos(math.pi * progress))


def clip_gradients(
    parameters: Iterable[nn.Parameter], max_norm: float, stages: DeviceMesh | None = None
) -> Tensor:
    """Scale the gradients so that their global L2 norm is at most `max_norm`; return the norm before.

    With `stages` the norm is over their parameters too.

    An infinite `max_norm` leaves them as they are. Works on each rank's own shards, a few launches for all:
    PyTorch's own clipping takes the gradients that are spread over ranks one by one.
    """
    shards: dict[object, list[Tensor]] = {}
    for parameter in parameters:
        gradient = parameter.grad
        if isinstance(gradient, DTensor):
            shards.setdefault((gradient.device_mesh, gradient.placements), []).append(gradient.to_local())
        elif gradient is not None:
            shards.setdefault(None, []).append(gradient)
    total = torch.stack([_square(where, gradients) for where, gradients in shards.items()]).sum()
    if stages is not None:
        dist.all_reduce(total, group=stages.get_group())
    total = total.sqrt()
    if math.isfinite(max_norm):
        # As PyTorch's clip_grad_norm_.
        factor = torch.clamp(max_norm / (total + 1e-6), max=1.0)
        for gradients in shards.values():
            torch._foreach_mul_(gradients, factor)
    return total


def _square(where: Any, gradients: list[Tensor]) -> Tensor:
    """Return the sum of the squares of all ranks' shards of gradients that lie on one mesh in one way."""
    square = torch.nn.utils.get_total_norm(gradients).square()
    if where is None:
        return square
    mesh, placements = where
    # Not by `is_shard`: FSDP's part of what tensor parallelism has split already is a `_StridedShard`.
    sums = [Replicate() if placement.is_replicate() else Partial() for placement in placements]
    whole: Tensor = DTensor.from_local(square, mesh, sums, run_check=False).full_tensor()
    return whole


def by_mesh(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Group parameters by the device mesh they are spread over; plain tensors are one group.

    Under tensor parallelism a layer's matrices lie on a wider mesh than its norms, and PyTorch's operations
    on lists of tensors take those of one mesh only.
    """
    groups: dict[object, list[nn.Parameter]] = {}
    for parameter in parameters:
        mesh = parameter.device_mesh if isinstance(parameter, DTensor) else None
        groups.setdefault(mesh, []).append(parameter)
    return list(groups.values())
