"""Whole batches hold the records that kafka-python's own poll() gives, whatever was written."""

import random
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from service.kafka.headers import MOST_BYTES, headers_of
from service.sources import record_batches
from service.sources.record_batches import BATCHES_AT_ONCE, index_records, raw_batches, take_whole

WAIT_SECONDS = 60.0

Record = tuple[int, float, bytes | None, bytes | None]


def record(n: int) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """The n-th record: with and without key, value and headers, short and long."""
    chance = random.Random(n)
    key = chance.choice([None, b"", f"stream-{n % 7}".encode(), chance.randbytes(300)])
    value = chance.choice([None, b"", str(n).encode(), chance.randbytes(200)])
    headers = [(f"h{k}", chance.randbytes(3)) for k in range(chance.choice([0, 0, 2]))]
    return key, value, headers


def produce(servers: str, topic: str, numbers: range, **options: Any) -> None:
    with closing(KafkaProducer(bootstrap_servers=servers, linger_ms=20, **options)) as producer:
        for n in numbers:
            key, value, headers = record(n)
            empty = b"" if key is None and value is None else value
            producer.send(
                topic, empty, key, headers, partition=0, timestamp_ms=1_700_000_000_000 + n
            )
        producer.flush()


def produce_transactions(servers: str, topic: str, first: int) -> None:
    """Committed and aborted ones by turns; each ends with a control batch."""
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id=topic, linger_ms=5)
    with closing(producer):
        producer.init_transactions()
        for turn in range(6):
            producer.begin_transaction()
            for n in range(first + 20 * turn, first + 20 * turn + 20):
                producer.send(topic, f"{turn}:{n}".encode(), b"k", partition=0)
            producer.flush()
            if turn % 2:
                producer.abort_transaction()
            else:
                producer.commit_transaction()


def consumer_at(servers: str, topic: str, offset: int) -> Any:
    consumer = KafkaConsumer(
        bootstrap_servers=servers, isolation_level="read_committed", enable_auto_commit=False,
        max_partition_fetch_bytes=20_000,
    )  # fmt: skip
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek(TopicPartition(topic, 0), offset)
    return consumer


def polled(consumer: Any, topic: str, until: int) -> list[Record]:
    """By kafka-python itself."""
    partition, found = TopicPartition(topic, 0), []
    deadline = time.monotonic() + WAIT_SECONDS
    while consumer.position(partition) < until:
        assert time.monotonic() < deadline, f"{topic} is not read to {until}"
        for records in consumer.poll(timeout_ms=200).values():
            found += [(r.offset, r.timestamp / 1000.0, r.key, r.value) for r in records]
    return [one for one in found if one[0] < until]  # a fetch may bring what came later


def taken(consumer: Any, topic: str, until: int, most: int) -> list[Record]:
    """In whole batches."""
    assert take_whole(consumer)
    partition, found = TopicPartition(topic, 0), []
    deadline = time.monotonic() + WAIT_SECONDS
    while consumer.position(partition) < until:
        assert time.monotonic() < deadline, f"{topic} is not read to {until}"
        for tp, records in consumer.poll(timeout_ms=200, max_records=BATCHES_AT_ONCE).items():
            for batch in raw_batches(tp, records, most):
                found += [
                    (
                        int(batch.offsets[i]),
                        float(batch.timestamps[i]),
                        batch.key(i),
                        batch.value(i),
                    )
                    for i in range(len(batch))
                ]
    return [one for one in found if one[0] < until]


