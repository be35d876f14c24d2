"""Kafka's record batches taken whole: columns of records, not an object for each.

kafka-python reads a fetched batch record by record, in Python. Here the batch's bytes are indexed
by a compiled scan, and all of it travels through kafka-python as the value of one record. What
belongs to a batch as a whole is still its own work: checksums, compression, transactions, control
batches, positions, pauses. Where its inside is not as expected, `take_whole` leaves it as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from model.compiled import compiled
from service.records import F64, I64, Bytes, RawBatch, read_only
from service.telemetry.logging import log

BATCHES_AT_ONCE = 64  # of a poll


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The records of one batch, n of them, as RawBatch has them."""

    offsets: I64
    timestamps: F64
    data: Bytes
    keys: I64
    values: I64
    headers: bool

    def __len__(self) -> int:
        return len(self.offsets)

    def behind(self, offset: int) -> "Columns":
        """Those at `offset` and above."""
        first = int(np.searchsorted(self.offsets, offset))
        return Columns(
            self.offsets[first:],
            self.timestamps[first:],
            self.data,
            self.keys[first:],
            self.values[first:],
            self.headers,
        )


class WholeBatch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch that gives all its records at once, as one whose value is Columns."""

    fetch_offset = 0
    key = headers = checksum = None

    def __iter__(self) -> Iterator["WholeBatch"]:
        self._maybe_uncompress()
        columns = self._columns()
        self.value = columns.behind(self.fetch_offset)
        if len(self.value):
            self.offset = int(columns.offsets[-1])
            self.timestamp = self.max_timestamp
            yield self

    def validate_crc(self) -> bool:
        """Of the batch; once it is unpacked nothing is left to check."""
        return bool(self._decompressed or super().validate_crc())

    def _columns(self) -> Columns:
        n = self.records_count
        columns = Columns(
            offsets=np.empty(n, np.int64),
            timestamps=np.empty(n),
            data=read_only(self._buffer),
            keys=np.empty((n, 2), np.int64),
            values=np.empty((n, 2), np.int64),
            headers=True,
        )
        whole = index_records(
            columns.data, self._pos, columns.offsets, columns.timestamps, columns.keys,
            columns.values,
        )  # fmt: skip
        if not whole:
            raise CorruptRecordError(
                f"a batch of {n} records from offset {self.base_offset} cannot be read"
            )
        columns.offsets[:] += self.base_offset
        columns.timestamps[:] += self.first_timestamp
        if self.timestamp_type == self.LOG_APPEND_TIME:
            columns.timestamps[:] = self.max_timestamp
        columns.timestamps[:] /= 1000.0
        return columns


class _WholeBatches:
    """MemoryRecords whose batches are whole ones."""

    def __init__(self, records: MemoryRecords, fetch_offset: int) -> None:
        self._records = records
        self._fetch_offset = fetch_offset

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        if isinstance(batch, DefaultRecordBatch):
            batch = WholeBatch(batch._buffer)
            batch.fetch_offset = self._fetch_offset
        return batch


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    def _unpack_records(self, tp: TopicPartition, records: MemoryRecords, *others: Any) -> Any:
        return super()._unpack_records(tp, _WholeBatches(records, self.fetch_offset), *others)

    def take(self, n: int | None = None) -> list[Any]:
        """Where a batch cannot be unpacked, the rest goes, to be fetched again: the client would
        ask what is left for more, in vain and for ever."""
        try:
            taken: list[Any] = super().take(n)
        except Exception:
            self.drain()
            raise
        return taken


def take_whole(consumer: Any) -> bool:
    """Let a KafkaConsumer hand out whole batches; False, and nothing changed, where that does not
    work with this version of it."""
    try:
        fetcher = consumer._fetcher
        if fetcher.PartitionRecords is not Fetcher.PartitionRecords or not _works():
            raise ValueError("a batch is read wrong")
    except Exception as error:  # noqa: BLE001 - whatever it is, poll() works
        log.warning("record batches are read record by record", error=repr(error))
        return False
    fetcher.PartitionRecords = _PartitionRecords
    return True


def _works() -> bool:
    """Whether a batch made by kafka-python is read as it was written."""
    given = [(b"k", b"value", []), (None, b"", [("h", b"1")]), (b"", None, [])]
    builder = MemoryRecordsBuilder(2, 0, 1 << 20, offset=7)
    for n, (key, value, headers) in enumerate(given):
        builder.append(1_700_000_000_000 + n, key, value, headers)
    builder.close()
    partition = TopicPartition("self-test", 0)
    records = _PartitionRecords(0, partition, builder.records()).take(BATCHES_AT_ONCE)
    (batch,) = raw_batches(partition, records, len(given))
    found = [(batch.key(i), batch.value(i)) for i in range(len(batch))]
    return (
        found == [(key, value) for key, value, _ in given]
        and batch.offsets.tolist() == [7, 8, 9]
        and batch.timestamps.tolist() == [1.7e9, 1.7e9 + 0.001, 1.7e9 + 0.002]
    )


def raw_batches(partition: TopicPartition, records: Sequence[Any], most: int) -> Iterator[RawBatch]:
    """What a poll gave of one partition, in batches of up to `most` records."""
    some: list[Columns] = []
    for columns in map(_columns_of, records):
        if some and sum(map(len, some)) + len(columns) > most:
            yield from _joined(partition, some).cut(most)
            some = []
        some.append(columns)
    if some:
        yield from _joined(partition, some).cut(most)


def _columns_of(record: Any) -> Columns:
    """Of a record that is a whole batch, or of one that is a record."""
    if isinstance(record.value, Columns):
        return record.value
    raw = RawBatch.of(
        ("", 0),
        np.array([record.offset]),
        np.array([record.timestamp / 1000.0]),
        [record.key],
        [record.value],
    )
    return Columns(raw.offsets, raw.timestamps, raw.data, raw.keys, raw.values, headers=False)


def _joined(partition: TopicPartition, parts: list[Columns]) -> RawBatch:
    starts = np.cumsum([0, *(len(part.data) for part in parts[:-1])])
    shifts = [np.array([start, 0]) for start in starts]
    return RawBatch(
        partition=(partition.topic, partition.partition),
        offsets=np.concatenate([part.offsets for part in parts]),
        timestamps=np.concatenate([part.timestamps for part in parts]),
        data=read_only(np.concatenate([part.data for part in parts])),
        keys=np.concatenate([p.keys + shift for p, shift in zip(parts, shifts, strict=True)]),
        values=np.concatenate([p.values + shift for p, shift in zip(parts, shifts, strict=True)]),
        headers=all(part.headers for part in parts),
    )


@compiled
def index_records(
    data: Bytes, at: int, offsets: I64, timestamps: F64, keys: I64, values: I64
) -> bool:
    """Find the records of an unpacked batch; offsets and timestamps (milliseconds) are relative.

    False where they do not fill the bytes from `at` on exactly.
    """
    for i in range(len(offsets)):
        length, at = varint(data, at)
        end = at + length
        if length < 0 or end > len(data):
            return False
        since, at = varint(data, at + 1)  # behind the attributes
        timestamps[i] = since
        offsets[i], at = varint(data, at)
        for span in (keys[i], values[i]):
            size, at = varint(data, at)
            if size < -1 or at + max(size, 0) > end:
                return False
            span[0], span[1] = at, size
            at += max(size, 0)
        at = end  # behind the headers
    return at == len(data)


@compiled
def varint(data: Bytes, at: int) -> tuple[int, int]:
    """A zigzag number of seven bits a byte, and the place after it; far too large at the end."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < len(data) and shift < np.uint64(64):
        byte = np.uint64(data[at])
        value |= (byte & np.uint64(0x7F)) << shift
        shift += np.uint64(7)
        at += 1
        if byte < np.uint64(0x80):
            return int(np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1))), at
    return len(data) + 1, at
