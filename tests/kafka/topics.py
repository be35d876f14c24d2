"""The topics of a test: made, named to the service, filled and read."""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

WAIT_SECONDS = 60.0  # longer than brokers leave a dead producer's transaction open
SESSION_SECONDS = 6.0  # the least that a broker takes; after it a silent worker's partitions move
FOR_EVER = {"retention.ms": "-1"}  # events are of any time


@dataclass(frozen=True)
class Names:
    """The topics of one run; the group has the events' name."""

    servers: str
    events: str
    partitions: int
    session_seconds: float = SESSION_SECONDS

    @property
    def anomalies(self) -> str:
        return f"{self.events}.anomalies"

    @property
    def episodes(self) -> str:
        return f"{self.events}.episodes"

    @property
    def dead_letters(self) -> str:
        return f"{self.events}.dead-letters"

    @property
    def memory(self) -> str:
        return f"{self.events}.memory"

    def environment(self, **more: str) -> dict[str, str]:
        session_ms = int(self.session_seconds * 1000)
        options = {"session.timeout.ms": session_ms, "heartbeat.interval.ms": 1000}
        return {
            "WAKEFUL_KAFKA__BOOTSTRAP_SERVERS": self.servers,
            "WAKEFUL_KAFKA__TOPICS": json.dumps([self.events]),
            "WAKEFUL_KAFKA__GROUP_ID": self.events,
            "WAKEFUL_KAFKA__ANOMALIES_TOPIC": self.anomalies,
            "WAKEFUL_KAFKA__EPISODES_TOPIC": self.episodes,
            "WAKEFUL_KAFKA__DEAD_LETTERS_TOPIC": self.dead_letters,
            "WAKEFUL_KAFKA__MEMORY_TOPIC": self.memory,
            "WAKEFUL_KAFKA__OPTIONS": json.dumps(options),
            "WAKEFUL_DETECTORS__DEFAULT__FEATURES": '["value"]',
            "WAKEFUL_CHECKPOINT__INTERVAL_SECONDS": "0.5",
            **more,
        }


@contextmanager
def made_topics(servers: str, name: str, partitions: int) -> Iterator[Names]:
    names = Names(servers, name, partitions)
    counts = {
        names.events: partitions, names.anomalies: 2, names.episodes: 2, names.dead_letters: 1,
    }  # fmt: skip
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        admin.create_topics(
            {topic: {"num_partitions": n, "configs": FOR_EVER} for topic, n in counts.items()}
        )
    yield names
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        admin.delete_topics([*counts, names.memory], raise_errors=False)


TRACE = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]


def produce(names: Names, events: list[tuple[str, dict[str, Any]]]) -> None:
    """Each event with a header, as tracing sets one."""
    producer = KafkaProducer(bootstrap_servers=names.servers, linger_ms=20)
    for stream, event in events:
        value = json.dumps(event).encode()
        producer.send(names.events, key=stream.encode(), value=value, headers=TRACE)
    producer.flush()
    producer.close()


def sines(streams: int, events_each: int, seed: int = 1) -> list[tuple[str, dict[str, Any]]]:
    """Noisy sines, a spike now and then, the streams taking turns."""
    random = np.random.default_rng(seed)
    phases, noise = random.uniform(0, 6, streams), random.normal(size=(events_each, streams))
    spikes = (random.random((events_each, streams)) < 0.01) * 15.0
    return [
        (
            f"s-{s}",
            {
                "time": 1.7e9 + 60.0 * n,
                "value": float(10 * np.sin(n / 8 + phases[s]) + 0.5 * noise[n, s] + spikes[n, s]),
            },
        )
        for n in range(events_each)
        for s in range(streams)
    ]


def behind(names: Names) -> int:
    """How many records the group's offsets are behind the ends of its topic."""
    places = [TopicPartition(names.events, n) for n in range(names.partitions)]
    with closing(KafkaConsumer(bootstrap_servers=names.servers, group_id=names.events)) as consumer:
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        return sum(ends[place] - (consumer.committed(place) or 0) for place in places)


def read(servers: str, topic: str, partition: int | None = None) -> list[Any]:
    """Every committed record of a topic, or of one of its partitions."""
    with closing(
        KafkaConsumer(
            bootstrap_servers=servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=16 * 2**20,
            max_poll_records=100_000,
        )
    ) as consumer:
        numbers = consumer.partitions_for_topic(topic) if partition is None else [partition]
        places = [TopicPartition(topic, number) for number in sorted(numbers)]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        records: list[Any] = []
        deadline = time.monotonic() + WAIT_SECONDS
        while any(consumer.position(place) < ends[place] for place in places):
            assert time.monotonic() < deadline, f"{topic} is not read to its end"
            for part in consumer.poll(timeout_ms=500).values():
                records += part
        return records