def first_polled(consumer: Any) -> Any:
    """What the first poll gives that gives anything."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (records := consumer.poll(timeout_ms=200, max_records=1)):
        assert time.monotonic() < deadline, "nothing is polled"
    return records


@dataclass
class Written:
    topic: str
    end: int


@pytest.fixture
def written(bootstrap_servers: str, topic: str) -> Written:
    """Records of every compression, then transactions, some aborted."""
    for k, compression in enumerate([None, "gzip", "snappy", "lz4", "zstd"]):
        produce(
            bootstrap_servers, topic, range(300 * k, 300 * k + 300),
            compression_type=compression, batch_size=4000,
        )  # fmt: skip
    produce_transactions(bootstrap_servers, topic, 1500)
    produce(bootstrap_servers, topic, range(5000, 5010))
    with closing(consumer_at(bootstrap_servers, topic, 0)) as consumer:
        (end,) = consumer.end_offsets([TopicPartition(topic, 0)]).values()
    return Written(topic, int(end))


@pytest.mark.parametrize(("start", "most"), [(0, 1000), (137, 50), (1013, 1), (1555, 5000)])
def test_whole_batches_hold_the_records_that_poll_gives(
    bootstrap_servers: str, written: Written, start: int, most: int
) -> None:
    with closing(consumer_at(bootstrap_servers, written.topic, start)) as consumer:
        expected = polled(consumer, written.topic, written.end)
    with closing(consumer_at(bootstrap_servers, written.topic, start)) as consumer:
        assert taken(consumer, written.topic, written.end, most) == expected
    assert len(expected) > 30
    assert expected[0][0] == start or start == 1555


def test_a_pause_and_a_seek_between_polls_are_followed(
    bootstrap_servers: str, written: Written
) -> None:
    partition = TopicPartition(written.topic, 0)
    with closing(consumer_at(bootstrap_servers, written.topic, 0)) as consumer:
        assert take_whole(consumer)
        records = first_polled(consumer)
        (batch,) = raw_batches(partition, records[partition], 10_000)
        assert consumer.position(partition) == batch.next_offset
        consumer.pause(partition)
        assert consumer.poll(timeout_ms=100, max_records=1) == {}
        consumer.resume(partition)
        consumer.seek(partition, 3)
        records = first_polled(consumer)
        again = next(raw_batches(partition, records[partition], 10_000))
        assert again.offsets[0] == 3
        assert again.key(0) == batch.key(3)


HEADERS = st.lists(
    st.tuples(st.text(max_size=200), st.none() | st.binary(max_size=300)), max_size=5
)


@settings(max_examples=50, deadline=None)  # the first one compiles
@given(st.lists(st.tuples(st.none() | st.binary(max_size=200), HEADERS), min_size=1, max_size=5))
def test_a_records_headers_are_found_behind_it(
    records: list[tuple[bytes | None, list[tuple[str, bytes | None]]]],
) -> None:
    builder = MemoryRecordsBuilder(2, 0, 1 << 20)
    for value, headers in records:
        assert builder.append(1_700_000_000_000, b"k", value, headers)
    builder.close()
    partition = TopicPartition("t", 0)
    found = record_batches._PartitionRecords(0, partition, builder.records()).take(9)
    (batch,) = raw_batches(partition, found, len(records))
    for part in batch.cut(2):
        for offset in part.offsets.tolist():
            written = [(name, value or b"") for name, value in records[offset][1]]
            assert headers_of(part, offset) == written
    assert headers_of(batch, len(records)) == []


def test_more_headers_than_a_message_should_have_are_left_out() -> None:
    builder = MemoryRecordsBuilder(2, 0, 1 << 20)
    builder.append(0, b"k", b"v", [("first", b"1"), ("long", b"x" * MOST_BYTES), ("last", b"2")])
    builder.close()
    partition = TopicPartition("t", 0)
    found = record_batches._PartitionRecords(0, partition, builder.records()).take(9)
    (batch,) = raw_batches(partition, found, 1)
    assert headers_of(batch, 0) == [("first", b"1")]


def test_headers_that_are_cut_off_end_there() -> None:
    """However many there are said to be."""
    builder = MemoryRecordsBuilder(2, 0, 1 << 20)
    builder.append(0, b"k", b"v", [("", b"")] * 100_000)
    builder.close()
    found = record_batches._PartitionRecords(0, TopicPartition("t", 0), builder.records()).take(9)
    (batch,) = raw_batches(TopicPartition("t", 0), found, 1)
    assert 0 < len(headers_of(batch, 0)) <= MOST_BYTES


def built(count: int) -> MemoryRecords:
    builder = MemoryRecordsBuilder(2, 0, 1 << 20)
    for n in range(count):
        key, value, headers = record(n)
        builder.append(1_700_000_000_000, key, value, headers)
    builder.close()
    return builder.records()


def damaged() -> Iterator[np.ndarray[Any, Any]]:
    """The bytes of ten records, each time with one of them changed, or cut."""
    batch = built(10).next_batch()
    data = np.frombuffer(bytes(batch._buffer[batch._pos :]), np.uint8)
    for at in range(len(data)):
        for bits in (0x80, 0x01, 0xFF):
            changed = data.copy()
            changed[at] ^= bits
            yield changed
        yield data[:at].copy()


def test_a_damaged_batch_is_never_read_beyond_its_end() -> None:
    """Checksums keep such a batch away; should one come, spans stay within the bytes."""
    for data in damaged():
        spans = np.zeros((20, 2), np.int64)
        read = index_records(data, 0, np.zeros(10, np.int64), np.zeros(10), spans[:10], spans[10:])
        if read:
            assert (spans[:, 0] + np.maximum(spans[:, 1], 0) <= len(data)).all()


def test_where_the_clients_inside_is_another_it_is_left_as_it_is(
    bootstrap_servers: str, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_batches, "_works", lambda: False)
    with closing(consumer_at(bootstrap_servers, written.topic, 0)) as consumer:
        assert not take_whole(consumer)
        assert consumer._fetcher.PartitionRecords is Fetcher.PartitionRecords
