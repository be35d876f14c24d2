"""Whatever happens to workers and broker: no memory differs in a bit, nothing is lost or doubled.

The short form runs with every test; the long one is `make faults`.
"""

import random
import resource
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest
from kafka import KafkaProducer

from service.bench.broker import Broker, running_broker
from tests.conftest import HOW_TO_KAFKA, kafka_home
from tests.faults.events import produce, records
from tests.faults.fleet import Fleet, fleet
from tests.faults.hanging import end_hanging
from tests.faults.oracle import differences, told, uninterrupted
from tests.kafka.topics import SESSION_SECONDS, made_topics

WORKERS = 3


@dataclass(frozen=True)
class Size:
    events: int
    streams: int
    partitions: int
    faults: int
    seed: int
    resident: int  # streams that a worker keeps in memory: fewer than it may have


SHORT = Size(events=42_000, streams=300, partitions=4, faults=8, seed=1, resident=60)
LONG = Size(events=1_000_000, streams=10_000, partitions=8, faults=200, seed=2, resident=3000)


class Faults:
    """What can happen, one thing at a time."""

    def __init__(self, workers: Fleet, broker: Broker, seed: int) -> None:
        self._fleet = workers
        self._broker = broker
        self._random = random.Random(seed)
        self._kinds = [
            self.kill, self.kill, self.kill_for_long, self.lose, self.stop, self.suspend,
            self.become_a_zombie, self.grow, self.kill_the_broker, self.set_the_clock,
        ]  # fmt: skip
        if hasattr(resource, "prlimit"):  # Linux alone limits another process
            self._kinds.append(self.fill_the_disk)
        self._left: list[object] = []

    def happen(self) -> str:
        """The next one; all kinds come before one comes again."""
        if not self._left:
            self._left = self._random.sample(self._kinds, len(self._kinds))
        kind = self._left.pop()
        time.sleep(self._random.uniform(0.0, 1.5))  # at any point
        kind(self._random.randrange(WORKERS))  # type: ignore[operator]
        return kind.__name__  # type: ignore[attr-defined]

    def kill(self, worker: int) -> None:
        """It comes back at once, and to its partitions."""
        self._fleet.kill(worker)
        self._fleet.start(worker)

    def kill_for_long(self, worker: int) -> None:
        """Others take its partitions."""
        self._fleet.kill(worker)
        time.sleep(SESSION_SECONDS + 1.0)
        self._fleet.start(worker)

    def lose(self, worker: int) -> None:
        """Nothing of its disk is left, and its name is another."""
        self._fleet.lose(worker)
        self._fleet.start(worker)

    def stop(self, worker: int) -> None:
        self._fleet.stop(worker)
        self._fleet.start(worker)

    def suspend(self, worker: int) -> None:
        self._fleet.suspend(worker)
        time.sleep(self._random.uniform(0.1, SESSION_SECONDS / 2))
        self._fleet.resume(worker)

    def become_a_zombie(self, worker: int) -> None:
        """Others have its partitions when it wakes up."""
        self._fleet.suspend(worker)
        time.sleep(SESSION_SECONDS + 3.0)
        self._fleet.resume(worker)

    def grow(self, worker: int) -> None:
        """One more comes, and goes in the middle of things."""
        self._fleet.start(WORKERS)
        time.sleep(self._random.uniform(0.0, 3.0))
        self._fleet.kill(WORKERS)

    def set_the_clock(self, worker: int) -> None:
        """It comes back on a machine whose clock jumps."""
        self._fleet.stop(worker)
        self._fleet.start(worker, module="tests.faults.jumping")

    def fill_the_disk(self, worker: int) -> None:
        self._fleet.limit_files(worker, 4096)
        time.sleep(self._random.uniform(0.5, 2.0))
        self._fleet.limit_files(worker, -1)

    def kill_the_broker(self, worker: int) -> None:
        self._broker.kill()
        time.sleep(self._random.uniform(0.0, 2.0))
        self._broker.start()


def test_random_faults_change_nothing(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    home = kafka_home()
    if home is None:
        pytest.skip(f"no broker to kill: {HOW_TO_KAFKA}")
    size = LONG if request.config.getoption("--long") else SHORT
    with (
        running_broker(home, tmp_path / "kafka") as broker,
        made_topics(broker.address, "events", size.partitions) as names,
        fleet(names, tmp_path, range(WORKERS), size.resident) as workers,
    ):
        faults = Faults(workers, broker, size.seed)
        events = records(size.events, size.streams, size.seed)
        for n in range(size.faults):
            with closing(KafkaProducer(bootstrap_servers=names.servers, linger_ms=20)) as producer:
                produce(producer, names.events, islice(events, size.events // size.faults))
            print(n, faults.happen(), flush=True)  # noqa: T201 - the long form takes its time
        workers.wait_scored()
        workers.stop_all()
        print("hanging transactions:", end_hanging(names))  # noqa: T201
        expected = uninterrupted(names)
        assert len(expected.memories) == size.streams
        assert len(expected.anomalies) > size.events / 1000
        assert differences(told(names), expected) == {}
