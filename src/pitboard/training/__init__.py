"""Run one benchmark to its target; the only room that imports torch."""

import logging
import os

# Read by GNU OpenMP when torch loads it. A thread that waits for another spins at first, by default so long
# that on a busy machine the two keep each other from the processor: a step takes ten times as long. A tenth
# of a millisecond is enough where the processors are ours.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


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
