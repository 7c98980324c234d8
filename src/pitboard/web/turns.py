"""Turns at something that takes a processor: so many at once, so many that wait, and no more."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from pitboard.errors import BusyError


class Turns:
    """At most `most` are at it together, and at most `waiting` wait for a turn, in order."""

    def __init__(self, most: int, waiting: int) -> None:
        self._free = most
        self._most_waiting = waiting
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a turn. Raises `BusyError` where too many wait for one."""
        if self._free:
            self._free -= 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._most_waiting:
            raise BusyError("Many pages are being made just now. Try again in a few seconds.")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
