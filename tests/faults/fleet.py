"""Workers of one group, each a process that can be killed, stopped, and sent away."""

import json
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from tests.processes import POLL_SECONDS, Wakeful

WAIT_SECONDS = 240.0
FOR_EVER = {"retention.ms": "-1"}  # events are of any time
SESSION_SECONDS = 6.0  # the least that a broker takes; after it a silent worker's partitions move


@dataclass(frozen=True)
class Names:
    """The topics of one run; the group has the events' name."""

    servers: str
    events: str
    partitions: int

    @property
    def anomalies(self) -> str:
        return f"{self.events}.anomalies"

    @property
    def dead_letters(self) -> str:
        return f"{self.events}.dead-letters"

    @property
    def memory(self) -> str:
        return f"{self.events}.memory"

    def environment(self) -> dict[str, str]:
        options = {"session.timeout.ms": int(SESSION_SECONDS * 1000), "heartbeat.interval.ms": 1000}
        return {
            "WAKEFUL_KAFKA__BOOTSTRAP_SERVERS": self.servers,
            "WAKEFUL_KAFKA__TOPICS": json.dumps([self.events]),
            "WAKEFUL_KAFKA__GROUP_ID": self.events,
            "WAKEFUL_KAFKA__ANOMALIES_TOPIC": self.anomalies,
            "WAKEFUL_KAFKA__DEAD_LETTERS_TOPIC": self.dead_letters,
            "WAKEFUL_KAFKA__MEMORY_TOPIC": self.memory,
            "WAKEFUL_KAFKA__OPTIONS": json.dumps(options),
            "WAKEFUL_DETECTORS__DEFAULT__FEATURES": '["value"]',
            "WAKEFUL_CHECKPOINT__INTERVAL_SECONDS": "0.5",
        }


@contextmanager
def made_topics(servers: str, name: str, partitions: int) -> Iterator[Names]:
    names = Names(servers, name, partitions)
    counts = {names.events: partitions, names.anomalies: 2, names.dead_letters: 1}
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        admin.create_topics(
            {topic: {"num_partitions": n, "configs": FOR_EVER} for topic, n in counts.items()}
        )
    yield names
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        admin.delete_topics([*counts, names.memory], raise_errors=False)


class Fleet:
    """Workers 0, 1, …; a data folder for each."""

    def __init__(self, names: Names, folder: Path) -> None:
        self.names = names
        self.workers: dict[int, Wakeful] = {}
        self._folder = folder

    def start(self, *numbers: int) -> None:
        for number in numbers:
            arguments = ("serve", "--data-dir", str(self._folder / f"worker-{number}"), "--port")
            self.workers[number] = Wakeful(*arguments, "0", environment=self.names.environment())

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
        places = [TopicPartition(self.names.events, n) for n in range(self.names.partitions)]
        with closing(
            KafkaConsumer(bootstrap_servers=self.names.servers, group_id=self.names.events)
        ) as consumer:
            consumer.assign(places)
            ends = consumer.end_offsets(places)
            while any((consumer.committed(place) or 0) < ends[place] for place in places):
                for number, worker in self.workers.items():
                    assert worker.process.poll() is None, f"worker {number} ended: {worker.said()}"
                assert time.monotonic() < deadline, self.said()
                time.sleep(POLL_SECONDS)

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
def fleet(names: Names, folder: Path, numbers: Sequence[int]) -> Iterator[Fleet]:
    made = Fleet(names, folder)
    try:
        made.start(*numbers)
        yield made
    finally:
        made.end()
