"""Where a partition is read from: the memories' position, whatever the group committed."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnsupportedCodecError
from kafka.structs import OffsetAndMetadata

from service.bench.broker import running_broker
from service.errors import StateError, Unavailable
from service.kafka.identity import id_of
from service.memory.store import Positions
from service.records import Partition, RawBatch
from service.sources.kafka import KafkaSource
from service.sources.record_batches import WholeBatch
from service.subscription import Subscription
from tests.conftest import HOW_TO_KAFKA, kafka_home

WAIT_SECONDS = 60.0


@dataclass
class Positioned:
    """A keeper of positions alone; `save` is called before they change hands."""

    positions: Positions
    save: Callable[[], None]
    taken: set[Partition] = field(default_factory=set)

    def take(self, partitions: Iterable[Partition]) -> None:
        self.taken |= set(partitions)

    def arrived(self) -> dict[Partition, int | None]:
        arrived = {partition: self.positions.get(partition) for partition in self.taken}
        self.taken.clear()
        return arrived

    def begin(self, partition: Partition, position: int) -> None:
        self.positions[partition] = position

    def give(self, partitions: Iterable[Partition]) -> None:
        self.save()

    def forget(self, partitions: Iterable[Partition]) -> None:
        self.taken -= set(partitions)


def produce(servers: str, topic: str, values: range, partition: int = 0) -> None:
    with closing(KafkaProducer(bootstrap_servers=servers)) as producer:
        for value in values:
            producer.send(topic, value=json.dumps(value).encode(), partition=partition)
        producer.flush()


@contextmanager
def reading(
    servers: str,
    topic: str,
    positions: Positions,
    options: dict[str, Any] | None = None,
    save: Callable[[], None] = lambda: None,
    unread: Callable[[int], object] = lambda _: None,
) -> Iterator[KafkaSource]:
    watched = Subscription.of([topic])
    source = KafkaSource([servers], watched, topic, options or {}, 1000, unread=unread)
    source.keeper = Positioned(positions, save)
    source.start({})
    try:
        yield source
    finally:
        source.close()


def read(source: KafkaSource, count: int, positions: Positions) -> list[int]:
    """Poll until this many records came, moving positions on as the pipeline does."""
    values: list[int] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(values) < count and time.monotonic() < deadline:
        for batch in source.poll(0.1):
            values += _values(batch)
            positions[batch.partition] = batch.next_offset
    return values


def _values(batch: RawBatch) -> list[int]:
    return [json.loads(batch.value(i) or b"") for i in range(len(batch))]


def commit(servers: str, topic: str, offset: int) -> None:
    with closing(KafkaConsumer(bootstrap_servers=servers, group_id=topic)) as consumer:
        partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        consumer.assign(partitions)
        consumer.commit({p: OffsetAndMetadata(offset, "", -1) for p in partitions})


def test_reading_starts_at_the_memories_position_not_at_the_groups(
    bootstrap_servers: str, topic: str
) -> None:
    produce(bootstrap_servers, topic, range(10))
    commit(bootstrap_servers, topic, 10)
    positions: Positions = {(topic, 0): 4}
    with reading(bootstrap_servers, topic, positions) as source:
        assert read(source, 6, positions) == [4, 5, 6, 7, 8, 9]


def test_an_error_behind_records_does_not_take_them_along(
    bootstrap_servers: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll that asks for what comes next fails: what came before is read, the error is told."""
    produce(bootstrap_servers, topic, range(10))
    positions: Positions = {(topic, 0): 0}
    with reading(bootstrap_servers, topic, positions) as source:
        source.poll(0.0)  # connects
        client_poll = source._consumer.poll

        def poll(timeout_ms: int, max_records: int) -> object:
            if timeout_ms == 0:
                raise KafkaError("the broker is gone")
            return client_poll(timeout_ms=timeout_ms, max_records=max_records)

        monkeypatch.setattr(source._consumer, "poll", poll)
        assert read(source, 10, positions) == list(range(10))
        with pytest.raises(Unavailable, match="the broker is gone"):
            source.poll(0.1)


def test_without_a_position_all_that_is_retained_is_read(
    bootstrap_servers: str, topic: str
) -> None:
    produce(bootstrap_servers, topic, range(5))
    commit(bootstrap_servers, topic, 5)
    positions: Positions = {}
    with reading(bootstrap_servers, topic, positions) as source:
        assert read(source, 5, positions) == [0, 1, 2, 3, 4]


