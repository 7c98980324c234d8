"""Connections of a server: how many there may be, and how long one may take to ask."""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 500
"""Connections at once, below the 1,024 files that a process may usually have open."""
SECONDS_TO_ASK = 20
"""How long a request's head may take to come."""


_asking: "dict[GuardedProtocol, None]" = {}
"""The connections that have sent no whole head of a request yet, in order."""


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 for uvicorn that gives up on whoever does not get a request's head across in time.

    Where there are too many connections, the one that has waited longest without asking anything is closed:
    half-open ones, however many, keep nobody else out.
    """

    most: ClassVar[int] = MOST
    seconds_to_ask: ClassVar[float] = SECONDS_TO_ASK

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take in a connection, in another's place where there are too many."""
        super().connection_made(transport)
        self._wait()
        while len(self.connections) > self.most and _asking:
            next(iter(_asking))._give_up()

    def data_received(self, data: bytes) -> None:
        """Take in what came, and look whether that completes the head of a request."""
        self._wait()  # a first byte after an answer is the next request's
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if self._deadline is None and not answering:
            self._deadline = self.loop.call_later(self.seconds_to_ask, self._give_up)
            _asking[self] = None

    def _stop_waiting(self) -> None:
        _asking.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._stop_waiting()
        self.connections.discard(self)
        self.transport.abort()
