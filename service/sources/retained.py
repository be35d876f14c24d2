"""Records that are retained, read once beside the service that consumes them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from service.errors import Unavailable
from service.kafka.options import client_options
from service.kafka.owners import partition_of
from service.kafka.rights import TOPIC, Right
from service.kafka.trouble import Trouble
from service.records import Partition, RawBatch
from service.sources.kafka import batch_of
from service.sources.log import PARTITION, SELECT, batch_of_rows
from service.subscription import Subscription

POLL_MS = 500
RECORDS = 4096
MOST_SILENT = 20  # polls


@dataclass(slots=True)
class Retained:
    """The records of a partition, as far as there are any now; those before `first_offset` are
    gone."""

    partition: Partition
    first_offset: int
    batches: Iterator[RawBatch]


@contextmanager
def of_log(file: Path) -> Iterator[Retained]:
    """Those of the embedded log; a service may be writing to it. Unavailable where it cannot be
    read."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")  # one moment for all of it, whatever is trimmed meanwhile
            first, end = connection.execute(
                "SELECT coalesce(min(offset), 0), coalesce(max(offset), -1) + 1 FROM log"
            ).fetchone()
            yield Retained(PARTITION, first, _of_log(connection, first, end))
    except sqlite3.Error as error:
        raise Unavailable(f"{file}: {error}; is it the database of a service?") from error


def _of_log(connection: sqlite3.Connection, start: int, end: int) -> Iterator[RawBatch]:
    while start < end:
        rows = connection.execute(SELECT, (start, RECORDS)).fetchall()
        start = rows[-1][0] + 1
        for name, part in groupby(rows, lambda row: row[1]):
            yield batch_of_rows(name, list(part))


class Topics:
    """What Kafka retains, outside of any group; Unavailable where no broker answers."""

    def __init__(self, bootstrap_servers: list[str], options: dict[str, Any]) -> None:
        self._servers, self._options = bootstrap_servers, options
        known = client_options(options, KafkaConsumer.DEFAULT_CONFIG)
        self._config = {
            **known,
            "bootstrap_servers": bootstrap_servers,
            "group_id": None,
            "group_instance_id": None,
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "auto_offset_reset": "earliest",  # where retention overtakes us, no more is skipped
            "max_poll_records": RECORDS,
        }

    def of(self, subscription: Subscription) -> list[str]:
        """Names of topics, and those that fit the patterns now."""
        if not subscription.patterns:
            return subscription.names
        try:
            with closing(KafkaConsumer(**self._config)) as consumer:
                return subscription.among(consumer.topics())
        except KafkaError as error:
            raise self._unavailable(subscription.told[0], error) from error

    def partitions(self, topic: str, key: bytes) -> list[Partition]:
        """Those of a topic, the one first to which Kafka's own partitioner sends a key; none where
        there is no such topic."""
        try:
            with closing(KafkaConsumer(**self._config)) as consumer:
                numbers = sorted(consumer.partitions_for_topic(topic) or ())
        except KafkaError as error:
            raise self._unavailable(topic, error) from error
        if not numbers:
            return []
        first = partition_of(key, len(numbers))
        return [(topic, number) for number in sorted(numbers, key=lambda number: number != first)]

    @contextmanager
    def records(self, partition: Partition) -> Iterator[Retained]:
        """The committed ones of a partition."""
        place = TopicPartition(*partition)
        try:
            with closing(KafkaConsumer(**self._config)) as consumer:
                consumer.assign([place])
                (first,) = consumer.beginning_offsets([place]).values()
                (end,) = consumer.end_offsets([place]).values()
                consumer.seek(place, first)
                retained = Retained(partition, first, iter(()))
                retained.batches = _of_topic(consumer, place, end, retained)
                yield retained
        except KafkaError as error:
            raise self._unavailable(partition[0], error) from error

    def _unavailable(self, topic: str, error: KafkaError) -> Unavailable:
        rights = [Right("READ", TOPIC, topic, "read events again")]
        return Trouble(self._servers, self._options, rights).of(error)


def _of_topic(
    consumer: Any, place: TopicPartition, end: int, retained: Retained
) -> Iterator[RawBatch]:
    silent = 0
    while consumer.position(place) < end:
        found = consumer.poll(timeout_ms=POLL_MS)
        silent = 0 if found else silent + 1
        if silent > MOST_SILENT:
            raise Unavailable("kafka: no records come; is the broker up, and may we read?")
        for records in found.values():
            yield batch_of(place, records)
    (first,) = consumer.beginning_offsets([place]).values()  # more may have gone meanwhile
    retained.first_offset = max(retained.first_offset, first)
