"""Kafka as a source: a consumer group whose positions come from the state store."""

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import (
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import ConsumerGroupMetadata

from service.errors import Unavailable
from service.kafka.assignor import Assignor
from service.kafka.identity import Identity, made_again
from service.kafka.meetings import Meetings
from service.kafka.options import client_options
from service.kafka.rights import Right
from service.kafka.trouble import Trouble, no_topic
from service.memory.store import Positions
from service.records import Partition, RawBatch
from service.sources.record_batches import BATCHES_AT_ONCE, raw_batches, take_whole
from service.subscription import Subscription
from service.telemetry.logging import log

QUIET_SECONDS = 3.0  # without records, before it is asked whether the brokers are there
ANSWER_SECONDS = 5.0
DEFAULT_PORT = "9092"
HEARTBEAT_MS = 500  # a meeting of the group takes as long; the client's own are 3 seconds
CLOSE_MS = 10_000  # to leave the group, at most, for a member that is not a static one
RECONNECT_MS = 2000  # at most between attempts: a broker that is back is found soon
METADATA_MS = 10_000  # what we hear of topics is no older; a topic that is made again is found soon


class Keeper(Protocol):
    """Who keeps the memories of the partitions that a source is given."""

    def take(self, partitions: Iterable[Partition]) -> None:
        """The source was given them, and reads them once their memories are there."""

    def arrived(self) -> Mapping[Partition, int | None]:
        """Partitions whose memories are there since the last call, and the positions that they are
        current to; None where there are none."""

    def begin(self, partition: Partition, position: int) -> None:
        """The source reads it from here on."""

    def give(self, partitions: Iterable[Partition]) -> None:
        """Save them: they go to somebody else. Unavailable where that cannot be done now; they go
        all the same."""

    def forget(self, partitions: Iterable[Partition]) -> None:
        """They are somebody else's already."""


class KafkaSource:
    """Reads topics in a consumer group.

    A partition is read once the `keeper` has its memories, from the position that they are current
    to, whatever the group's offset says; without one, from the start of its retention: a memory is
    made of all events (or from its end, where the option `auto.offset.reset` says `latest`).

    The client calls `assigned`, `revoked` and `lost` in its own thread, while `poll` waits for it.
    Nothing may ask it for anything there; so partitions come paused. What goes wrong there is
    raised by that poll.

    What we hold was given to the member that we were then. The group may have left that one behind
    (its process was stopped for too long) and the client may have joined again as another without
    a word; so who we are is looked at, and as another we hold nothing.

    A static member that comes back is let in without a meeting. Its topics may be others by now,
    and if it led the group, nobody looks for partitions that are added; so who has just come, and
    does not lead, has the group meet.

    `unread` is told how many records were deleted before they were read.
    """

    keeper: Keeper

    def __init__(
        self,
        bootstrap_servers: list[str],
        topics: Subscription,
        group_id: str,
        options: dict[str, Any],
        max_batch_events: int,
        rights: Sequence[Right] = (),
        unread: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._trouble = Trouble(bootstrap_servers, options, rights)
        ours = client_options(options, KafkaConsumer.DEFAULT_CONFIG)
        self._from_end = ours.pop("auto_offset_reset", "earliest") == "latest"
        self._topics = topics
        self._config: dict[str, Any] = {
            "reconnect_backoff_max_ms": RECONNECT_MS,
            "heartbeat_interval_ms": HEARTBEAT_MS,
            # Of a pattern it is about every topic that there is, and may be much.
            **({} if topics.expression else {"metadata_max_age_ms": METADATA_MS}),
            **ours,
            "bootstrap_servers": bootstrap_servers,
            "group_id": group_id,
            "auto_offset_reset": "none",  # where retention overtakes us, we see to it, and say so
            "enable_auto_commit": False,
            "partition_assignment_strategy": [Assignor(self._member_id)],
            "isolation_level": "read_committed",
        }
        self._max_batch_events = max_batch_events
        self._unread = unread
        self._whole = False
        self._consumer: Any = None
        self._meetings: Meetings
        self._unplaced: set[TopicPartition] = set()
        self._arrived: dict[Partition, int | None] = {}  # of the unplaced; with their positions
        self._next_check = self._next_look = 0.0
        self.missing_topics: Sequence[str] = []
        self._raised: KafkaError | None = None  # by a poll whose records came first
        self._failed: BaseException | None = None  # by what the client called
        self._ours: set[TopicPartition] = set()
        self._held_by = ""  # the member that they were given to
        self._identity = Identity()
        self._closing = False

    def start(self, positions: Positions) -> None:  # noqa: ARG002 - the keeper says where, and when
        """Again: have the keeper take the memories of all partitions once more."""
        if self._consumer is not None:
            self._take_all()

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        try:
            consumer = self._connected()
            self._place()
            try:
                records = self._records(consumer, timeout_seconds)
            except (OffsetOutOfRangeError, LogTruncationError) as error:
                self._go_on(error)
                records = {}
            self._check_alive(bool(records))
        except KafkaError as error:
            raise self._trouble.of(error, self._consumer) from error
        self._identity.look(consumer._cluster)
        return self._identity.follow(self._batches(records))

    def _batches(self, records: dict[TopicPartition, list[Any]]) -> list[RawBatch]:
        if not self._whole:
            return [
                batch_of(partition, part[first : first + self._max_batch_events])
                for partition, part in records.items()
                for first in range(0, len(part), self._max_batch_events)
            ]
        return [
            batch
            for partition, part in records.items()
            for batch in raw_batches(partition, part, self._max_batch_events)
        ]

    def _records(self, consumer: Any, timeout_seconds: float) -> dict[TopicPartition, list[Any]]:
        """What there is, at most twice as much as one poll may give.

        A poll that had to wait has not asked the broker for what comes next; one that need not
        does, so that it travels while these records are scored.
        """
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        most = BATCHES_AT_ONCE if self._whole else self._max_batch_events
        records: dict[TopicPartition, list[Any]]
        records = consumer.poll(timeout_ms=int(timeout_seconds * 1000), max_records=most)
        self._check_ourselves()
        if not records:
            return records
        try:
            for partition, more in consumer.poll(timeout_ms=0, max_records=most).items():
                records.setdefault(partition, []).extend(more)
        except KafkaError as error:
            self._raised = error  # the client is past these records: they must not go with it
        self._check_ourselves()
        # The second poll may have given partitions away, and taken them back.
        ours = consumer.assignment() - self._unplaced
        return {partition: part for partition, part in records.items() if partition in ours}

    def wake(self) -> None:
        """Nothing to end: a poll is short."""

    def commit(self, positions: Positions) -> None:
        """The group's offsets are saved with the memories."""

    @property
    def waiting_for(self) -> str | None:
        if not self._in_group():
            return "the consumer group to meet"
        return "partitions whose memories are not here" if self._unplaced else None

    def member(self) -> Any:
        """Our place in the group: none, where what we hold was given to another member than we are
        by now."""
        member = self._consumer.group_metadata()
        held = not self._ours or member.member_id == self._held_by
        return member if held else ConsumerGroupMetadata(member.group_id)

    def _in_group(self) -> bool:
        return bool(self._member_id())

    def _member_id(self) -> str:
        """Who we are in the group; nobody where we are in none."""
        member = None if self._consumer is None else self._consumer.group_metadata()
        return "" if member is None or member.generation_id < 0 else str(member.member_id)

    def lag(self) -> int:
        """Records behind the ends of our partitions; markers of transactions are not counted.

        As far as it is known here: the client's own `position` asks the brokers where a partition
        has a new leader, waits for them, and fails with them.
        """
        if self._consumer is None:
            return 0
        total = 0
        for partition in self._consumer.assignment() - self._unplaced:
            end = self._consumer.highwater(partition)
            place = self._consumer._subscription.assignment[partition].position
            if end is not None and place is not None:
                total += max(0, end - place.offset)
        return total

    def topic_id(self, topic: str) -> str | None:
        """Of what is read by that name; from any thread."""
        return None if self._consumer is None else self._identity.of(self._consumer._cluster, topic)

    @property
    def finished(self) -> bool:
        return False

    def close(self) -> None:
        self._closing = True  # closing revokes: too late to save, the sinks may be gone
        if self._consumer is not None:
            self._meetings.close()
            self._consumer.close(timeout_ms=CLOSE_MS)

    def assigned(self, partitions: set[TopicPartition]) -> None:
        """Hold them until their memories are here."""
        if not self._joined_again():
            self._ours |= partitions
            self._hold(partitions)
            self.keeper.take(map(_named, partitions))

    def revoked(self, partitions: set[TopicPartition]) -> None:
        """Save before the partitions go."""
        if self._closing or self._joined_again():
            return
        self._let_go(partitions)
        # Brokers take no offset of a topic that was deleted, and the client would ask for ever.
        gone = {partition for partition in partitions if not self._is_there(partition)}
        self.keeper.forget(map(_named, gone))
        try:
            self.keeper.give(map(_named, partitions - gone))
        except Unavailable as error:
            log.warning("no checkpoint before partitions went", error=str(error))

    def lost(self, partitions: set[TopicPartition]) -> None:
        """The group went on without us: nothing of ours counts any longer."""
        self._let_go(partitions)
        self.keeper.forget(map(_named, partitions))

    def failed(self, error: BaseException) -> None:
        """What the client called went wrong: the poll that waits for it is to raise it."""
        self._failed = self._failed or error

    def _check_ourselves(self) -> None:
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        if not self._meetings.meeting:  # in the middle of one nothing is settled
            self._joined_again()

    def _joined_again(self) -> bool:
        """Whether we are another member than what we hold was given to: then it is forgotten, and
        what the group has given to the one that we are is taken."""
        member = self._member_id()
        if not member or member == self._held_by:
            return False
        if not self._held_by:
            self._meetings.ask_as_follower()
        self._held_by = member
        if not self._ours:
            return False
        log.warning("the group had left us behind; what we held is forgotten")
        self._take_all()
        return True

    def _take_all(self) -> None:
        self.keeper.forget([*map(_named, self._ours)])
        self._let_go(set(self._ours))
        self._ours = set(self._consumer.assignment())
        self._hold(self._ours)
        self.keeper.take(map(_named, self._ours))

    def _let_go(self, partitions: set[TopicPartition]) -> None:
        self._ours -= partitions
        self._unplaced -= partitions
        for partition in partitions:
            self._arrived.pop(_named(partition), None)

    def _hold(self, partitions: set[TopicPartition]) -> None:
        self._consumer.pause(*partitions)
        for partition in partitions:
            self._consumer.seek(partition, 0)  # for one that has none the client asks, and waits
            self._arrived.pop(_named(partition), None)
        self._unplaced |= partitions

    def _connected(self) -> Any:
        if self._consumer is None:
            consumer = KafkaConsumer(**self._config)
            pattern, listener = self._topics.expression, _Rebalance(self)
            names = () if pattern else self._topics.names
            consumer.subscribe(names, pattern=pattern, listener=listener)
            # Learn the partitions before the group meets: else it meets twice at once, and the
            # client can lose the second meeting until its session times out.
            consumer.topics()
            self._whole = take_whole(consumer)
            self._meetings = Meetings(consumer)
            self._consumer = consumer
        return self._consumer

    def _place(self) -> None:
        """Go to where the memories are, of partitions whose memories have come."""
        if not self._unplaced:
            return
        self._arrived.update(self.keeper.arrived())
        for name, known in list(self._arrived.items()):
            partition = TopicPartition(*name)
            try:
                position = self._seek(partition, known)
            except KafkaError:
                if self._is_there(partition):
                    raise
                continue  # its topic was deleted: the group takes it away, others need not wait
            self.topic_id(partition.topic)  # from now on it must be that one
            self._consumer.resume(partition)
            self._unplaced.discard(partition)
            del self._arrived[name]
            self.keeper.begin(name, position)
            log.info("partition assigned", topic=name[0], partition=name[1], position=position)

    def _seek(self, partition: TopicPartition, known: int | None) -> int:
        """Go to a position, or to what is retained behind it; to the start, or the end, where none
        is known."""
        (first,) = _asked(self._consumer.beginning_offsets, [partition])
        (end,) = _asked(self._consumer.end_offsets, [partition])
        unknown = end if self._from_end else first
        wanted = unknown if known is None else known
        if wanted > end:
            where = f"{partition.topic}-{partition.partition}"
            raise made_again(where, f"ends at {end}, the memories are current to {wanted}")
        if wanted < first:
            self._say_unread(partition, first - wanted)
        position = max(wanted, first)
        self._consumer.seek(partition, position)
        self._identity.begin(_named(partition), position)
        return position

    def _say_unread(self, partition: TopicPartition, records: int) -> None:
        log.warning(
            "records were deleted before they were read",
            topic=partition.topic,
            partition=partition.partition,
            skipped=records,
        )
        self._unread(records)

    def _go_on(self, error: OffsetOutOfRangeError | LogTruncationError) -> None:
        """Where a position is one that the broker does not have."""
        if isinstance(error, LogTruncationError):
            where = ", ".join(f"{one.topic}-{one.partition}" for one in error.divergent_offsets)
            raise made_again(where, "has not all that was read of it")
        (positions,) = error.args
        for partition, position in positions.items():
            if partition in self._consumer.assignment() - self._unplaced:
                self._seek(partition, position)

    def _is_there(self, partition: TopicPartition) -> bool:
        """As last heard; to ask for offsets in vain is to hear it anew."""
        numbers = self._consumer._cluster.partitions_for_topic(partition.topic)
        return partition.partition in (numbers or ())

    def _check_alive(self, heard: bool) -> None:
        """Raise where no broker answers, or no topic is there: `poll` is silent then."""
        now = time.monotonic()
        if now >= self._next_look:
            self._look_for_topics()
            self._next_look = now + QUIET_SECONDS
        if heard:
            self._next_check = now + QUIET_SECONDS
        if now < self._next_check:
            return
        assigned = sorted(self._consumer.assignment())
        if assigned:
            try:
                _asked(self._consumer.end_offsets, assigned)
            except UnknownTopicOrPartitionError:  # an answer; of others there may be more to come
                if not any(map(self._is_there, assigned)):
                    raise
        elif not any(_answers(server) for server in self._config["bootstrap_servers"]):
            servers = ", ".join(self._config["bootstrap_servers"])
            raise Unavailable(f"kafka: none of {servers} takes a connection; is the broker up?")
        elif len(self.missing_topics) == len(self._topics.told):
            raise Unavailable(f"kafka: {no_topic(self.missing_topics)}")
        self._next_check = now + QUIET_SECONDS

    def _look_for_topics(self) -> None:
        """Note which are not there; they are read once they are."""
        there = self._consumer._cluster.topics(exclude_internal_topics=False)  # as last heard
        missing = self._topics.missing(there)
        if missing and missing != self.missing_topics:
            log.warning("topics are not there", error=no_topic(missing))
        self.missing_topics = missing


def _asked(ask: Callable[..., dict[TopicPartition, int]], of: list[TopicPartition]) -> list[int]:
    """Offsets of partitions; of one that is deleted meanwhile the client has a KeyError."""
    try:
        return list(ask(of, timeout_ms=int(ANSWER_SECONDS * 1000)).values())
    except KeyError as error:
        raise UnknownTopicOrPartitionError({place.topic for place in error.args}) from error


def _named(partition: TopicPartition) -> Partition:
    return partition.topic, partition.partition


def _answers(server: str) -> bool:
    host, _, port = server.rpartition(":") if ":" in server else (server, "", DEFAULT_PORT)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False


class _Rebalance(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._call(self._source.assigned, assigned)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._call(self._source.revoked, revoked)

    async def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        self._call(self._source.lost, lost)

    def _call(
        self, called: Callable[[set[TopicPartition]], None], partitions: set[TopicPartition]
    ) -> None:
        """The client would take what is raised here for an error of its own."""
        try:
            called(set(partitions))
        except BaseException as error:  # noqa: BLE001 - it belongs to the pipeline's thread
            self._source.failed(error)


def batch_of(partition: TopicPartition, records: list[Any]) -> RawBatch:
    """Of records as the client has them."""
    return RawBatch.of(
        partition=(partition.topic, partition.partition),
        offsets=np.array([record.offset for record in records], np.int64),
        timestamps=np.array([record.timestamp or -1 for record in records]) / 1000.0,
        keys=[record.key for record in records],
        values=[record.value for record in records],
    )
