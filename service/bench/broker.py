"""A throwaway Apache Kafka from an untarred release: KRaft, one node, on loopback."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS, POLL_SECONDS = 60.0, 0.05


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Broker:
    """A broker that keeps its data in `folder`; it can be killed and started again.

    `listeners` are others beside the one at `address`, which asks nobody who they are; `more` are
    settings, and `formatted` options of the storage's formatting.
    """

    def __init__(
        self,
        home: Path,
        folder: Path,
        listeners: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
        formatted: Sequence[str] = (),
    ) -> None:
        self._home = home
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = folder / "server.properties"
        folder.mkdir(parents=True, exist_ok=True)
        controller = free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(
                [
                    f"PLAINTEXT://127.0.0.1:{self.port}",
                    f"CONTROLLER://127.0.0.1:{controller}",
                    *listeners,
                ]
            ),
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL"
            ),
            "log.dirs": str(folder / "log"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
            "log.cleaner.backoff.ms": "500",  # compaction can be waited for
            **(more or {}),
        }
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        self._properties.write_text(text, encoding="utf-8")
        cluster = ("-t", "AAAAAAAAAAAAAAAAAAAAAQ")
        self._script("kafka-storage.sh", "format", *cluster, *formatted, "-c")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._home / "bin" / "kafka-server-start.sh", self._properties],
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError((self._folder / "broker.log").read_text()[-2000:])
            time.sleep(POLL_SECONDS)

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        """Signal the broker and its JVM, and wait for the end."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(self._process.pid, signal_number)
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """A broker that takes connections and answers nothing."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket() as attempt:
            attempt.settimeout(0.5)
            return attempt.connect_ex(("127.0.0.1", self.port)) == 0

    def _script(self, name: str, *arguments: str) -> None:
        command = [str(self._home / "bin" / name), *arguments, str(self._properties)]
        subprocess.run(command, check=True, capture_output=True, env=self._environment())

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "LOG_DIR": str(self._folder / "logs")}


def started(make: Callable[[Path], Broker], folder: Path) -> Broker:
    """One that runs, in a folder of its own; made once more where a port that was free when it was
    found is taken by now."""
    broker = make(folder / "first")
    try:
        broker.start()
    except RuntimeError:
        broker = make(folder / "second")
        broker.start()
    return broker


@contextmanager
def running_broker(home: Path, folder: Path) -> Iterator[Broker]:
    broker = started(lambda place: Broker(home, place), folder)
    try:
        yield broker
    finally:
        broker.kill()
