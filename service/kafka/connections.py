"""Connections to brokers: with the passwords that count now, and with a word on why there is none.

The client tries again in silence: what it raises in the end is that it took too long.
"""

import ssl
from collections.abc import Callable
from typing import Any

from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

LATE = (KafkaTimeoutError, RequestTimedOutError)


class Connections(KafkaConnectionManager):  # type: ignore[misc]
    """`failure` is why the last connection failed, None where it did not."""

    def __init__(self, passwords: Callable[[], dict[str, str]], net: Any, **configs: Any) -> None:
        super().__init__(net, **configs)
        self._passwords = passwords
        self.failure: KafkaError | None = None

    def bootstrap(self, timeout_ms: float | None = None, refresh: bool = True) -> None:
        """Raises what went wrong, and leaves nothing running then: there is no client to close."""
        try:
            super().bootstrap(timeout_ms, refresh)
        except BaseException as error:
            self._leave()
            if self.failure is None or not isinstance(error, LATE):
                raise
        else:
            return
        raise self.failure  # here, where it keeps the reason that it has

    def maybe_raise_auth_failure(self, node_id: Any) -> None:
        """Once: later connections may meet another password, or another broker."""
        failure = self._auth_failures.pop(node_id, None)
        if failure is not None:
            raise failure

    async def _connect(self, node: Any, conn: Any, *args: Any, **options: Any) -> None:
        try:
            passwords = self._passwords()
        except OSError as error:
            conn.connection_lost(error)
        else:
            self.config.update(passwords)
            conn.config.update(passwords)
            await super()._connect(node, conn, *args, **options)
        future = conn.init_future
        failure = _failed(future.exception) if future.is_done and future.exception else None
        if isinstance(failure, LATE) and self.failure is not None:
            failure = self.failure  # it says more than that the time was up
        self.failure = failure
        if self.failure is None:
            return
        if node.node_id not in self._backoff:
            self.update_backoff(node.node_id)
        if self.cluster.is_bootstrap(node.node_id) and final(self.failure):
            self._auth_failures[node.node_id] = self.failure

    def _leave(self) -> None:
        self.close()
        self._net.close()


class Client(KafkaNetClient):  # type: ignore[misc]
    """What a consumer, a producer and an admin client make their connections with."""

    def __init__(self, passwords: Callable[[], dict[str, str]], **configs: Any) -> None:
        net = NetworkSelector(**configs)
        super().__init__(net, Connections(passwords, net, **configs), **configs)


def _failed(error: BaseException) -> KafkaError:
    """As an error of the client's, so that it reaches who waits for the connection."""
    if isinstance(error, KafkaError):
        return error
    wrapped = KafkaConnectionError(str(error))
    wrapped.__cause__ = error
    return wrapped


def final(error: KafkaError) -> bool:
    """Whether a connection that failed so will fail again, until somebody changes something."""
    reason = error.__cause__ or error.__context__
    lost = isinstance(error, (KafkaConnectionError, KafkaTimeoutError))
    return not lost or isinstance(reason, (ssl.SSLError, FileNotFoundError, PermissionError))
