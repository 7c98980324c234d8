"""The short-lived process that checks one upload: `python -m pitboard.web.judge FOLDER NAME SECONDS`.

The upload is its standard input, a JSON object its standard output: `{"error": ...}` or the verdict. It runs
under limits of memory, processor time, file size and wall time, and starts no other process, so that they are
the upload's. It removes its folder itself, so that nothing is kept even when the server has gone.
"""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from pitboard.processes import limit

SECONDS = 30
MEMORY_BYTES = 2 << 30
_FILE_BYTES = 1 << 30
_UPLOAD = "upload"
_MAX_GROUPS = 200
_MAX_ALIKE = 100


class _TimeUp(BaseException):
    """The wall time is over; not an `Exception`, so that nothing on the way takes it for a bad log."""


def main(folder: str, name: str, seconds: int = SECONDS) -> None:
    """Judge what comes on standard input in so many seconds, working in `folder`, and print the verdict."""
    import msgspec

    from pitboard.errors import PitboardError

    signal.signal(signal.SIGALRM, _too_long)
    try:
        signal.alarm(seconds)
        limit(memory_bytes=MEMORY_BYTES, processor_seconds=2 * seconds, file_bytes=_FILE_BYTES)
        tempfile.tempdir = folder  # an archive is unpacked in what is removed
        answer = verdict_of(Path(folder), name)
    except PitboardError as error:
        answer = {"error": str(error)}
    except _TimeUp:
        answer = {
            "error": f"Checking this takes longer than {seconds} seconds; use `pitboard check` instead."
        }
    except MemoryError:
        answer = {"error": "Checking this takes more memory than it may; use `pitboard check` instead."}
    finally:
        signal.alarm(0)
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def _too_long(*_: object) -> None:
    raise _TimeUp


def verdict_of(folder: Path, name: str) -> dict[str, Any]:
    """Return the verdict on what comes on standard input, called `name`, with what a page shows of it.

    It is kept in `folder`, which no `PitboardError` names.
    """
    from pitboard.errors import PitboardError

    try:
        return _verdict(folder, name)
    except PitboardError as error:
        place = f"{folder}{os.sep}{_UPLOAD}{os.sep}"
        raise PitboardError(str(error).replace(place, "")) from error


def _verdict(folder: Path, name: str) -> dict[str, Any]:
    import msgspec

    from pitboard.compliance import check_tree
    from pitboard.compliance.archives import is_archive, plain_name, refuse_too_large
    from pitboard.compliance.output.document import as_document
    from pitboard.compliance.output.grouping import EVERYTHING, grouped
    from pitboard.scoring import score_tree
    from pitboard.scoring.review import as_markdown, wanting

    upload = folder / _UPLOAD / plain_name(name)
    upload.parent.mkdir()
    with upload.open("xb") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
    if not is_archive(upload):
        refuse_too_large(upload)
    report = check_tree(upload, processes=1)
    findings = report.every_finding()
    errors = sum(finding.severity == "error" for finding in findings)
    groups = grouped(report)
    scores = score_tree(report)
    return {
        "name": name,
        "report": as_document(report),
        "scores": msgspec.to_builtins(scores),
        "wanting": wanting(scores),
        "review": as_markdown(report, scores, upload.name),
        "errors": errors,
        "warnings": len(findings) - errors,
        "groups": [
            {
                "name": f"The whole of {upload.name}" if group.name == EVERYTHING else group.name,
                "findings": msgspec.to_builtins(group.findings[:_MAX_ALIKE]),
                "more": max(0, len(group.findings) - _MAX_ALIKE),
            }
            for group in groups[:_MAX_GROUPS]
        ],
        "more_groups": max(0, len(groups) - _MAX_GROUPS),
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