def test_latest_is_decided_once_before_anything_is_read(bootstrap_servers: str, topic: str) -> None:
    produce(bootstrap_servers, topic, range(5))
    positions: Positions = {}
    latest = {"auto.offset.reset": "latest"}
    with reading(bootstrap_servers, topic, positions, latest) as source:
        deadline = time.monotonic() + WAIT_SECONDS
        while len(positions) < 2 and time.monotonic() < deadline:
            assert source.poll(0.1) == []
    assert positions == {(topic, 0): 5, (topic, 1): 0}

    produce(bootstrap_servers, topic, range(5, 8))  # while nobody reads
    with reading(bootstrap_servers, topic, positions, latest) as source:
        assert read(source, 3, {}) == [5, 6, 7]


def test_what_retention_deleted_is_skipped_and_no_more(bootstrap_servers: str, topic: str) -> None:
    produce(bootstrap_servers, topic, range(10))
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(topic, 0): 6})
    positions: Positions = {(topic, 0): 2, (topic, 1): 0}
    with reading(bootstrap_servers, topic, positions, {"auto.offset.reset": "latest"}) as source:
        assert read(source, 4, positions) == [6, 7, 8, 9]


def test_a_topic_that_ends_before_the_memories_was_made_again(
    bootstrap_servers: str, topic: str
) -> None:
    produce(bootstrap_servers, topic, range(3))
    positions: Positions = {(topic, 0): 9, (topic, 1): 0}
    with (
        reading(bootstrap_servers, topic, positions) as source,
        pytest.raises(StateError, match=r"made again, .*set kafka.group_id.*history.url to others"),
    ):
        read(source, 1, positions)


@pytest.mark.parametrize("records", [3, 12])
def test_a_topic_that_is_made_again_while_it_is_read_is_not_read_on(
    bootstrap_servers: str, topic: str, records: int
) -> None:
    """A shorter one would be read as events that are known, of a longer one the first skipped."""
    produce(bootstrap_servers, topic, range(10))
    positions: Positions = {(topic, 0): 0, (topic, 1): 0}
    with reading(bootstrap_servers, topic, positions) as source:
        assert read(source, 10, positions) == list(range(10))
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
            admin.delete_topics([topic])
            with suppress(Unavailable):
                source.poll(0.5)  # as a pipeline does all the time
            made(admin, topic)
        produce(bootstrap_servers, topic, range(records))
        with pytest.raises(StateError, match="made again"):
            read_on(source, positions)


def test_what_was_read_counts_as_of_the_topic_that_it_was_read_from(
    bootstrap_servers: str, topic: str
) -> None:
    """Whatever is heard before anything is saved: else memories of the one would pass for
    memories of the other."""
    produce(bootstrap_servers, topic, range(3))
    positions: Positions = {(topic, 0): 0, (topic, 1): 0}
    with reading(bootstrap_servers, topic, positions) as source:
        read(source, 3, positions)
        first = source.topic_id(topic)
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
            admin.delete_topics([topic])
            made(admin, topic)
        produce(bootstrap_servers, topic, range(3))
        source._consumer.topics()  # as it asks by itself now and then
        assert first == source.topic_id(topic) != id_of(source._consumer._cluster, topic)
        with pytest.raises(StateError, match="made again"):
            read_on(source, positions)


def test_records_that_are_deleted_before_they_are_read_are_told_of(
    bootstrap_servers: str, topic: str
) -> None:
    """Retention that overtakes a reader takes events that nobody scores."""
    for value in range(10):
        produce(bootstrap_servers, topic, range(value, value + 1))  # a batch each
    positions: Positions = {(topic, 0): 0, (topic, 1): 0}
    one_batch = {"max.partition.fetch.bytes": 1}
    told: list[int] = []
    with reading(bootstrap_servers, topic, positions, one_batch, unread=told.append) as source:
        known = read(source, 1, positions)
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
            admin.delete_records({TopicPartition(topic, 0): 8})
        while known[-1] != 9:
            known += read(source, 1, positions)
    missed = set(range(8)) - set(known)
    assert missed
    assert known == sorted({*range(10)} - missed)
    assert told == [len(missed)]


def read_on(source: KafkaSource, positions: Positions) -> None:
    """As the pipeline does: while the name is nobody's, there is no topic."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with suppress(Unavailable):
            read(source, 1, positions)
            return


def made(admin: KafkaAdminClient, topic: str) -> None:
    """As soon as the name is free."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
        except TopicAlreadyExistsError:
            assert time.monotonic() < deadline
        else:
            return


