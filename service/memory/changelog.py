"""The state store of a consumer group: memories in a compacted Kafka topic, with a partition for
each one of the input.

A checkpoint is one transaction: what changed, the positions that it is current to, and the group's
offsets. So whoever is given a partition finds its memories as the last owner left them, and an
owner that the group has left behind can write nothing. What a record is: see `entries`.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from service.errors import StateError, Unavailable
from service.kafka.hanging import end_hanging
from service.kafka.identity import made_again
from service.kafka.options import client_options
from service.kafka.rights import TOPIC, Right
from service.kafka.transactions import RECONNECT_MS, Message, Transactions
from service.kafka.trouble import Trouble
from service.memory.arena import Arena
from service.memory.entries import (
    HEAD,
    IDLE,
    PACK,
    Head,
    Keys,
    head_of,
    head_value,
    idle_value,
    pack_value,
)
from service.memory.kept import ALL, Kept, Left, file_idle, note_idle, note_other, note_pack, void
from service.memory.packs import Pack
from service.memory.store import (
    Checkpoint,
    Idle,
    Positions,
    Shape,
    memory_name,
    owner_of,
)
from service.records import Partition
from service.subscription import Subscription
from service.telemetry.logging import log

TOPIC_CONFIG = {
    "cleanup.policy": "compact",
    # The segment that is written to is not compacted: who restores reads it whole, and that is what
    # events wait for where few streams change often.
    "segment.bytes": str(16 * 2**20),
    "min.cleanable.dirty.ratio": "0.3",
}
LATEST = OffsetSpec.LATEST
READ_BYTES = 16 * 2**20  # of a partition at once
READ_RECORDS = 64
POLL_MS = 500
ANSWER_MS = 5000
CLOSE_MS = 1000
LOOK_SECONDS = 10.0  # of silence, after which transactions that are over are looked for
HANGING_SECONDS = 60.0  # that a transaction may take to end: twice what brokers need
TOGETHER = 10_000  # idle memories that are filed at once


class Changelog:
    """Memories in Kafka; `topic_of` is the topic of a detector's, `beside` are those that the same
    transactions write to. `owned`: nobody else writes memories that are read here. `left`: by
    name of memories, what a service before this one had.

    `make_topics` and `committed` belong to the thread that restores, what is saved to the
    pipeline's. What is `Kept` of a memory's name both use, one after the other. `leave` comes when
    the pipeline's has ended.
    """

    def __init__(
        self,
        bootstrap_servers: list[str],
        options: dict[str, Any],
        group: str,
        topic_of: Callable[[str], str],
        transactions: Transactions,
        folder: Path,
        beside: Sequence[str] = (),
        rights: Sequence[Right] = (),
        owned: bool = True,
        left: Mapping[str, Left] = MappingProxyType({}),
    ) -> None:
        self._trouble = Trouble(bootstrap_servers, options, rights)
        self._servers, self._options = bootstrap_servers, options
        self._beside = beside
        self._group = group
        self._topic_of = topic_of
        self._transactions = transactions
        self._folder = folder
        self._owned = owned
        self._reader: Any = None
        self._admin: Any = None
        self.going_on: Callable[[], bool] = lambda: True
        """Whether whoever reads goes on; asked now and then."""
        self.topic_id_of: Callable[[str], str | None] = lambda _: None
        """The id of a source, where it is known."""
        self._kept: dict[str, Kept] = {}
        self._partitions: dict[str, int] = {}  # of topics that are there
        self._left = dict(left)
        used = {one.kept.folder for one in left.values()}
        for old in set(folder.glob("*")) - used:
            shutil.rmtree(old, ignore_errors=True)

    def save(self, checkpoint: Checkpoint) -> None:
        self._transactions.commit(
            self._messages(checkpoint), checkpoint.positions, self._counted(checkpoint)
        )
        for memory, changed in checkpoint.changed.items():
            if len(changed.left) or len(changed.returned):
                only_idle = replace(changed, packs=(), dropped=(), replace_all=False)
                self._kept[memory].idle_store().save(Checkpoint({}, {ALL: only_idle}))

    def positions(self) -> Positions:
        """Those that the memories which were restored are current to; where detectors differ, as
        one that was away for a while does, the lowest: memories know what they have seen."""
        positions: Positions = {}
        for kept in list(self._kept.values()):
            if kept.position is not None:
                known = positions.get(kept.source, kept.position)
                positions[kept.source] = min(known, kept.position)
        return positions

    def shape(self, detector: str) -> Shape | None:
        return self._of(detector).shape

    def knows(self, detector: str) -> bool:
        kept = self._of(detector)
        return kept.position is not None or kept.shape is not None

    def others(self, detector: str) -> set[str]:
        kept, name = self._of(detector), owner_of(detector)[0]
        return {memory_name(name, fingerprint, kept.source) for fingerprint in kept.others}

    def drop(self, detector: str) -> None:
        """What nobody has in hand. Readers take the end of the position for that of all, so it goes
        first; the rest is too much for one transaction."""
        self.forget(detector)
        kept = self._new(detector)
        keys = {
            key: value is not None
            for key, value, _ in self._records(kept.place)
            if kept.keys.read(key)[0] == kept.keys.fingerprint
        }
        keys.pop(kept.keys.head, None)
        there = [key for key, some in keys.items() if some]
        self._transactions.open()
        for start in range(0, max(len(there), 1), TOGETHER):
            some = [kept.keys.head] * (start == 0) + there[start : start + TOGETHER]
            self._transactions.commit([_message(kept, key, None) for key in some], {}, lambda: None)

    def packs(self, detector: str) -> Iterator[tuple[Shape, Pack]]:
        """As they were written; where one was dropped since, it comes again, of no slots."""
        self.forget(detector)
        kept = self._kept[detector] = self._new(detector)
        idle: dict[str, Idle | None] = {}
        for key, value, where in self._records(kept.place):
            with _readable(key, where):
                fingerprint, kind, name = kept.keys.read(key)
                if fingerprint != kept.keys.fingerprint:
                    note_other(kept, fingerprint, kind, value)
                elif kind == HEAD and value is not None:
                    head = head_of(value)
                    kept.position, kept.topic_id = head.position, head.topic_id
                elif kind == HEAD:
                    yield from void(kept, idle)
                elif kind == IDLE:
                    note_idle(kept, idle, str(name), value)
                    if len(idle) == TOGETHER:
                        file_idle(kept, idle)
                elif kind == PACK:
                    yield from note_pack(kept, int(name), value)
        file_idle(kept, idle)
        self._topic_id(kept)

    def _topic_id(self, kept: Kept) -> str | None:
        """Of what is read into these memories; StateError where they are of another topic that had
        its name."""
        topic, number = kept.source
        present = self.topic_id_of(topic)
        if None not in (present, kept.topic_id) and present != kept.topic_id:
            raise made_again(
                f"{topic}-{number}", "has another id than the one that memories are of"
            )
        return present or kept.topic_id

    def idle_count(self, detector: str) -> int:
        idle = self._of(detector).idle
        return idle.idle_count(ALL) if idle else 0

    def idle(self, detector: str, streams: Sequence[str]) -> list[Idle]:
        idle = self._of(detector).idle
        return idle.idle(ALL, streams) if idle else []

    def idle_after(self, detector: str, after: str, prefix: str, limit: int) -> list[Idle]:
        idle = self._of(detector).idle
        return idle.idle_after(ALL, after, prefix, limit) if idle else []

    def leave(self, saved: Mapping[str, Arena]) -> dict[str, Left]:
        """What can be left of memories, all of which is saved, to who follows in this process."""
        ends = {} if self._transactions.busy else self._transactions.ends
        return {
            memory: Left(self._kept.pop(memory), ends[place], arena)
            for memory, arena in saved.items()
            if (place := self._kept[memory].place) in ends
        }

    def take_left(self, memory: str) -> Arena | None:
        """The rows that were left here, where nobody has written to their partition of the topic
        since: there is nothing else to read then."""
        if memory not in self._left:
            return None
        with self._telling():
            end = self._end_of(self._left[memory].kept.place)
        left = self._left.pop(memory)
        if end != left.end:
            left.kept.close()
            return None
        self._kept[memory] = left.kept
        self._transactions.ends[left.kept.place] = end
        self._topic_id(left.kept)
        return left.arena

    def let_go(self) -> None:
        """What was left and not taken is not wanted."""
        unwanted, self._left = self._left, {}
        for left in unwanted.values():
            left.kept.close()

    def forget(self, memory: str) -> None:
        """It belongs to somebody else now."""
        kept = self._kept.pop(memory, None)
        if kept is not None:
            kept.close()

    def close(self) -> None:
        self._transactions.close()
        for memory in list(self._kept):
            self.forget(memory)

    def committed(self, partition: Partition) -> int | None:
        """The group's offset, once no transaction is open that could still move it."""
        with self._telling():
            try:
                offset: int | None = self._read().committed(
                    TopicPartition(*partition), timeout_ms=ANSWER_MS
                )
            except KafkaTimeoutError:  # that may be why
                self._end_hanging()
                raise
        return offset

    def make_topics(self, partition: Partition, detectors: Iterable[str]) -> None:
        """See to it that each detector's topic is there, with a partition for this one."""
        topic, number = partition
        names = {self._topic_of(detector) for detector in detectors}
        wanted = [name for name in sorted(names) if self._partitions.get(name, 0) <= number]
        if not wanted:
            return
        with self._telling():
            admin = self._admin_client()
            sizes = _sizes(admin, [topic, *wanted])
            count = sizes[topic]
            if count <= number:  # nothing is made by what is not known
                raise UnknownTopicOrPartitionError(topic)
            for name in wanted:
                if not sizes[name]:
                    with self._telling(Right("CREATE", TOPIC, name, "make the memories' topic")):
                        _create(admin, name, count)
                elif sizes[name] < count:
                    with self._telling(Right("ALTER", TOPIC, name, f"have {count} partitions")):
                        admin.create_partitions({name: count})
                self._partitions[name] = max(count, sizes[name])

    def partitions(self, topics: Subscription) -> list[Partition]:
        """Those of the topics that are read."""
        with self._telling():
            reader = self._read()
            return [
                (topic, number)
                for topic in topics.among(reader.topics())
                for number in sorted(reader.partitions_for_topic(topic) or ())
            ]

    def stop_reading(self) -> None:
        """From the thread that restores: at its end, or to begin again with other clients, as one
        that lost its broker in the middle of a question may never come back to it."""
        if self._reader is not None:
            self._reader.close(timeout_ms=CLOSE_MS)
        if self._admin is not None:
            self._admin.close()
        self._reader = self._admin = None

    def _messages(self, checkpoint: Checkpoint) -> Iterator[Message]:
        """What a checkpoint writes: what is gone first, as numbers may come again."""
        for memory, changed in checkpoint.changed.items():
            kept = self._kept[memory]
            for number in kept.numbers if changed.replace_all else changed.dropped:
                yield _message(kept, kept.keys.pack(number), None)
            for stream in changed.returned:
                yield _message(kept, kept.keys.idle(stream), None)
            for stream, row in zip(changed.left, changed.left_rows, strict=True):
                features = changed.left_features or changed.shape.features
                value = idle_value(changed.shape, features, row.tobytes())
                yield _message(kept, kept.keys.idle(stream), value)
            for pack in changed.packs:
                yield _message(kept, kept.keys.pack(pack.number), pack_value(changed.shape, pack))
                kept.numbers.add(pack.number)
        for kept in list(self._kept.values()):
            position = checkpoint.positions.get(kept.source)
            if position is not None and position != kept.position:
                head = Head(position, self._topic_id(kept))
                yield _message(kept, kept.keys.head, head_value(head))

    def _counted(self, checkpoint: Checkpoint) -> Callable[[], None]:
        """What is known once it counts, of those that are kept now: one may be away by then."""
        kept_now = dict(self._kept)

        def counted() -> None:
            for memory, kept in kept_now.items():
                if kept.source in checkpoint.positions:
                    kept.position = checkpoint.positions[kept.source]
                    kept.topic_id = self._topic_id(kept)
                changed = checkpoint.changed.get(memory)
                if changed is not None:
                    kept.shape = changed.shape
                    kept.numbers.difference_update(changed.dropped)

        return counted

    def _of(self, memory: str) -> Kept:
        return self._kept.get(memory) or self._new(memory)

    def _new(self, memory: str) -> Kept:
        detector, fingerprint, (topic, number) = owner_of(memory)
        place = self._topic_of(detector), number
        keys = Keys(self._group, detector, topic, fingerprint)
        folder = self._folder / hashlib.sha256(memory.encode()).hexdigest()  # short enough
        return Kept(place, keys, (topic, number), folder)

    def _records(self, of: Partition) -> Iterator[tuple[bytes, bytes | None, str]]:
        """Key, value and place of what a partition of ours holds, as far as it counts already."""
        place = TopicPartition(*of)
        reader = self._read()
        with self._telling():
            reader.assign([place])
            (first,) = reader.beginning_offsets([place], timeout_ms=ANSWER_MS).values()
            reader.seek(place, first)
            # Behind a transaction that is open there may be what counts: its end is waited for.
            end = self._end_of(place)
        if first >= end:  # nothing: it would be waited for
            return
        moved, looked = time.monotonic(), False
        while self.going_on():
            with self._telling():
                found = reader.poll(timeout_ms=POLL_MS).get(place, ())
                position = reader.position(place, timeout_ms=ANSWER_MS)
                if not self._owned and position is not None and position >= end:
                    end = self._end_of(place)  # a checkpoint may have been half written there
            for record in found:
                if record.key is not None:
                    where = f"{place.topic}, partition {place.partition}, offset {record.offset}"
                    yield record.key, record.value, where
            if position is not None and position >= end:
                return
            if found:
                moved, looked = time.monotonic(), False
            elif time.monotonic() > moved + LOOK_SECONDS and not looked:
                looked = True
                self._end_hanging()
            elif time.monotonic() > moved + HANGING_SECONDS:
                raise Unavailable(
                    f"kafka: {place.topic}, partition {place.partition}, offset {position}: a "
                    "transaction without an end holds back what is behind it, and brokers end ours "
                    "in half a minute; `kafka-transactions.sh find-hanging` says whose it is, "
                    "`abort` ends it"
                )
        raise Unavailable("kafka: memories are not read to their end: nobody wants them")

    def _end_of(self, place: Partition) -> int:
        """Behind the last record, whether it counts already or not."""
        wanted = {TopicPartition(*place): LATEST}
        (end,) = self._admin_client().list_partition_offsets(wanted).values()
        return int(end.offset)

    def _end_hanging(self) -> None:
        """End what workers of the group left behind, if we may; see `service.kafka.hanging`."""
        topics = [*self._partitions, *self._beside]
        try:
            ended = end_hanging(self._admin_client(), f"{self._group}.", topics)
        except KafkaError as error:
            log.warning(
                "cannot end transactions that may hang; kafka-transactions.sh find-hanging can",
                error=repr(error),
            )
        else:
            if ended:
                log.warning("ended transactions that were over and hung", where=ended)

    @contextmanager
    def _telling(self, tried: Right | None = None) -> Iterator[None]:
        """Say of Kafka's errors what to do."""
        try:
            yield
        except KafkaError as error:
            raise self._trouble.of(error, self._reader, tried) from error

    def _admin_client(self) -> Any:
        if self._admin is None:
            options = client_options(self._options, KafkaAdminClient.DEFAULT_CONFIG)
            self._admin = KafkaAdminClient(**{**options, "bootstrap_servers": self._servers})
        return self._admin

    def _read(self) -> Any:
        if self._reader is None:
            with self._telling():
                self._reader = KafkaConsumer(
                    **{
                        "reconnect_backoff_max_ms": RECONNECT_MS,
                        **client_options(self._options, KafkaConsumer.DEFAULT_CONFIG),
                        "bootstrap_servers": self._servers,
                        "group_id": self._group,
                        "group_instance_id": None,
                        "enable_auto_commit": False,
                        "auto_offset_reset": "earliest",
                        "isolation_level": "read_committed",
                        "max_partition_fetch_bytes": READ_BYTES,
                        "max_poll_records": READ_RECORDS,
                    }
                )
        return self._reader


