"""Connections of clients: not all of them are one client's, and none stays open in silence."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.settings.api import LOOPBACK

SHARE_OF_ONE = 0.5  # of all connections, at most, from one address
HEAD_SECONDS = 10.0  # in which what is asked is here, up to the end of its headers


class Connection(H11Protocol):
    """Uvicorn's, which waits for a request's headers for ever, and counts who never sends any as
    much as who does: a thousand of those, and everybody else were refused."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._is_one_too_many():
            transport.abort()
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiting is None:
            self._wait_for_head()
        elif not self._has_no_head():
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_one_too_many(self) -> bool:
        """Of one address; on this machine many may be behind a proxy of its own."""
        most = self.limit_concurrency
        if most is None or self.client is None or self.client[0] in LOOPBACK:
            return False
        others: set[Any] = self.connections
        same = sum(one.client is not None and one.client[0] == self.client[0] for one in others)
        return same > max(1.0, SHARE_OF_ONE * most)

    def _has_no_head(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _wait_for_head(self) -> None:
        if self._has_no_head():
            self._waiting = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self._has_no_head():
            self.transport.close()
