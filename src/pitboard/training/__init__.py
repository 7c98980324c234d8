"""Run one benchmark to its target; the only room that imports torch."""

import logging
import os
from collections.abc import MutableMapping

ALLOCATOR_SETTINGS = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""The variables that set PyTorch's allocator of GPU memory; it takes the first that there is."""


def set_defaults(environment: MutableMapping[str, str]) -> None:
    """Set what GNU OpenMP and PyTorch's allocator read when torch is loaded, where the user has not."""
    # A thread that waits for another spins at first, by default so long that on a busy machine the two keep
    # each other from the processor: a step takes ten times as long. A tenth of a millisecond is enough where
    # the processors are ours.
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", "10000")
    # Segments that grow: memory freed between forward, backward and evaluation does not stay in pieces that
    # are too small for the next.
    if not any(name in environment for name in ALLOCATOR_SETTINGS):
        environment["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"


set_defaults(os.environ)


def _not_of_this_run(record: logging.LogRecord) -> bool:
    """Drop what `transformers` and `diffusers`, which import it, and `torchao` itself say of its state.

    No run can fix it: that its GPU kernels do not load is news on a GPU only, that it registers enumerations
    with PyTorch in a deprecated way is for its makers, and that `diffusers` looks for its tensors in vain is
    for those who load its quantised checkpoints.
    """
    message = str(record.msg)
    if message.startswith("Failed to load "):
        import torch

        return torch.cuda.is_available()
    return not any(known in message for known in _OF_NO_RUN)


_OF_NO_RUN = ("register_constant() on Enum subclasses is deprecated", "Unable to import `torchao`")
for _name in ("torchao", "torch.utils._pytree", "diffusers.quantizers.torchao.torchao_quantizer"):
    logging.getLogger(_name).addFilter(_not_of_this_run)
