"""Kafka's own options, by Kafka's own names, as the client takes them."""

from typing import Any

from kafka import KafkaConsumer, KafkaProducer

from service.errors import SettingsError

OURS = {
    "bootstrap.servers": "kafka.bootstrap_servers",
    "group.id": "kafka.group_id",
    "acks": "nothing: every message is acknowledged by all",
    "retries": "nothing: messages are written together or not at all",
    "delivery.timeout.ms": "nothing: messages are written together or not at all",
    "enable.idempotence": "nothing: messages are written in transactions",
    "transactional.id": "nothing: it derives from the group's and the member's name",
    "transaction.timeout.ms": "nothing: it goes with how long the end of one is waited for",
    "partition.assignment.strategy": "nothing: memories need the cooperative one",
    "max.poll.records": "limits.max_batch_events",
    "enable.auto.commit": "nothing: offsets are committed with the memories",
    "isolation.level": "nothing: only committed records are scored",
}
"""Kafka's options that the service sets itself, and what to use instead."""


def client_options(options: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Kafka's option names as the client spells them, those that this client knows."""
    spelt = {name.replace(".", "_"): value for name, value in options.items()}
    return {name: value for name, value in spelt.items() if name in known}


def check_options(options: dict[str, Any]) -> None:
    """SettingsError for an option that is ours to set, or that no client knows."""
    known = {**KafkaConsumer.DEFAULT_CONFIG, **KafkaProducer.DEFAULT_CONFIG}
    for name in options:
        dotted = name.replace("_", ".")
        if dotted in OURS:
            raise SettingsError(f"kafka.options: {name} is set by {OURS[dotted]}")
        if name.replace(".", "_") not in known:
            raise SettingsError(
                f"kafka.options: {name} is not an option of the Kafka client; known are "
                f"{', '.join(sorted(option.replace('_', '.') for option in known))}"
            )
