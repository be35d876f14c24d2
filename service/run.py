"""Run a service: the pipeline in its own thread, the API in the main one."""

import gc
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import FrameType

import uvicorn

from service.allocator import give_back, tidy
from service.api.app import create_app, forget_apps
from service.api.connections import Connection
from service.bootstrap import Service, build_service
from service.checks import check_change, check_settings
from service.errors import SettingsError, WakefulError
from service.memory.kept import Left
from service.reloads import Reloads
from service.settings.tree import Settings
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
    read: Callable[[], Settings] | None = None,
) -> int:
    """Serve until a signal, or until the pipeline fails; the exit status.

    `announce` is told the address once it answers; `before_stop` runs before the pipeline ends.
    With `read`, SIGHUP has the settings read again: the memories are saved, and a service of the
    new settings goes on from there, on the same socket, so that who asks meanwhile waits. Settings
    that are wrong change nothing.
    """
    settings, stopping = service.settings, threading.Event()
    reloads = Reloads(read)
    with tidy(), listen(settings.api.host, settings.api.port) as server_socket:
        running = _Running(service, server_socket, stopping, announce, before_stop, reloads)
        del service
        running.serve()
        while running.status == 0 and not stopping.is_set():
            following = reloads.take()
            if following is None:
                break
            log.info("going on with the settings as they are now")
            before, left = running.settings, running.left
            del running  # nothing else may hold its memories: those that are not left would stay
            service = _made(following, before, left)
            left.clear()
            running = _Running(
                service, server_socket, stopping, lambda _: None, before_stop, reloads
            )
            del service
            running.serve()
    return running.status


class _Running:
    """One service, from its start to its end."""

    def __init__(
        self,
        service: Service,
        server_socket: socket.socket,
        stopping: threading.Event,
        announce: Callable[[str], None],
        before_stop: Callable[[], None],
        reloads: Reloads,
    ) -> None:
        self.status = 0
        self.left: dict[str, Left] = {}
        self.settings = service.settings
        self._service = service
        self._socket = server_socket
        self._before_stop = before_stop
        self._reloads, self._turn = reloads, reloads.turn
        settings = service.settings.api
        config = uvicorn.Config(
            create_app(service),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            http=Connection,
            limit_concurrency=settings.max_connections,
            ssl_certfile=settings.tls_cert_file,
            ssl_keyfile=settings.tls_key_file,
            server_header=False,
            forwarded_allow_ips=settings.trusted_proxies,
        )
        host, port = server_socket.getsockname()[:2]
        scheme = "http" if settings.tls_cert_file is None else "https"
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        service.advertise(address)
        alone = service.pipeline.assignment is None or settings.advertise is not None
        if not alone and ip_address(host).is_unspecified:
            log.warning("other instances cannot reach this one: set api.advertise", address=address)
        service.reload = self.reload if reloads.read is not None else None
        self._server = _Server(config, stopping, lambda: announce(address), service.live.close)
        self._stopping = stopping

    def serve(self) -> None:
        """Until it ends."""
        service = self._service
        thread = threading.Thread(target=self._run_pipeline, name="pipeline")
        thread.start()
        service.sender.start()
        service.retention.start()
        if self._reloads.read is not None:
            signal.signal(signal.SIGHUP, self._hang_up)
            if self._reloads.waiting:  # the settings may have changed since they were read
                self._look_beside()
        try:
            self._server.run(sockets=[self._socket.dup()])  # it closes what it is given
        finally:
            _only_note_signals(self._stopping, self._reloads)
            service.pipeline.stop()
            self._before_stop()
            thread.join()
            self.left = {} if self._stopping.is_set() else service.leave()
            service.close()

    def reload(self) -> None:
        """Have the settings read again; SettingsError where they cannot be taken."""
        self._reloads.ask()
        self._look()

    def _look(self) -> None:
        self._reloads.look(self._turn, self._check)
        self._server.should_exit = True

    def _check(self, settings: Settings) -> None:
        before = self._service.settings
        for name, old, new in (
            ("api.host", before.api.host, settings.api.host),
            ("api.port", before.api.port, settings.api.port),
            ("data_dir", before.data_dir, settings.data_dir),
        ):
            if old != new:
                raise SettingsError(f"{name}: another one needs a restart")
        if self._service.log is not None and (
            gone := sorted(set(before.detectors) - set(settings.detectors))
        ):
            raise SettingsError(f"detectors: to be without {', '.join(gone)} needs a restart")
        check_settings(settings)
        check_change(before, self._service.secrets, settings)

    def _hang_up(self, *_: object) -> None:
        self._reloads.ask()
        self._look_beside()

    def _look_beside(self) -> None:
        threading.Thread(target=self._look_or_say, name="reload", daemon=True).start()

    def _look_or_say(self) -> None:
        try:
            self._look()
        except WakefulError as error:
            log.error("the settings are not taken, those before stand", error=str(error))

    def _run_pipeline(self) -> None:
        try:
            # Behind another service, what that one left was collected.
            self._service.pipeline.run(gc.freeze if self._turn else freeze)
        except BaseException as error:  # noqa: BLE001 - a broken invariant: stop the process, say why
            self.status = 1
            known = isinstance(error, WakefulError)  # then its message says what to do
            log.error("the pipeline stopped", error=str(error), exc_info=None if known else error)
        finally:
            self._service.replies.close()
            self._server.should_exit = True


def _only_note_signals(stopping: threading.Event, reloads: Reloads) -> None:
    """So that the last checkpoint is not cut short; what is asked for comes after it.

    The handlers outlive the service that sets them, and are not to keep it alive.
    """
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopping.set())
    if reloads.read is not None:
        signal.signal(signal.SIGHUP, lambda *_: reloads.ask())


def _made(settings: Settings, before: Settings, left: Mapping[str, Left]) -> Service:
    """A service of these settings, or where that cannot be, of those before."""
    forget_apps()
    gc.unfreeze()  # what was before may go
    gc.collect()
    give_back()
    try:
        return build_service(settings, left if settings.kafka == before.kafka else {})
    except WakefulError as error:
        log.error("the settings are not taken, those before stand", error=str(error))
    return build_service(before, left)  # here, where what was begun is gone


class _Server(uvicorn.Server):
    """Says when it listens; a second signal must not cut the last checkpoint short."""

    def __init__(
        self,
        config: uvicorn.Config,
        stopping: threading.Event,
        listening: Callable[[], None],
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._stopping, self._listening, self._ending = stopping, listening, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()
        if self._stopping.is_set():  # before the server could hear of it
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()  # who listens to what happens would wait for more
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - its signature
        self._stopping.set()
        self.should_exit = True
        if sig == signal.SIGINT:
            log.info("stopping; the memories are being saved")


def freeze() -> None:
    """What is there now stays: looking through it for garbage would take a tenth of a second, now
    and then, in which no event is scored."""
    gc.collect()
    gc.freeze()
