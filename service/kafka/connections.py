"""Connections to brokers: with the passwords that count now, and with a word on why there is none.

The client tries again in silence: what it raises in the end is that it took too long.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
        # Who reads makes no topic: one that was deleted would be back at once, and empty.
        self.cluster.config["allow_auto_create_topics"] = "group_id" not in configs
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

    async def _build_transport(self, *args: Any, **options: Any) -> Any:
        """With what came before the end of a connection: a broker says why it hangs up, and hangs
        up. The client drops what it reads together with the end, as it does where it is late."""
        try:
            transport = await super()._build_transport(*args, **options)
        except OSError as error:  # such as a certificate's file: it would end the client's loops
            raise _failed(error) from error
        transport._sock_recv = partial(_received, transport._sock_recv)
        return transport

    async def _connect(self, node: Any, conn: Any, *args: Any, **options: Any) -> None:
        try:
            passwords = self._passwords()
        except OSError as error:
            conn.connection_lost(_failed(error))
        else:
            self.config.update(passwords)
            conn.config.update(passwords)
            with self._in_time(conn, options.get("timeout_at")):
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

    @contextmanager
    def _in_time(self, conn: Any, until: float | None) -> Iterator[None]:
        """Give up a connection that is not there by then: the client waits for ever for a broker
        that takes one and says nothing of TLS, and all that is asked waits with it."""

        def too_late() -> None:
            if conn.transport is None and not conn.init_future.is_done:
                self.failure = KafkaConnectionError("no answer to a TLS handshake in time")
                conn.connection_lost(self.failure)

        timer = None if until is None else self._net.call_at(until, too_late)
        try:
            yield
        finally:
            if timer is not None:
                self._net.cancel(timer)

    def _leave(self) -> None:
        self.close()
        self._net.close()


class Client(KafkaNetClient):  # type: ignore[misc]
    """What a consumer, a producer and an admin client make their connections with."""

    def __init__(self, passwords: Callable[[], dict[str, str]], **configs: Any) -> None:
        net = NetworkSelector(**configs)
        super().__init__(net, Connections(passwords, net, **configs), **configs)

    def await_ready(self, node_id: Any, timeout_ms: float = 30_000) -> bool:
        """False where it is not: a producer whose transaction has something to ask then asks again.
        Of an error it would drop the question, and the transaction would never end."""
        try:
            return bool(super().await_ready(node_id, timeout_ms))
        except KafkaError:
            return False


def _received(receive: Callable[[], tuple[bytes, Any]]) -> tuple[bytes, Any]:
    """What there is first; the end is still there at the next look."""
    data, error = receive()
    return data, None if data else error


def _failed(error: BaseException) -> KafkaError:
    """As an error of the client's, so that it reaches who waits for the connection."""
    if isinstance(error, KafkaError):
        return error
    wrapped = KafkaConnectionError(str(error))
    wrapped.__cause__ = error
    return wrapped


def reason_of(error: BaseException) -> BaseException | None:
    """What it comes from: the client raises it from that, or tells it."""
    told = next((one for one in error.args if isinstance(one, BaseException)), None)
    return error.__cause__ or error.__context__ or told


def final(error: KafkaError) -> bool:
    """Whether a connection that failed so will fail again, until somebody changes something."""
    reason = reason_of(error)
    lost = isinstance(error, (KafkaConnectionError, KafkaTimeoutError))
    return not lost or isinstance(reason, (ssl.SSLError, FileNotFoundError, PermissionError))
