"""Check an upload in a process of its own, and keep nothing of it."""

import asyncio
import contextlib
import math
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pitboard import files
from pitboard.errors import BusyError, PitboardError
from pitboard.web.judge import SECONDS

AT_ONCE = 2
_PREFIX = "pitboard-check-"
_MAX_ANSWER_BYTES = 32 << 20
_GRACE_SECONDS = 5


class Places:
    """The places for uploads that are being received, or for those that are being checked."""

    def __init__(self, places: int) -> None:
        self._free = places

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a place; raises `BusyError` where none is free."""
        if self._free == 0:
            raise BusyError("Other uploads are being checked just now. Try again in a few seconds.")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def judge_upload(upload: BinaryIO, name: str, seconds: float = SECONDS) -> dict[str, Any]:
    """Check `upload`, a real file at its start that its sender called `name`; give the verdict of `judge`.

    Raises `PitboardError` for what is refused, and after `seconds` (the process has a clock of its own too).
    """
    scratch = files.scratch(Path(tempfile.gettempdir()), _PREFIX)
    # In a thread: an upload of thousands of folders takes seconds to remove, and all readers would wait.
    folder = await asyncio.to_thread(scratch.__enter__)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "pitboard.web.judge", str(folder), name),
            str(max(1, math.ceil(seconds))),
            stdin=upload,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            answer = await asyncio.wait_for(_answer(process), seconds + _GRACE_SECONDS)
        except TimeoutError as error:
            raise PitboardError(f"Checking this upload takes longer than {seconds:g} seconds.") from error
        finally:
            # The whole group: the check may have started processes of its own.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
    finally:
        await asyncio.to_thread(scratch.__exit__, None, None, None)
    if "error" in answer:
        raise PitboardError(answer["error"])
    return answer


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    said = bytearray()
    while piece := await process.stdout.read(1 << 16):
        said += piece
        if len(said) > _MAX_ANSWER_BYTES:
            raise PitboardError("There are too many findings to show here; use `pitboard check`.")
    await process.wait()
    try:
        answer: dict[str, Any] = msgspec.json.decode(said)
    except msgspec.DecodeError as error:
        raise PitboardError(
            "The check was stopped: it used more memory or time than it may. Use `pitboard check` instead."
        ) from error
    return answer


def sweep() -> None:
    """Remove the folders of servers that were killed together with their checks."""
    files.sweep(Path(tempfile.gettempdir()), _PREFIX)
