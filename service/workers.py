"""Several workers on one machine: processes that serve, each with a data folder and a port."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from service.errors import SettingsError
from service.settings.tree import Settings
from service.telemetry.logging import log

RESTART_SECONDS = 1.0
END_SECONDS = 60.0
WRONG_SETTINGS = 2


def run_workers(count: int, settings: Settings, arguments: Sequence[str]) -> int:
    """Run so many workers until a signal; one that ends by itself is started again.

    Worker k has the folder `worker-<k>` of the data folder, and the kth port from the configured
    one on. The exit status: 0, or 2 where a worker found that settings are wrong. Raises
    SettingsError for what several cannot share.
    """
    _check(settings)
    stopping = threading.Event()

    def stop(signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - its signature
        stopping.set()

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, stop)
    workers = [_start(k, settings, arguments) for k in range(count)]

    def pass_on(signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for worker in workers:
            worker.send_signal(signal_number)

    signal.signal(signal.SIGHUP, pass_on)
    while not stopping.wait(RESTART_SECONDS):
        for k, worker in enumerate(workers):
            if worker.poll() == WRONG_SETTINGS:
                stopping.set()
            elif worker.poll() is not None:
                log.error("a worker ended and is started again", worker=k, status=worker.poll())
                workers[k] = _start(k, settings, arguments)
    for worker in workers:
        worker.terminate()
    statuses = [_end(worker) for worker in workers]
    return WRONG_SETTINGS if WRONG_SETTINGS in statuses else 0


def _check(settings: Settings) -> None:
    if settings.kafka.bootstrap_servers is None:
        raise SettingsError(
            "--workers: the embedded log has one reader; several share the partitions of a Kafka "
            "topic: set kafka.bootstrap_servers"
        )
    if settings.api.advertise is not None:
        raise SettingsError("--workers: api.advertise is one address: start processes one by one")
    for name in settings.kafka.options:
        if name.replace("_", ".") == "group.instance.id":
            raise SettingsError(f"--workers: kafka.options: {name} can be one worker's only")


def _start(number: int, settings: Settings, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    folder: Path = settings.data_dir / f"worker-{number}"
    port = settings.api.port + number if settings.api.port else 0
    command = [sys.executable, "-m", "service", "serve", *arguments]
    shared = {"WAKEFUL_API__KEYS_FILE": str(settings.keys_file())}
    return subprocess.Popen(
        [*command, "--data-dir", str(folder), "--port", str(port)],
        env={**os.environ, **shared},
        start_new_session=True,  # Ctrl-C is for the parent, who tells each
    )


def _end(worker: "subprocess.Popen[bytes]") -> int:
    try:
        return worker.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        return worker.wait()
