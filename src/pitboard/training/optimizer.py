"""AdamW, its learning-rate schedule, and gradient clipping over sharded gradients."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pitboard.training.settings import Settings


def adamw(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """Return the fused AdamW over the trainable parameters; weight decay acts on every matrix.

    Vectors (normalisation weights, biases) are not decayed, as in the reference's Megatron optimizer.
    The learning rate is a tensor so that a compiled or captured step need not be rebuilt when it changes.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
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
    """Scale the gradients so that their global L2 norm is at most `max_norm`; return the norm before.

    Works on plain tensors and on DTensors over different meshes (tensor-parallel matrices beside
    replicated norms), which `torch.nn.utils.clip_grad_norm_` cannot stack together.
    """
    with_gradient = [p for p in parameters if p.grad is not None]
    by_mesh: dict[object, list[Tensor]] = {}
    for parameter in with_gradient:
        gradient = parameter.grad
        assert gradient is not None
        mesh = gradient.device_mesh if isinstance(gradient, DTensor) else None
        by_mesh.setdefault(mesh, []).append(gradient)
    norms = [_full(torch.nn.utils.get_total_norm(group)) for group in by_mesh.values()]
    total = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    torch.nn.utils.clip_grads_with_norm_(with_gradient, max_norm, total)
    return total


def _full(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
