"""Kafka as a sink: anomalies and episodes keyed by stream, dead letters with their context."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from kafka.errors import MessageSizeTooLargeError

from service.errors import Unavailable
from service.kafka.headers import headers_of
from service.kafka.transactions import Header, Message, Transactions
from service.records import DeadLetter, Delivery, Partition, event_id

MAX_KEY_BYTES, MAX_VALUE_BYTES = 1024, 512 * 1024  # of a dead letter; a longer one is cut


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is not written yet, and whose record it is about."""

    partition: Partition
    message: Message


class KafkaSink:
    """Writes to three topics, in transactions with the offsets that they are about.

    Each message has the headers of the record that it is about (a trace's context, say) and ours.
    So each message is there once for those who read what is committed: what the group's offset says
    was told already is not told again when records are read again.
    """

    def __init__(
        self,
        transactions: Transactions,
        anomalies_topic: str,
        episodes_topic: str,
        dead_letters_topic: str,
    ) -> None:
        self._transactions = transactions
        self._anomalies_topic = anomalies_topic
        self._episodes_topic = episodes_topic
        self._dead_letters_topic = dead_letters_topic
        self._waiting: list[Waiting] = []
        self._read: dict[Partition, int] = {}  # the next offset

    def forget(self, partition: Partition) -> None:
        """The partition is somebody else's, who will tell what was not."""
        self._read.pop(partition, None)
        self._waiting = [one for one in self._waiting if one.partition != partition]

    def deliver(self, delivery: Delivery) -> None:
        partition = delivery.raw.partition
        self._read[partition] = delivery.raw.next_offset
        told = self._transactions.offset(partition)
        raw = delivery.raw
        messages = [
            _keyed(topic, one, headers_of(raw, one["offset"]))
            for topic, some in (
                (self._anomalies_topic, delivery.anomalies),
                (self._episodes_topic, delivery.episodes),
            )
            for one in some
            if one["offset"] >= told
        ]
        messages += [
            self._of_dead_letter(one, headers_of(raw, one.offset))
            for one in delivery.dead_letters
            if one.offset >= told
        ]
        self._waiting += [Waiting(partition, message) for message in messages]

    def flush(self, wait: bool = True) -> None:
        if not wait and self._transactions.busy:
            return
        try:
            self._transactions.settle()  # it may be of these
            if self._waiting:
                self._commit(wait)
        except Unavailable as error:
            if isinstance(error.__cause__, MessageSizeTooLargeError):
                self._shrink()
            raise

    def close(self) -> None:
        """What waits is told again after the next start."""

    def _commit(self, wait: bool) -> None:
        written = list(self._waiting)
        messages = [one.message for one in written]
        self._transactions.commit(messages, self._read, lambda: self._written(written), wait)

    def _written(self, written: list[Waiting]) -> None:
        done = set(map(id, written))
        self._waiting = [one for one in self._waiting if id(one) not in done]

    def _shrink(self) -> None:
        """Leave the context of rejected records alone, for a broker that takes less."""
        self._waiting = [
            Waiting(one.partition, replace(one.message, key=None, value=b""))
            if one.message.topic == self._dead_letters_topic
            else one
            for one in self._waiting
        ]

    def _of_dead_letter(self, letter: DeadLetter, carried: Iterable[Header]) -> Message:
        """Cut where it is long; a record of nothing at all becomes an empty value."""
        key = None if letter.key is None else letter.key[:MAX_KEY_BYTES]
        value = None if letter.value is None else letter.value[:MAX_VALUE_BYTES]
        empty = b"" if key is None else None
        topic = self._dead_letters_topic
        return Message(
            topic, key, empty if value is None else value, _with(carried, context_of(letter))
        )


def _keyed(topic: str, one: Mapping[str, Any], carried: Iterable[Header]) -> Message:
    """An anomaly, or a change of an episode, under the name of the event that it came with."""
    name = event_id(one["detector"], (one["topic"], one["partition"]), one["offset"])
    body, ours = msgspec.json.encode(one), (("wakeful.id", name.encode()),)
    return Message(topic, one["stream"].encode(), body, _with(carried, ours))


def _with(carried: Iterable[Header], ours: tuple[Header, ...]) -> tuple[Header, ...]:
    """A name that is ours is not carried: a dead letter that is sent again may have it."""
    names = {name for name, _ in ours}
    return (*(one for one in carried if one[0] not in names), *ours)


def context_of(letter: DeadLetter) -> tuple[Header, ...]:
    """The context of a rejected record, in Kafka Connect's words where it has one."""
    topic, partition = letter.partition
    context = {
        "__connect.errors.topic": topic,
        "__connect.errors.partition": str(partition),
        "__connect.errors.offset": str(letter.offset),
        "__connect.errors.exception.message": f"{letter.reason}: {letter.detail}",
        "wakeful.id": letter.id,
        "wakeful.key_bytes": str(len(letter.key or b"")),
        "wakeful.value_bytes": str(len(letter.value or b"")),
        "wakeful.detector": letter.detector,
        "wakeful.reason": letter.reason,
    }
    return tuple((name, text.encode()) for name, text in context.items())
