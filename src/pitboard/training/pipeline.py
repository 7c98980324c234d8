"""The pipeline of a model whose layers are spread over ranks: its steps and its evaluation."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.distributed.pipelining.schedules import _ScheduleForwardOnly

from pitboard.training.precision import autocast
from pitboard.training.protocol import Batch
from pitboard.training.settings import Settings


class Pipeline(nn.Module):
    """The stages of one model, of which this rank has `model`: the one of its place among `stages`.

    All ranks of a pipeline are given the same batches: the first stage takes their inputs, the last their
    labels.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        stages: DeviceMesh,
        device: torch.device,
        micro_batches: int,
    ) -> None:
        super().__init__()
        self._stages = stages
        self._device = device
        forward = model.forward

        def in_precision(*inputs: Tensor, **batch: Tensor) -> Any:
            # Around the forward only: the schedule goes back and forth.
            with autocast(settings, device):
                return forward(*inputs, **batch)

        model.forward = in_precision
        self._training_schedule = Schedule1F1B(
            self._stage(model),
            micro_batches,
            loss_fn=lambda losses, _: losses.mean() / micro_batches,
            scale_grads=False,
        )
        # Not the same stage: it would be set up again at each change between training and evaluation.
        self._evaluation_schedule = _ScheduleForwardOnly(self._stage(model), stages.size())

    def _stage(self, model: nn.Module) -> PipelineStage:
        stages = self._stages
        return PipelineStage(
            model, stages.get_local_rank(), stages.size(), self._device, group=stages.get_group()
        )

    @property
    def _is_last(self) -> bool:
        return self._stages.get_local_rank() == self._stages.size() - 1

    def step(self, batches: Sequence[Batch]) -> Tensor:
        """Add the gradient of a step's micro-batches to this stage's parameters; return their mean loss.

        One forward, one backward: a stage keeps the activations of no more micro-batches than there are
        stages.
        """
        whole: dict[str, Any] = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
        losses: list[Tensor] = []
        target = next(iter(whole.values()))
        self._training_schedule.step(target=target, losses=losses, return_outputs=False, **whole)
        loss = torch.zeros((), device=self._device)
        if self._is_last:
            loss = torch.stack(losses).sum().detach()
        dist.all_reduce(loss, group=self._stages.get_group())
        return loss

    def forward(self, **batch: Any) -> Tensor:
        """Return each sample's loss of a batch of one micro-batch a stage; no gradients.

        The last stage returns them times the number of stages, the others zeros: their mean is what counts,
        and no stage waits for the last.
        """
        losses: Tensor = self._evaluation_schedule.step(**batch)
        if self._is_last:
            return losses * self._stages.size()
        return torch.zeros(len(next(iter(batch.values()))), device=self._device)
