"""A receiver of notifications that dies, hangs, fails, and comes back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hook:
    """Takes what it is sent, until it is told otherwise."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        """The ids of what it has said yes to."""
        self.status = 204
        self._going_on = threading.Event()
        self._going_on.set()
        self._port = 0
        self._open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    def refuse(self) -> None:
        """Nobody listens."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def hang(self) -> None:
        """It takes the connection, and says nothing."""
        self._going_on.clear()

    def fail(self) -> None:
        self.status = 500

    def recover(self) -> None:
        self.status = 204
        self._going_on.set()
        if not self._thread.is_alive():
            self._open()

    def take(self, name: str) -> int:
        self._going_on.wait()
        if self.status < 300:
            self.taken.add(name)
        return self.status

    def _open(self) -> None:
        handler = type("Handler", (_Handler,), {"hook": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asked may have gone."""


class _Handler(BaseHTTPRequestHandler):
    hook: Hook

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.hook.take(self.headers["webhook-id"]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        """It says nothing."""


@contextmanager
def hooked() -> Iterator[Hook]:
    hook = Hook()
    try:
        yield hook
    finally:
        hook.recover()
        hook.refuse()
