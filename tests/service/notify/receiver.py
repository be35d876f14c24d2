"""A real HTTP receiver that answers as it is told to."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Got:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """`answers`: the statuses of the next requests, then 204; `said` goes with those that refuse.
    While `held` is not set, all wait."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    said: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, count: int) -> list[Got]:
        """The first so many requests, once they are there."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, WAIT_SECONDS), self.got
            return self.got[:count]

    def take(self, got: Got) -> int:
        self.asked.set()
        self.held.wait(WAIT_SECONDS)
        with self.changed:
            self.got.append(got)
            self.changed.notify_all()
            return self.answers.pop(0) if self.answers else 204


@contextmanager
def receiving(certificate: Path | None = None) -> Iterator[Receiver]:
    """With a certificate, a PEM file with its key, by HTTPS."""
    one = Receiver()
    one.held.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = one.take(Got(self.path, dict(self.headers), body))
            self.send_response(status)
            for name, value in one.headers.items():
                self.send_header(name, value)
            said = one.said if status >= 400 else b""
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            """It says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    one.url = (
        f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_address[1]}/hook"
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield one
    finally:
        one.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