def test_a_batch_that_cannot_be_unpacked_is_fetched_again(
    bootstrap_servers: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is told each time, and once it can be nothing is missing."""
    with closing(KafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=100)) as producer:
        for value in range(5):
            producer.send(topic, value=json.dumps(value).encode(), partition=0)
    positions: Positions = {(topic, 0): 0, (topic, 1): 0}
    with reading(bootstrap_servers, topic, positions) as source:
        source.poll(0.0)  # connects
        with monkeypatch.context() as unpacked:
            unpacked.setattr(WholeBatch, "_maybe_uncompress", unpackable)
            for _ in range(2):
                with pytest.raises(Unavailable, match="not installed"):
                    read(source, 1, positions)
        assert read(source, 5, positions) == [0, 1, 2, 3, 4]


def unpackable(_: WholeBatch) -> None:
    raise UnsupportedCodecError("libraries for snappy compression codec not found")


def test_a_partition_that_comes_back_is_read_on_from_our_own_position(
    bootstrap_servers: str, topic: str
) -> None:
    """Two members: a partition goes to the second and comes back; the first misses nothing."""
    for partition in (0, 1):
        produce(bootstrap_servers, topic, range(5), partition)
    first: Positions = {}
    saved: list[Positions] = []
    with reading(bootstrap_servers, topic, first, {}, lambda: saved.append(dict(first))) as source:
        assert sorted(read(source, 10, first)) == sorted([*range(5), *range(5)])
        with reading(bootstrap_servers, topic, {}) as other:
            taken: list[RawBatch] = []
            deadline = time.monotonic() + WAIT_SECONDS
            while not taken and time.monotonic() < deadline:
                assert source.poll(0.1) == []
                taken += other.poll(0.1)
            ((_, moved),) = {batch.partition for batch in taken}
            assert saved[-1] == {(topic, 0): 5, (topic, 1): 5}  # before the partition went
            produce(bootstrap_servers, topic, range(5, 8), moved)
            assert read(other, 3, {})[-1] == 7
        assert read(source, 3, first) == [5, 6, 7]


def test_what_is_ours_is_read_while_the_group_waits_for_another_member(
    bootstrap_servers: str, topic: str
) -> None:
    for partition in (0, 1):
        produce(bootstrap_servers, topic, range(5), partition)
    ours: Positions = {}
    with reading(bootstrap_servers, topic, ours) as source:
        read(source, 10, ours)
        with (
            reading(bootstrap_servers, topic, {}) as third,
            reading(bootstrap_servers, topic, {}) as silent,
        ):
            taken: list[RawBatch] = []
            deadline = time.monotonic() + WAIT_SECONDS
            while not taken and time.monotonic() < deadline:
                assert source.poll(0.1) == []
                taken += silent.poll(0.1)
            ((_, moved),) = {batch.partition for batch in taken}
            while not meeting(source):  # it cannot end: `silent` does not poll again
                assert time.monotonic() < deadline, "the group does not meet"
                third.poll(0.1)
                source.poll(0.1)
            produce(bootstrap_servers, topic, range(5, 8), 1 - moved)
            assert read(source, 3, ours) == [5, 6, 7]
            assert meeting(source)


def meeting(source: KafkaSource) -> bool:
    """Whether it waits for the others of its group."""
    return source._meetings.meeting


def test_the_lag_is_nothing_when_all_is_read_markers_of_transactions_or_not(
    bootstrap_servers: str, topic: str
) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=topic)
    producer.init_transactions()
    for end in (producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        for value in range(5):
            producer.send(topic, value=json.dumps(value).encode(), partition=0)
        end()
    producer.close()
    positions: Positions = {}
    with reading(bootstrap_servers, topic, positions) as source:
        assert read(source, 5, positions) == [0, 1, 2, 3, 4]
        deadline = time.monotonic() + WAIT_SECONDS
        while source.lag() and time.monotonic() < deadline:
            source.poll(0.1)
        assert source.lag() == 0


def test_to_know_the_lag_no_broker_is_asked(
    bootstrap_servers: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has just gone would end the pipeline, whose loop looks at it between two polls."""
    produce(bootstrap_servers, topic, range(10))
    positions: Positions = {}
    with reading(bootstrap_servers, topic, positions) as source:
        read(source, 10, positions)

        def asked(*_: object, **__: object) -> None:
            raise KafkaError("the broker is gone")

        monkeypatch.setattr(source._consumer._fetcher, "validate_offsets_if_needed", asked)
        assert source.lag() == 0


def test_a_topic_that_is_not_there_is_said(bootstrap_servers: str) -> None:
    with (
        reading(bootstrap_servers, "no-such-topic", {}) as source,
        pytest.raises(Unavailable, match="no topic no-such-topic"),
    ):
        read(source, 1, {})


def test_a_broker_that_hangs_is_noticed(tmp_path: Path) -> None:
    home = kafka_home()
    if home is None:
        pytest.skip(f"no broker to stop: {HOW_TO_KAFKA}")
    with running_broker(home, tmp_path / "kafka") as broker:
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            admin.create_topics({"t": {"num_partitions": 2, "replication_factor": 1}})
        produce(broker.address, "t", range(1))
        with reading(broker.address, "t", {}) as source:
            assert read(source, 1, {}) == [0]
            broker.suspend()
            with pytest.raises(Unavailable):
                read(source, 1, {})
            broker.resume()