@contextmanager
def _readable(key: bytes, where: str) -> Iterator[None]:
    """Say of what cannot be read where it is, and what to do."""
    try:
        yield
    except (ValueError, StateError) as error:
        raise StateError(
            f"{where}: the memory {key.decode(errors='replace')} cannot be read: {error}. Run the "
            "version that wrote it, bring the topic back from a copy, or set kafka.memory_topic to "
            "another one, and memories are made anew from what Kafka retains"
        ) from error


def _message(kept: Kept, key: bytes, value: bytes | None) -> Message:
    topic, number = kept.place
    return Message(topic, key, value, partition=number)


def _sizes(admin: Any, topics: Sequence[str]) -> dict[str, int]:
    """How many partitions topics have, 0 where one is not there. Raises what is told of one."""
    sizes = {}
    for one in admin.describe_topics(topics):
        code = one["error_code"]
        if code not in (0, UnknownTopicOrPartitionError.errno):
            raise for_code(code)(one["name"])
        sizes[one["name"]] = len(one["partitions"])
    return sizes


def _create(admin: Any, name: str, partitions: int) -> None:
    try:
        admin.create_topics(
            {name: {"num_partitions": partitions, "configs": TOPIC_CONFIG}}, wait_for_metadata=True
        )
    except TopicAlreadyExistsError:
        """Another worker was faster."""
