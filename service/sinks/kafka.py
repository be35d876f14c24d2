"""Kafka as a sink: anomalies keyed by stream, and dead letters with their context as headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from service.errors import Unavailable
from service.kafka_options import client_options
from service.records import DeadLetter, Delivery

FLUSH_SECONDS = 30.0
BLOCK_MS = 5000  # for which sending waits for the broker or a topic
RECONNECT_MS = 2000
MAX_UNACKNOWLEDGED = 10_000  # messages; beyond it the pipeline waits for the broker
MAX_KEY_BYTES, MAX_VALUE_BYTES = 1024, 512 * 1024  # of a dead letter; a longer one is cut

Header = tuple[str, bytes]


@dataclass(slots=True)
class Message:
    """A message until the broker has acknowledged it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    sent: Any = None

    @property
    def acknowledged(self) -> bool:
        return self.sent is not None and bool(self.sent.succeeded())

    @property
    def too_large(self) -> bool:
        """Whether the broker refused it for its size."""
        return self.sent is not None and isinstance(self.sent.exception, MessageSizeTooLargeError)

    def shrink(self) -> None:
        """Leave the context alone, for a broker that takes less than we cut to."""
        self.key, self.value = None, b""


class KafkaSink:
    """Writes to two topics; what is not acknowledged at `flush` is sent again at the next.

    A restart may write a message twice, under the same id; none is left out.
    """

    def __init__(
        self,
        bootstrap_servers: list[str],
        anomalies_topic: str,
        dead_letters_topic: str,
        options: dict[str, Any],
    ) -> None:
        self._anomalies_topic = anomalies_topic
        self._dead_letters_topic = dead_letters_topic
        self._config = {
            "acks": "all",
            "linger_ms": 5,
            "max_block_ms": BLOCK_MS,
            "reconnect_backoff_max_ms": RECONNECT_MS,
            **client_options(options, KafkaProducer.DEFAULT_CONFIG),
            "bootstrap_servers": bootstrap_servers,
        }
        self._producer: Any = None
        self._unacknowledged: list[Message] = []
        self._refused = "not sent"

    def deliver(self, delivery: Delivery) -> None:
        messages = [self._of_anomaly(anomaly) for anomaly in delivery.anomalies]
        messages += [self._of_dead_letter(letter) for letter in delivery.dead_letters]
        if len(self._unacknowledged) > MAX_UNACKNOWLEDGED:
            self.flush()  # where the broker is away, the pipeline waits here
        self._unacknowledged += messages
        self._send(messages)

    def flush(self) -> None:
        if not self._unacknowledged:
            return
        for message in self._unacknowledged:
            if message.too_large:
                message.shrink()
        self._send([m for m in self._unacknowledged if m.sent is None or m.sent.failed()])
        try:
            self._connected().flush(timeout=FLUSH_SECONDS)
        except KafkaError as error:
            raise Unavailable(f"kafka: {error!r}; is the broker up?") from error
        self._unacknowledged = [
            message for message in self._unacknowledged if not message.acknowledged
        ]
        if self._unacknowledged:
            first = self._unacknowledged[0]
            why = self._refused if first.sent is None else repr(first.sent.exception)
            raise Unavailable(
                f"kafka: {len(self._unacknowledged)} messages not acknowledged, the first for "
                f"topic {first.topic}: {why}; does the topic exist, and may we write to it?"
            )

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=FLUSH_SECONDS)

    def _of_anomaly(self, anomaly: Mapping[str, Any]) -> Message:
        return Message(
            self._anomalies_topic,
            anomaly["stream"].encode(),
            msgspec.json.encode(anomaly),
            [("wakeful.id", anomaly["id"].encode())],
        )

    def _of_dead_letter(self, letter: DeadLetter) -> Message:
        """Cut where it is long; a record of nothing at all becomes an empty value."""
        key = None if letter.key is None else letter.key[:MAX_KEY_BYTES]
        value = None if letter.value is None else letter.value[:MAX_VALUE_BYTES]
        empty = b"" if key is None else None
        topic = self._dead_letters_topic
        return Message(topic, key, empty if value is None else value, headers_of(letter))

    def _send(self, messages: list[Message]) -> None:
        """Send until one is refused: the rest would wait as long. `flush` tries again."""
        for message in messages:
            message.sent = None
        try:
            for message in messages:
                message.sent = self._send_one(message)
        except KafkaError as error:
            self._refused = repr(error)

    def _send_one(self, message: Message) -> Any:
        send = self._connected().send
        try:
            return send(message.topic, message.value, message.key, message.headers)
        except MessageSizeTooLargeError:  # by the client's own limit, before it is sent
            message.shrink()
            return send(message.topic, message.value, message.key, message.headers)

    def _connected(self) -> Any:
        if self._producer is None:
            self._producer = KafkaProducer(**self._config)
        return self._producer


def headers_of(letter: DeadLetter) -> list[Header]:
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
    return [(name, text.encode()) for name, text in context.items()]
