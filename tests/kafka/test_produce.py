"""The demo's producer for Kafka."""

import threading
import time
from contextlib import closing
from itertools import islice

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from service.demo.play import history_events, play
from service.demo.presets import PRESETS, Preset
from service.demo.produce import produce, produced

WAIT_SECONDS = 60.0
PRESET = PRESETS["vitals"]


def test_a_producer_plays_its_preset_and_goes_on_where_it_was(
    bootstrap_servers: str, topic: str
) -> None:
    history = history_events(PRESET.series())
    for least in (history, history + 3):
        started = produced([bootstrap_servers], topic, {})
        run_until(least, started, bootstrap_servers, topic, PRESET)
    sent = produced([bootstrap_servers], topic, {})
    expected = sorted(event.record() for event in islice(play(PRESET.series()), sent))
    with closing(
        KafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    ) as consumer:
        consumer.assign([TopicPartition(topic, n) for n in range(2)])
        read: list[tuple[bytes, bytes]] = []
        deadline = time.monotonic() + WAIT_SECONDS
        while len(read) < sent and time.monotonic() < deadline:
            for some in consumer.poll(timeout_ms=1000).values():
                read += [(one.key, one.value) for one in some]
    assert sorted(value for _, value in read) == expected
    assert all(msgspec.json.decode(value)["stream"].encode() == key for key, value in read)


def run_until(least: int, sent: int, servers: str, topic: str, preset: Preset) -> None:
    """Produce, from event `sent` on, until the topic has so many."""
    stopping = threading.Event()
    with closing(KafkaProducer(bootstrap_servers=servers)) as producer:
        thread = threading.Thread(target=produce, args=(producer, preset, topic, sent, stopping))
        thread.start()
        deadline = time.monotonic() + WAIT_SECONDS
        while produced([servers], topic, {}) < least and thread.is_alive():
            assert time.monotonic() < deadline, f"{least} events are not produced"
        stopping.set()
        thread.join()
