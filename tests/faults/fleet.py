"""Workers of one group, each a process that can be killed, stopped, and sent away."""

import resource
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kafka.topics import Names, behind
from tests.processes import POLL_SECONDS, Wakeful

WAIT_SECONDS = 240.0


class Fleet:
    """Workers 0, 1, …; a data folder for each."""

    def __init__(self, names: Names, folder: Path, resident: int | None) -> None:
        self.names = names
        self._more = {"WAKEFUL_LIMITS__MAX_RESIDENT_STREAMS": str(resident)} if resident else {}
        self.workers: dict[int, Wakeful] = {}
        self._folder = folder

    def start(self, *numbers: int, module: str = "service") -> None:
        for number in numbers:
            arguments = ("serve", "--data-dir", str(self._folder / f"worker-{number}"), "--port")
            environment = self.names.environment(**self._more)
            self.workers[number] = Wakeful(*arguments, "0", environment=environment, module=module)

    def kill(self, number: int) -> None:
        self.workers.pop(number).kill()

    def stop(self, number: int) -> None:
        worker = self.workers.pop(number)
        assert worker.stop() == 0, worker.said()

    def lose(self, number: int) -> None:
        """The machine burns down."""
        self.kill(number)
        shutil.rmtree(self._folder / f"worker-{number}")

    def suspend(self, number: int) -> None:
        self.workers[number].process.send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        self.workers[number].process.send_signal(signal.SIGCONT)

    def wait_scored(self) -> None:
        """Until the group's offsets are at the ends of the topic."""
        deadline = time.monotonic() + WAIT_SECONDS
        while behind(self.names):
            for number, worker in self.workers.items():
                assert worker.process.poll() is None, f"worker {number} ended: {worker.said()}"
            assert time.monotonic() < deadline, self.said()
            time.sleep(POLL_SECONDS)

    def limit_files(self, number: int, size: int) -> None:
        """No file that it writes may be larger, as on a disk that is full; -1 for no limit."""
        hard = resource.prlimit(self.workers[number].process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.workers[number].process.pid, resource.RLIMIT_FSIZE, (size, hard))

    def stop_all(self) -> None:
        for number in list(self.workers):
            self.stop(number)

    def end(self) -> None:
        """However it went."""
        for worker in self.workers.values():
            worker.process.send_signal(signal.SIGCONT)
            worker.kill()

    def said(self) -> str:
        return "\n".join(f"worker {n}: {w.said()}" for n, w in self.workers.items())


@contextmanager
def fleet(
    names: Names, folder: Path, numbers: Sequence[int], resident: int | None = None
) -> Iterator[Fleet]:
    made = Fleet(names, folder, resident)
    try:
        made.start(*numbers)
        yield made
    finally:
        made.end()
