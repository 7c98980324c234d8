"""What commands import, imported once in the process that they are forked from."""

import gc
import importlib
import os
import sys
import tempfile
import weakref
from pathlib import Path


def _import() -> str:
    """Import everything; give what was written to standard error meanwhile."""
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        sys.stderr.flush()
        os.dup2(said.fileno(), 2)
        try:
            for name in _MODULES:
                importlib.import_module(name)
            protocol = importlib.import_module("pitboard.training.protocol")
            for name in protocol.raceable():
                protocol.benchmark_class(name)
            sys.stderr.flush()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        said.seek(0)
        return said.read().decode(errors="replace")


_MODULES = [
    "pitboard.cli",
    "pitboard.training.runner",
    "pitboard.charts.answers",
    "pitboard.scoring",
    # What a command is, to the process that is forked for it.
    "forked",
    # What those import only where they use it.
    "diffusers.models.transformers.transformer_flux",
    "faster_coco_eval",
    "pandas",
    "peft.utils.transformers_weight_conversion",
    "pitboard.cli.engine",
    "pitboard.cli.findings",
    "pitboard.cli.outcome",
    "pitboard.cli.paths",
    "pitboard.cli.progress",
    "pitboard.launch.series",
    "pitboard.launch.srun",
    "pitboard.launch.torchrun",
    "pitboard.results.law",
    "pitboard.results.questions.entries",
    "pitboard.results.questions.table",
    "pitboard.results.store",
    "pitboard.results.view",
    "pydoc_data.topics",
    "rich._emoji_codes",
    "rich.live",
    "sklearn.datasets.data",
    "torch._dynamo",
    "torch.distributed.checkpoint._fsspec_filesystem",
    "torch.distributed.elastic.rendezvous.c10d_rendezvous_backend",
    "torch.distributed.launcher.api",
    "torch.distributed.run",
    "torch.profiler._cupti_monitor",
    "torch_geometric.nn",
    "typer._adapters",
    "typer._click.decorators",
]
SAID = _import()
# jemalloc (of pyarrow) starts its thread again after a fork; no other would be there in a command.
_threads = [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
assert set(_threads[1:]) <= {"jemalloc_bg_thd"}, f"threads that would not survive the fork: {_threads}"
# What libraries take down at an interpreter's end, such as torch its operators, takes longer than a fork.
for _finalizer in weakref.finalize._registry:  # type: ignore[attr-defined]
    _finalizer.atexit = False
gc.collect()
gc.freeze()
