"""Whoever is asked for a schema, or told of an episode, holds nobody up: a request ends in time."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.decoding import registry
from service.decoding.registry import Registry
from service.errors import Unavailable
from service.notify import post as posting
from service.notify.messages import Message
from service.notify.post import AwayError, Receiver, post
from tests.service.notify.receiver import receiving

TLS = ssl.create_default_context()
PAUSE_SECONDS, TIMES = 0.02, 150  # of what trickles in: longer than is waited, and not for ever


def ask(url: str) -> None:
    with pytest.raises(Unavailable, match="no answer: TimeoutError"):
        Registry(url, None, TLS).schema(1)


def tell(url: str) -> None:
    with pytest.raises(AwayError, match=r"no answer: .*in time"):
        post(Receiver(url, True, TLS), Message("", b"{}", {}))


@pytest.fixture(params=[ask, tell])
def request_to(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Sends one to an address, and has it end in time without an answer."""
    for module in (registry, posting):
        monkeypatch.setattr(module, "SECONDS", 0.3)
    chosen: Callable[[str], None] = request.param
    return chosen


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of one connection; its `host:port`."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with closing(connection), suppress(OSError):
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join()


def slowly(before: bytes, part: bytes, after: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(before)
        gone = threading.Event()
        for _ in range(TIMES):
            gone.wait(PAUSE_SECONDS)
            connection.sendall(part)
        connection.sendall(after)

    return answer


SLOW = {
    "status": slowly(b"HTTP/1.1 404 ", b"x", b"\r\nContent-Length: 0\r\n\r\n"),
    "headers": slowly(b"HTTP/1.1 404 No\r\n", b"X: y\r\n", b"\r\n"),
    "body of a length": slowly(b"HTTP/1.1 404 No\r\nContent-Length: %d\r\n\r\n" % TIMES, b" ", b""),
    "body until the end": slowly(b"HTTP/1.1 404 No\r\nConnection: close\r\n\r\n", b" ", b""),
}


@pytest.mark.parametrize("slow", SLOW)
def test_an_answer_that_trickles_in_is_not_waited_for(
    request_to: Callable[[str], None], slow: str
) -> None:
    with answering(SLOW[slow]) as address:
        request_to(f"http://{address}")


def test_a_handshake_that_never_ends_is_not_waited_for(request_to: Callable[[str], None]) -> None:
    with answering(_read_all) as address:
        request_to(f"https://{address}")


def _read_all(connection: socket.socket) -> None:
    while connection.recv(10_000):
        pass


def test_a_name_that_is_looked_up_for_ever_is_not_waited_for(
    request_to: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def look_up(*_: Any, **__: Any) -> Any:
        over.wait(PAUSE_SECONDS * TIMES)
        raise socket.gaierror("the name server does not answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        request_to("http://registry.example")
    finally:
        over.set()


def test_one_address_that_is_silent_leaves_time_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where IPv6 leads nowhere."""
    found = socket.getaddrinfo
    with receiving() as hook, silent(urlsplit(hook.url).port or 0) as nobody:

        def look_up(host: str, *more: Any, **named: Any) -> list[Any]:
            hosts = (nobody, "127.0.0.1") if host == "receiver.example" else (host,)
            return [one for each in hosts for one in found(each, *more, **named)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        monkeypatch.setattr(posting, "SECONDS", 1.0)
        url = hook.url.replace("127.0.0.1", "receiver.example")
        post(Receiver(url, True, TLS), Message("", b"{}", {}))
        assert len(hook.got) == 1


@contextmanager
def silent(port: int) -> Iterator[str]:
    """An address of ours that answers nobody there: too many wait already."""
    host = "127.0.0.2"
    with closing(socket.create_server((host, port), backlog=0)), ExitStack() as waiting:
        for _ in range(3):
            line = waiting.enter_context(socket.socket())
            line.setblocking(False)
            line.connect_ex((host, port))
        yield host


def test_a_name_that_cannot_be_one_is_not_known() -> None:
    with pytest.raises(Unavailable, match="the name is not known"):
        Registry(f"http://{'a' * 64}.example", None, TLS).schema(1)
