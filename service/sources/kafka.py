"""Kafka as a source: a consumer group whose positions come from the state store."""

import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from service.errors import StateError, Unavailable
from service.kafka_options import client_options
from service.memory.store import Positions
from service.records import RawBatch
from service.telemetry.logging import log

QUIET_SECONDS = 3.0  # without records, before it is asked whether the brokers are there
CONNECT_SECONDS = 2.0
DEFAULT_PORT = "9092"
RECONNECT_MS = 2000  # at most between attempts: a broker that is back is found soon


class KafkaSource:
    """Reads topics in a consumer group.

    A partition is read from the position that the local memories are current to, whatever the
    group committed; without one, from the start of its retention: a memory is made of all events
    (or from its end, where the option `auto.offset.reset` says `latest`). Commits to the group are
    for those who watch its lag.
    """

    def __init__(
        self,
        bootstrap_servers: list[str],
        topics: list[str],
        group_id: str,
        options: dict[str, Any],
        max_batch_events: int,
    ) -> None:
        self._topics = topics
        self._config: dict[str, Any] = {
            "auto_offset_reset": "earliest",
            "reconnect_backoff_max_ms": RECONNECT_MS,
            **client_options(options, KafkaConsumer.DEFAULT_CONFIG),
            "bootstrap_servers": bootstrap_servers,
            "group_id": group_id,
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "max_poll_records": max_batch_events,
        }
        self._consumer: Any = None
        self._positions: Positions = {}
        self._next_check = 0.0
        self._broken: StateError | None = None
        self._checkpoint: Callable[[], None] = lambda: None

    def start(self, positions: Positions, checkpoint: Callable[[], None]) -> None:
        self._positions = positions
        self._checkpoint = checkpoint

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        try:
            records = self._connected().poll(timeout_ms=int(timeout_seconds * 1000))
        except KafkaError as error:
            raise Unavailable(f"kafka: {error!r}; is the broker up, and may we read?") from error
        if self._broken is not None:
            raise self._broken
        self._check_alive(bool(records))
        return [_batch(partition, part) for partition, part in records.items() if part]

    def wake(self) -> None:
        """Nothing to end: a poll is short."""

    def commit(self, positions: Positions) -> None:
        """Tell the group; only a note for its lag, so a failure is logged and no more."""
        ours = {TopicPartition(*partition) for partition in positions}
        assigned = self._consumer.assignment() & ours if self._consumer else set()
        if not assigned:
            return
        offsets = {
            partition: OffsetAndMetadata(positions[(partition.topic, partition.partition)], "", -1)
            for partition in assigned
        }
        try:
            self._consumer.commit(offsets)
        except KafkaError as error:
            log.warning("group commit failed; the checkpoint stands", error=repr(error))

    def lag(self) -> int:
        if self._consumer is None:
            return 0
        total = 0
        for partition in self._consumer.assignment():
            end = self._consumer.highwater(partition)
            position = self._positions.get((partition.topic, partition.partition))
            if end is not None and position is not None:
                total += max(0, end - position)
        return total

    @property
    def finished(self) -> bool:
        return False

    def close(self) -> None:
        self._checkpoint = lambda: None  # closing revokes: too late to save, the sinks may be gone
        if self._consumer is not None:
            self._consumer.close()

    def _connected(self) -> Any:
        if self._consumer is None:
            consumer = KafkaConsumer(**self._config)
            consumer.subscribe(self._topics, listener=_Rebalance(self))
            self._consumer = consumer
        return self._consumer

    def _check_alive(self, heard: bool) -> None:
        """Raise Unavailable where no broker takes a connection: `poll` is silent then."""
        now = time.monotonic()
        if heard:
            self._next_check = now + QUIET_SECONDS
        if now < self._next_check:
            return
        if not any(_answers(server) for server in self._config["bootstrap_servers"]):
            servers = ", ".join(self._config["bootstrap_servers"])
            raise Unavailable(f"kafka: none of {servers} takes a connection; is the broker up?")
        self._next_check = now + QUIET_SECONDS

    def assigned(self, partitions: list[TopicPartition]) -> None:
        """Go to where the memories are; called by the client within `poll`."""
        first = self._consumer.beginning_offsets(partitions)
        end = self._consumer.end_offsets(partitions)
        for partition in partitions:
            position = self._positions.get((partition.topic, partition.partition))
            if position is not None and position > end[partition]:
                self._broken = StateError(
                    f"{partition.topic}-{partition.partition} ends at {end[partition]}, the "
                    f"memories are current to {position}: the topic was made again; "
                    "start with another data_dir"
                )
            if position is not None and position < first[partition]:
                log.warning(
                    "records were deleted before they were read",
                    topic=partition.topic,
                    partition=partition.partition,
                    skipped=first[partition] - position,
                )
            if position is not None:
                self._consumer.seek(partition, position)
            elif self._config["auto_offset_reset"] == "latest":
                self._consumer.seek_to_end(partition)
            else:
                self._consumer.seek_to_beginning(partition)
            log.info(
                "partition assigned",
                topic=partition.topic,
                partition=partition.partition,
                position="none stored" if position is None else position,
            )

    def revoked(self, partitions: list[TopicPartition]) -> None:
        """Save before the partitions go; called by the client within `poll`."""
        if not partitions:
            return
        try:
            self._checkpoint()
        except Unavailable as error:
            log.warning("no checkpoint before partitions went", error=str(error))


def _answers(server: str) -> bool:
    host, _, port = server.rpartition(":") if ":" in server else (server, "", DEFAULT_PORT)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS):
            return True
    except (OSError, ValueError):
        return False


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        self._source.assigned(assigned)

    def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        self._source.revoked(revoked)


def _batch(partition: TopicPartition, records: list[Any]) -> RawBatch:
    return RawBatch(
        partition=(partition.topic, partition.partition),
        offsets=np.array([record.offset for record in records], np.int64),
        timestamps=np.array([record.timestamp or -1 for record in records]) / 1000.0,
        keys=[record.key for record in records],
        values=[record.value for record in records],
    )
