"""Who connects and says nothing is let go, and takes no place from others."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.api import connections, limits
from service.api.connections import Connection
from service.api.limits import RequestLimits
from tests.processes import WAIT_SECONDS

MOST = 8
ASKED = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
WHOLE = b"all of it"
BEGUN = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n12345"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Read it all, and say so."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": WHOLE})


@contextmanager
def served(keep_alive_seconds: int = 1) -> Iterator[int]:
    """The port of a server of ours with that application."""
    app = RequestLimits(answer, 1000.0, 1000)
    config = uvicorn.Config(
        app, http=Connection, limit_concurrency=MOST, lifespan="off", log_config=None,
        timeout_keep_alive=keep_alive_seconds,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)


def is_answered(client: socket.socket, text: bytes) -> bool:
    """Whether the server takes it, and does not hang up."""
    told = b""
    try:
        client.sendall(text)
        while WHOLE not in told and (more := client.recv(1000)):
            told += more
    except ConnectionError:
        """It hung up at once."""
    return WHOLE in told


def hangs_up(client: socket.socket) -> bool:
    """Whether it does, and says of nothing that it was all there."""
    return WHOLE not in b"".join(iter(lambda: client.recv(1000), b""))


@pytest.mark.parametrize("before", [b"", ASKED])
@pytest.mark.parametrize("text", [b"", b"GET / HT"])
def test_who_does_not_ask_is_let_go(
    monkeypatch: pytest.MonkeyPatch, before: bytes, text: bytes
) -> None:
    """From the start or behind what was answered, in silence or in the middle of the headers."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with served() as port, connected(port) as client:
        assert not before or is_answered(client, before)
        client.sendall(text)
        assert hangs_up(client)


def test_who_asks_is_answered_however_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with served() as port, connected(port) as slow, connected(port) as silent:
        slow.sendall(BEGUN)
        assert hangs_up(silent), "it takes longer than that"
        assert is_answered(slow, b"67890")


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.2)
    with served() as port, connected(port) as client:
        client.sendall(BEGUN)
        assert hangs_up(client)


def test_one_address_leaves_places_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for our own machine, where it may be a proxy's."""
    monkeypatch.setattr(connections, "LOOPBACK", frozenset())
    with served(keep_alive_seconds=60) as port, ExitStack() as stack:
        clients = [stack.enter_context(connected(port)) for _ in range(MOST)]
        answers = [is_answered(one, ASKED) for one in clients]
    assert answers == [True] * (MOST // 2) + [False] * (MOST // 2)
