"""Start the processes of a run; the training itself is the training room's."""

import json
import os
from pathlib import Path


def launched_by_torchrun() -> bool:
    """Whether this process is one of torchrun's ranks rather than a user's command."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def leave_for_launcher(message: str) -> bool:
    """Leave a failed rank's sentence where torchrun looks for it; `False` when it gave no such place."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if not path:
        return False
    report = {"message": {"message": message, "extraInfo": {"timestamp": "0", "py_callstack": ""}}}
    Path(path).write_text(json.dumps(report), encoding="utf-8")
    return True
