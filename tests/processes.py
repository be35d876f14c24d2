"""Start `wakeful` as its users do, as a process, and wait for what it says."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.forks import Forked

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.05


class Wakeful:
    """A running `wakeful serve` or `wakeful demo`; not `forked`, all that it has in memory
    is its own, as for its users."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        module: str = "service",
        forked: bool = True,
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("WAKEFUL_")}
        start = Forked if forked else _started
        self.process = start(module, arguments, {**inherited, **(environment or {})})
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self.address = self._read_address()

    def get(self, path: str) -> Any:
        """The JSON body of a GET, whatever its status."""
        return json.loads(self.text(path))

    def text(self, path: str) -> str:
        try:
            with _opened(self.address + path) as reply:
                return str(reply.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()

    def post(self, path: str, body: bytes, content_type: str = "application/json") -> Any:
        request = urllib.request.Request(  # noqa: S310 - http, ours
            self.address + path, body, {"Content-Type": content_type}
        )
        with _opened(request) as reply:
            return json.loads(reply.read())

    def delete(self, path: str) -> Any:
        request = urllib.request.Request(self.address + path, method="DELETE")  # noqa: S310 - http, ours
        with _opened(request) as reply:
            return json.loads(reply.read())

    def metric(self, name: str) -> float:
        """The sum of a metric's samples over its labels."""
        lines = [line for line in self.text("/metrics").splitlines() if not line.startswith("#")]
        samples = [line.rsplit(" ", 1) for line in lines]
        return sum(float(value) for key, value in samples if key.split("{")[0] == name)

    def pages(self, path: str) -> list[dict[str, Any]]:
        """All items of a paginated route."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.get(f"{path}{'&' if '?' in path else '?'}limit=1000{cursor}")
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = f"&cursor={page['next_cursor']}"

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Where a connection ends without a reply, as one may as settings are read again, it does
        not hold yet."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not _holds(condition):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{what} did not happen: {self.said()}")
            time.sleep(POLL_SECONDS)

    def wait_ready(self) -> None:
        self.wait_for(lambda: self.get("/readyz")["status"] == "ready", "ready")

    def wait_delivered(self) -> None:
        """Until all that the metrics count as read has come to the history: they count first, and
        the pipeline answers between two batches."""
        self.wait_for(lambda: "items" in self.get("/api/v1/streams?limit=1"), "delivered")

    def log(self) -> list[str]:
        """The lines that it has logged so far."""
        return list(self._errors)

    def said(self) -> str:
        """The end of what it logged."""
        return "".join(self._errors)[-3000:]

    def kill(self) -> None:
        """As a power cut would: no chance to save anything."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As Ctrl-C would; the exit status."""
        return self._end(signal.SIGINT)

    def _end(self, signal_number: int) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            status = self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return status

    def _read_address(self) -> str:
        assert self.process.stdout is not None
        too_late = threading.Timer(WAIT_SECONDS, self.process.kill)
        too_late.start()
        for line in self.process.stdout:
            if "http://" in line:
                too_late.cancel()
                return line.split()[-1]
        too_late.cancel()
        self._reader.join()
        raise AssertionError("".join(self._errors))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)


def _started(
    module: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, "PYTHONUNBUFFERED": "1"},
    )


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except ConnectionError:
        return False


def _opened(request: urllib.request.Request | str) -> Any:
    """The reply, in time; ConnectionError where there is none, at whatever point it ended."""
    try:
        return urllib.request.urlopen(request, timeout=WAIT_SECONDS)  # noqa: S310 - http, ours
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionError):
            raise error.reason from error
        raise


@contextmanager
def wakeful(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Wakeful]:
    """A ready process that is stopped, or was, when the block ends."""
    process = Wakeful(*arguments, environment=environment)
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


def memories(data_dir: Path) -> dict[str, bytes]:
    """Every memory row that a stopped or killed process left, by stream."""
    from service.memory.sqlite import SqliteStore  # noqa: PLC0415 - only for tests that look
    from service.memory.store import memories as stored  # noqa: PLC0415
    from tests.base import MEMORIES  # noqa: PLC0415

    store = SqliteStore(data_dir / "wakeful.db")
    try:
        return stored(store, MEMORIES)
    finally:
        store.close()
