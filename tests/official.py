"""The official checker, called in this process."""

import re
from pathlib import Path

from mlperf_logging.compliance_checker import mlp_compliance


def official_messages(log: Path) -> set[str]:
    """Return the official checker's messages on a log, each cut down to key and failed rule."""
    mlp_compliance.enqueued_configs.clear()
    checker = mlp_compliance.make_checker("training", "5.1.0", quiet=False, werror=False)
    mlp_compliance.main(str(log), "training_5.1.0/common.yaml", checker)
    everything = [*checker.warnings.values(), *checker.overwritable.values(), *checker.not_overwritable]
    return {
        re.sub(r"failed in line.*failed test: (.*)\ncurrent context.*", r"\1", m, flags=re.S)
        for m in everything
    }


def messages_as_closed(log: Path, folder: Path) -> set[str]:
    """Return the official checker's messages on an open log's copy, in a folder, that says it is closed."""
    closed = folder / "result_0.txt"
    closed.write_text(log.read_text().replace('"open"', '"closed"'))
    return official_messages(closed)
