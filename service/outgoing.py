"""HTTP requests to other servers that end in bounded time: however slowly a name is found, somebody
is reached, or an answer comes in. No redirect is followed.

The name is looked up once, and the connection goes to an address that was found and looked at: a
name that means something else a moment later leads nowhere.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for; the path goes with the query."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@contextmanager
def answer_of(
    url: str,
    tls: ssl.SSLContext,
    request: Request,
    seconds: float,
    check: Callable[[Sequence[str]], None] = lambda _: None,
) -> Iterator[http.client.HTTPResponse]:
    """What a server answers, its body still to be read; `url` without a path counts.

    After so many seconds, the reading included, it raises TimeoutError. Other errors are OSError,
    HTTPException, and what `check` raises, which is shown the addresses first.
    """
    until = time.monotonic() + seconds
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    addresses = _looked_up(host, port, seconds)
    check(addresses)
    with closing(_connected(addresses, port, until)) as line, _ended(line, until):
        own = line.dup()
        connection = http.client.HTTPConnection(host, port)
        if secure:
            connection = http.client.HTTPSConnection(host, port, context=tls)
            # The name still counts: the certificate must be the host's.
            own = tls.wrap_socket(own, server_hostname=host)
        connection.sock = own
        with closing(connection):
            connection.request(request.method, request.path, request.body, dict(request.headers))
            with connection.getresponse() as answer:
                yield answer


def _looked_up(host: str, port: int, seconds: float) -> list[str]:
    """The addresses of a name. Nothing can end a look-up: it is left behind in its thread."""
    found: Future[list[str]] = Future()

    def look_up() -> None:
        try:
            all_of_it = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.set_result([str(one[4][0]) for one in all_of_it])
        except (OSError, UnicodeError) as error:
            found.set_exception(OSError(f"the name is not known: {error}"))

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    try:
        return found.result(seconds)
    except TimeoutError:
        raise TimeoutError("the name was not found in time") from None


def _connected(addresses: Sequence[str], port: int, until: float) -> socket.socket:
    """To the first of the addresses at which somebody answers; each has its share of the time that
    is left, as one where nobody does may be silent."""
    refused = OSError("the name has no address")
    for tried, address in enumerate(addresses):
        try:
            share = _left(until) / (len(addresses) - tried)
            return socket.create_connection((address, port), share)
        except OSError as error:
            refused = error
    raise refused


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0.0:
        raise TimeoutError("not reached in time")
    return left


@contextmanager
def _ended(line: socket.socket, until: float) -> Iterator[None]:
    """Hang up then. This socket is nobody else's, so that it is open all along: the client lets go
    of its own before the body is read, TLS during the handshake."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    ending = threading.Timer(_left(until), hang_up)
    ending.daemon = True
    ending.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise TimeoutError("not answered in time") from error
        raise
    finally:
        ending.cancel()
    if late.is_set():  # what was read may be less than there was
        raise TimeoutError("not answered in time")
