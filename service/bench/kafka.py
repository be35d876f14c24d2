"""From a real broker to the score, and what merely reading the same records takes."""

import multiprocessing
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from service.bench.broker import running_broker
from service.bench.result import Result, by_turns
from service.bench.workload import Workload
from service.bootstrap import build_service
from service.errors import WakefulError
from service.settings import DetectorSettings, KafkaSettings, Settings
from service.telemetry.logging import configure_logging

OUTPUTS = "-outputs"  # the topic of anomalies and dead letters
POLL_RECORDS = 5000  # of the bare loop: more make it no faster
SILENCE_SECONDS = 60.0
WARM_UP = 10_000  # records before the clock starts


@contextmanager
def brokers(given: str | None) -> Iterator[str]:
    """The brokers to measure with: those given, or one started from KAFKA_HOME."""
    home = os.environ.get("KAFKA_HOME")
    if given:
        yield given
    elif home:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_broker(Path(home).resolve(), Path(folder)) as broker,
        ):
            yield broker.address
    else:
        raise WakefulError("no broker: name one with --bootstrap-servers, or set KAFKA_HOME")


@contextmanager
def filled_topic(servers: str, records: Iterable[tuple[bytes, bytes]]) -> Iterator[str]:
    """A topic of one partition with these records."""
    name = f"wakeful-bench-{uuid.uuid4().hex[:8]}"
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        once = {"num_partitions": 1, "replication_factor": 1}
        admin.create_topics({name: once, name + OUTPUTS: once})
        try:
            producer = KafkaProducer(bootstrap_servers=servers, linger_ms=50)
            with closing(producer):
                for key, value in records:
                    producer.send(name, value, key)
                producer.flush()
            yield name
        finally:
            admin.delete_topics([name, name + OUTPUTS])


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
            "confluent-kafka is not installed: pip install 'wakeful[bench]'"
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


@dataclass(frozen=True, slots=True)
class Peer:
    """A loop to hold ours against: (servers, topic, records) -> records a second."""

    about: str
    run: Callable[[str, str, int], float]


POLL = Peer("kafka-python's poll() in a loop that counts", poll_and_count)
CONFLUENT = Peer("confluent-kafka and msgspec in a loop that decodes", confluent_and_msgspec)


def counted(poll: Callable[[], int], records: int) -> float:
    """Records a second, once WARM_UP of them went by; WakefulError where none come."""
    read = first = 0
    started = heard = time.perf_counter()
    while read < records:
        found, now = poll(), time.perf_counter()
        heard = now if found else heard
        if now - heard > SILENCE_SECONDS:
            raise WakefulError(f"no record came from the broker within {SILENCE_SECONDS:.0f} s")
        read += found
        if not first and read >= WARM_UP:
            first, started = read, now
    return (read - first) / (time.perf_counter() - started)


def serve(servers: str, topic: str, work: Workload, records: int) -> float:
    """Events a second of the whole service, from the broker through store and sinks."""
    with tempfile.TemporaryDirectory() as folder:
        service = build_service(_settings(servers, topic, work, Path(folder)))
        pipeline = service.pipeline
        try:
            pipeline.restore()
            positions, partition = pipeline.positions, (topic, 0)

            def poll() -> int:
                before = positions.get(partition, 0)
                pipeline.run_once()
                return positions.get(partition, 0) - before

            return counted(poll, records)
        finally:
            service.close()


def _settings(servers: str, topic: str, work: Workload, folder: Path) -> Settings:
    return Settings.model_construct(
        data_dir=folder,
        kafka=KafkaSettings(
            bootstrap_servers=[servers],
            topics=[topic],
            group_id=f"wakeful-bench-{uuid.uuid4().hex[:8]}",
            anomalies_topic=topic + OUTPUTS,
            dead_letters_topic=topic + OUTPUTS,
        ),
        detectors={
            "default": DetectorSettings(artifact=work.artifact, features=list(work.features))
        },
    )


def end_to_end(
    servers: str, work: Workload, records: int, repeats: int, name: str, peer: Peer
) -> Result:
    """Ours, beside a loop that only reads the same topic."""
    with filled_topic(servers, work.records(records, 1000)) as topic:
        ours, theirs = by_turns(
            repeats,
            partial(serve, servers, topic, work, records),
            partial(peer.run, servers, topic, records),
        )
    return Result(name, ours, "events/s", peer.about, theirs)


def two_processes(servers: str, work: Workload, records: int, repeats: int) -> Result:
    """Two processes, a topic each, beside one."""
    topics = [filled_topic(servers, work.records(records, 1000)) for _ in range(2)]
    with topics[0] as first, topics[1] as second:
        together, alone = by_turns(
            repeats,
            lambda: _in_processes(servers, [first, second], work, records),
            lambda: _in_processes(servers, [first], work, records),
        )
    return Result("two_processes_vs_one", together, "events/s", "one process", alone)


def _in_processes(servers: str, topics: list[str], work: Workload, records: int) -> float:
    """The sum of what processes reach that run at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(len(topics)), context.Queue()
    processes = [
        context.Process(target=_serve_in, args=(servers, topic, work, records, barrier, found))
        for topic in topics
    ]
    for process in processes:
        process.start()
    rates = [found.get() for _ in processes]
    for process in processes:
        process.join()
    return float(sum(rates))


def _serve_in(
    servers: str, topic: str, work: Workload, records: int, barrier: Barrier, found: Any
) -> None:
    configure_logging()
    barrier.wait()
    found.put(serve(servers, topic, work, records))
