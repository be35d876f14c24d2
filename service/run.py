"""Run a service: the pipeline in its own thread, the API in the main one."""

import gc
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from service.api.app import create_app
from service.bootstrap import Service
from service.errors import SettingsError, WakefulError
from service.telemetry.logging import log

DRAIN_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; SettingsError where the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # asyncio lets the parts of a reply go at once only where the protocol is named; else the
        # second one waits 40 ms for an acknowledgement of the first.
        server = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
    except OSError as error:
        raise SettingsError(
            f"api: cannot listen on {host}:{port}: {error.strerror}; choose another --port"
        ) from None
    return server


def run_service(
    service: Service,
    announce: Callable[[str], None],
    before_stop: Callable[[], None] = lambda: None,
) -> int:
    """Serve until a signal, or until the pipeline fails; the exit status.

    `announce` is told the address once it answers; `before_stop` runs before the pipeline ends.
    """
    settings = service.settings.api
    with listen(settings.host, settings.port) as server_socket:
        host, port = server_socket.getsockname()[:2]
        config = uvicorn.Config(
            create_app(service),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            limit_concurrency=settings.max_connections,
            ssl_certfile=settings.tls_cert_file,
            ssl_keyfile=settings.tls_key_file,
            server_header=False,
        )
        _load(config)
        scheme = "http" if settings.tls_cert_file is None else "https"
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        service.advertise(address)
        server = _Server(config, lambda: announce(address), service.live.close)
        failures: list[BaseException] = []
        thread = threading.Thread(
            target=_run_pipeline, args=(service, server, failures), name="pipeline"
        )
        thread.start()
        service.sender.start()
        try:
            server.run(sockets=[server_socket])
        finally:
            for signal_number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(signal_number, signal.SIG_IGN)  # the last checkpoint is not cut short
            service.pipeline.stop()
            before_stop()
            thread.join()
            service.close()
    return 1 if failures else 0


def _load(config: uvicorn.Config) -> None:
    """What the server needs; SettingsError where its certificate cannot be used."""
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"api.tls_cert_file, api.tls_key_file: {error}") from None


class _Server(uvicorn.Server):
    """Says when it listens; a second signal must not cut the last checkpoint short."""

    def __init__(
        self,
        config: uvicorn.Config,
        listening: Callable[[], None],
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._listening, self._ending = listening, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()  # who listens to what happens would wait for more
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - its signature
        self.should_exit = True
        if sig == signal.SIGINT:
            log.info("stopping; the memories are being saved")


def freeze() -> None:
    """What is there now stays: looking through it for garbage would take a tenth of a second, now
    and then, in which no event is scored."""
    gc.collect()
    gc.freeze()


def _run_pipeline(service: Service, server: uvicorn.Server, failures: list[BaseException]) -> None:
    try:
        service.pipeline.run(freeze)
    except BaseException as error:  # noqa: BLE001 - a broken invariant: stop the process, say why
        failures.append(error)
        known = isinstance(error, WakefulError)  # then its message says what to do
        log.error("the pipeline stopped", error=str(error), exc_info=None if known else error)
    finally:
        service.replies.close()
        server.should_exit = True
