"""`python -m service.demo.produce`: a preset of the demo, produced to the configured Kafka topic.

For the compose file. Reads the same settings as the service, which needs the preset's detector
(`operations`, the default, is watched well by the settings' defaults); ends on SIGINT or SIGTERM.
"""

import contextlib
import signal
import threading
import time
from itertools import count
from typing import Any

import click
import structlog
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from service.demo.play import history_events, play
from service.demo.presets import PRESETS, Preset
from service.errors import SettingsError
from service.kafka.options import client_options
from service.settings.loading import load_settings
from service.telemetry.logging import configure_logging

RETRY_SECONDS = 3.0
BLOCK_MS = 5000  # for which sending waits for the broker: a signal must not wait longer

log = structlog.get_logger()


@click.command()
@click.option("--preset", type=click.Choice(list(PRESETS)), default="operations", show_default=True)
def main(preset: str) -> None:
    """Produce a preset's events until told to stop."""
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
            sent = produced(settings.bootstrap_servers, settings.topics[0], settings.options)
            producer = KafkaProducer(
                **options, bootstrap_servers=settings.bootstrap_servers, max_block_ms=BLOCK_MS
            )
            with contextlib.closing(producer):
                produce(producer, PRESETS[preset], settings.topics[0], sent, stopping)
        except KafkaError as error:
            log.warning("kafka is away, trying again", error=repr(error), seconds=RETRY_SECONDS)
            stopping.wait(RETRY_SECONDS)


def produced(servers: list[str], topic: str, options: dict[str, Any]) -> int:
    """How many records the topic was ever given: a restart goes on behind them."""
    known = client_options(options, KafkaConsumer.DEFAULT_CONFIG)
    with contextlib.closing(KafkaConsumer(**known, bootstrap_servers=servers)) as consumer:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        return sum(consumer.end_offsets(partitions).values())


def produce(
    producer: KafkaProducer, preset: Preset, topic: str, sent: int, stopping: threading.Event
) -> None:
    """From event `sent` on: history as fast as it goes, then live, until told to stop."""
    series = preset.series()
    history = history_events(series)
    log.info("producing", topic=topic, preset=preset.name, history_events=history)
    for n, event in zip(count(sent), play(series, sent), strict=True):
        if stopping.is_set():
            return
        stored, key = int(time.time() * 1000), event.stream.encode()
        producer.send(topic, key=key, value=event.record(), timestamp_ms=stored)
        if n >= history:
            stopping.wait(1.0 / preset.live_events_per_second)


if __name__ == "__main__":
    main()
