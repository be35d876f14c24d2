"""Kafka as a sink: anomalies keyed by stream, and dead letters with their context as headers."""

import json
from dataclasses import dataclass
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from service.errors import Unavailable
from service.kafka_options import client_options
from service.records import DeadLetter, Delivery

FLUSH_SECONDS = 30.0

Header = tuple[str, bytes]


@dataclass(slots=True)
class Message:
    """A message until the broker has acknowledged it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    sent: Any = None


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
            **client_options(options, KafkaProducer.DEFAULT_CONFIG),
            "bootstrap_servers": bootstrap_servers,
        }
        self._producer: Any = None
        self._unacknowledged: list[Message] = []

    def deliver(self, delivery: Delivery) -> None:
        messages = [
            Message(
                self._anomalies_topic,
                anomaly["stream"].encode(),
                json.dumps(anomaly).encode(),
                [("wakeful.id", anomaly["id"].encode())],
            )
            for anomaly in delivery.anomalies
        ]
        messages += [
            Message(self._dead_letters_topic, letter.key, letter.value, headers_of(letter))
            for letter in delivery.dead_letters
        ]
        self._unacknowledged += messages
        for message in messages:
            self._send(message)

    def flush(self) -> None:
        if not self._unacknowledged:
            return
        for message in self._unacknowledged:
            if message.sent is None or message.sent.failed():
                self._send(message)
        try:
            self._connected().flush(timeout=FLUSH_SECONDS)
        except KafkaError as error:
            raise Unavailable(f"kafka: {error!r}; is the broker up?") from error
        self._unacknowledged = [
            message
            for message in self._unacknowledged
            if message.sent is None or not message.sent.succeeded()
        ]
        if self._unacknowledged:
            first = self._unacknowledged[0]
            why = "not sent" if first.sent is None else repr(first.sent.exception)
            raise Unavailable(
                f"kafka: {len(self._unacknowledged)} messages not acknowledged, the first for "
                f"topic {first.topic}: {why}; does the topic exist, and may we write to it?"
            )

    def close(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=FLUSH_SECONDS)

    def _send(self, message: Message) -> None:
        try:
            message.sent = self._connected().send(
                message.topic, value=message.value, key=message.key, headers=message.headers
            )
        except KafkaError:
            message.sent = None  # `flush` tries again, and says why it could not

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
        "wakeful.detector": letter.detector,
        "wakeful.reason": letter.reason,
    }
    return [(name, text.encode()) for name, text in context.items()]
