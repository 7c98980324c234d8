"""AdamW, its learning-rate schedule, and gradient clipping over sharded gradients."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pitboard.training.settings import Settings


def adamw(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
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


def learning_rate(step: int, settings: Settings) -> float:
    """Return the learning rate of a 0-based step: linear warm-up, then a cosine to the end rate.

    Step s of W warm-up steps gets (s + 1)/(W + 1) of the peak, as NeMo's CosineAnnealingScheduler, which
    the Llama 3.1 reference uses; the cosine spans `max_steps` − `warmup_steps` steps.
    """
    peak, end, warmup = settings.learning_rate, settings.end_learning_rate, settings.warmup_steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, settings.max_steps - warmup))
    return end + (peak - end) * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale the gradients so that their global L2 norm is at most `max_norm`; return the norm before."""
    groups = by_mesh([p for p in parameters if p.grad is not None])
    norms = [_norm(group) for group in groups]
    total = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    for group in groups:
        torch.nn.utils.clip_grads_with_norm_(group, max_norm, total)
    return total


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


def _norm(parameters: list[nn.Parameter]) -> Tensor:
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
