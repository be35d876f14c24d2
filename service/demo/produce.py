"""`python -m service.demo.produce`: the shipped series, produced to the configured Kafka topic.

For the compose file. Reads the same settings as the service; ends on SIGINT or SIGTERM.
"""

import contextlib
import itertools
import signal
import threading
import time
from typing import Any

import structlog
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from service.demo.feeder import HISTORY, LIVE_EVENTS_PER_SECOND, load_events, record
from service.errors import SettingsError
from service.kafka.options import client_options
from service.settings import load_settings
from service.telemetry.logging import configure_logging

RETRY_SECONDS = 3.0
BLOCK_MS = 5000  # for which sending waits for the broker: a signal must not wait longer

log = structlog.get_logger()


def main() -> None:
    configure_logging()
    settings = load_settings().kafka
    if not settings.bootstrap_servers:
        raise SettingsError("set WAKEFUL_KAFKA__BOOTSTRAP_SERVERS: where to produce to")
    stopping = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: stopping.set())
    options = client_options(settings.options, KafkaProducer.DEFAULT_CONFIG)
    while not stopping.is_set():
        try:
            sent = count(settings.bootstrap_servers, settings.topics[0], settings.options)
            producer = KafkaProducer(
                **options, bootstrap_servers=settings.bootstrap_servers, max_block_ms=BLOCK_MS
            )
            with contextlib.closing(producer):
                play(producer, settings.topics[0], sent, stopping)
        except KafkaError as error:
            log.warning("kafka is away, trying again", error=repr(error), seconds=RETRY_SECONDS)
            stopping.wait(RETRY_SECONDS)


def count(servers: list[str], topic: str, options: dict[str, Any]) -> int:
    """How many records the topic was ever given: a restart goes on behind them."""
    known = client_options(options, KafkaConsumer.DEFAULT_CONFIG)
    with contextlib.closing(KafkaConsumer(**known, bootstrap_servers=servers)) as consumer:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        return sum(consumer.end_offsets(partitions).values())


def play(producer: KafkaProducer, topic: str, sent: int, stopping: threading.Event) -> None:
    """From event `sent` on: history as fast as it goes, then live, until told to stop."""
    events, lap = load_events()
    history = int(len(events) * HISTORY)
    log.info("producing", topic=topic, history_events=history)
    for n in itertools.count(sent):
        if stopping.is_set():
            return
        stream = events[n % len(events)][1]
        stored = int(time.time() * 1000)
        producer.send(topic, key=stream.encode(), value=record(events, lap, n), timestamp_ms=stored)
        if n >= history:
            stopping.wait(1.0 / LIVE_EVENTS_PER_SECOND)


if __name__ == "__main__":
    main()
