"""Processes of ours that need not import everything anew: that is most of what a start takes.

They are forked from one that has imported what a service needs, and has done nothing else.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import IO

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["service.cli", "service.run", "alembic.command"])


class Forked:
    """What `python -m module arguments` does, to be used as `subprocess.Popen` is."""

    def __init__(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.stdout, out = _pipe()
        self.stderr, errors = _pipe()
        self._process = FORKS.Process(
            target=_run, args=(module, arguments, dict(environment), out, errors), daemon=True
        )
        self._process.start()
        out.close()
        errors.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, seconds: float) -> int:
        self._process.join(seconds)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), seconds)
        return status

    def send_signal(self, signal_number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal_number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _pipe() -> tuple[IO[str], Connection]:
    """What we read, and what it writes to."""
    reader, writer = FORKS.Pipe(duplex=False)
    with reader:
        return os.fdopen(os.dup(reader.fileno()), "r", encoding="utf-8"), writer


def _run(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    out: Connection,
    errors: Connection,
) -> None:
    for to, given in ((1, out), (2, errors)):
        os.dup2(given.fileno(), to)
        given.close()
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # as every process of its own does, such as to send what waits
