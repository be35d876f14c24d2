"""Loops that read the same records, to hold ours against."""

import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from service.errors import WakefulError

POLL_RECORDS = 5000  # of the bare loop: more make it no faster
SILENCE_SECONDS = 60.0
WARM_UP = 10_000  # records before the clock starts


def counted(poll: Callable[[], int], records: int) -> float:
    """Records a second, once WARM_UP of them went by; WakefulError where none come."""
    read = first = 0
    started = heard = time.perf_counter()
    while read < records:
        found, now = poll(), time.perf_counter()
        heard = now if found else heard
        if now - heard > SILENCE_SECONDS:
            raise _silent()
        read += found
        if not first and read >= WARM_UP:
            first, started = read, now
    return (read - first) / (time.perf_counter() - started)


def _silent() -> WakefulError:
    return WakefulError(f"no record came from the broker within {SILENCE_SECONDS:.0f} s")


def poll_and_count(servers: str, topic: str, records: int) -> float:
    """Records a second of a loop that polls and counts, and does nothing else."""
    consumer = KafkaConsumer(bootstrap_servers=servers, max_poll_records=POLL_RECORDS)
    with closing(consumer):
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)

        def poll() -> int:
            return sum(map(len, consumer.poll(timeout_ms=1000).values()))

        return counted(poll, records)


def confluent_and_msgspec(servers: str, topic: str, records: int) -> float:
    """Records a second of confluent-kafka that decodes each with msgspec, and does nothing else."""
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra
        import msgspec  # noqa: PLC0415
    except ImportError as error:
        raise WakefulError(
            "confluent-kafka is not installed: .venv/bin/pip install -e '.[bench]'"
        ) from error
    consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": topic})
    decode = msgspec.json.Decoder(dict[str, float]).decode
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])

        def poll() -> int:
            messages = consumer.consume(POLL_RECORDS, 1.0)
            for message in messages:
                decode(message.value() or b"")
            return len(messages)

        return counted(poll, records)
    finally:
        consumer.close()


def quixstreams_and_count(servers: str, topic: str, records: int) -> float:
    """Records a second of Quix Streams that counts each stream's in its state store."""
    try:
        import quixstreams  # noqa: PLC0415 - an extra
    except ImportError as error:
        detail = "quixstreams is not installed: .venv/bin/pip install -e '.[bench]'"
        raise WakefulError(detail) from error
    read, started, ended = 0, 0.0, 0.0

    def count(value: Any, state: Any) -> None:  # noqa: ARG001 - as it is called
        nonlocal read, started, ended
        state.set("count", state.get("count", 0) + 1)
        read += 1
        if read == WARM_UP:
            started = time.perf_counter()
        elif read == records:
            ended = time.perf_counter()
            application.stop()

    group = f"{topic}-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        application = quixstreams.Application(
            broker_address=servers, consumer_group=group, state_dir=folder,
            auto_offset_reset="earliest", use_changelog_topics=False, loglevel=None,
        )  # fmt: skip
        source = application.topic(topic, value_deserializer="json")
        application.dataframe(source).update(count, stateful=True)
        application.run(timeout=SILENCE_SECONDS)
    if not ended:
        raise _silent()
    return (records - WARM_UP) / (ended - started)


@dataclass(frozen=True, slots=True)
class Reader:
    """A loop to hold ours against: (servers, topic, records) -> records a second."""

    about: str
    run: Callable[[str, str, int], float]


POLL = Reader("kafka-python's poll() in a loop that counts", poll_and_count)
CONFLUENT = Reader("confluent-kafka and msgspec in a loop that decodes", confluent_and_msgspec)
QUIXSTREAMS = Reader("Quix Streams that counts in its state store", quixstreams_and_count)
