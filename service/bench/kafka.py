"""From a real broker to the score, and what merely reading the same records takes."""

import multiprocessing
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer

from service.bench.broker import running_broker
from service.bench.readers import Reader, counted
from service.bench.result import Result, by_turns
from service.bench.workload import Workload
from service.bootstrap import Service, build_service
from service.errors import WakefulError
from service.settings.detector import DetectorSettings
from service.settings.kafka import KafkaSettings
from service.settings.storage import CheckpointSettings
from service.settings.tree import Settings
from service.telemetry.logging import configure_logging

OUTPUTS = "-outputs"  # the topic of anomalies and dead letters
MEMORIES = "-memories"
CHECKPOINTS = 1.0  # seconds between them, where their cost is measured
EVENTS_EACH = 30  # of a stream there
NEVER = 1e9


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
def filled_topic(
    servers: str, records: Iterable[tuple[bytes, bytes]], partitions: int = 1
) -> Iterator[str]:
    """A topic with these records."""
    name = f"wakeful-bench-{uuid.uuid4().hex[:8]}"
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        once = {"num_partitions": partitions, "replication_factor": 1}
        admin.create_topics({name: once, name + OUTPUTS: once})
        try:
            producer = KafkaProducer(bootstrap_servers=servers, linger_ms=50)
            with closing(producer):
                for key, value in records:
                    producer.send(name, value, key)
                producer.flush()
            yield name
        finally:
            admin.delete_topics([name, name + OUTPUTS, name + MEMORIES], raise_errors=False)


def serve(
    servers: str, topic: str, work: Workload, records: int, interval_seconds: float = 5.0
) -> float:
    """Events a second of the whole service, from the broker through store and sinks."""
    with (
        tempfile.TemporaryDirectory() as folder,
        service_on(servers, topic, work, Path(folder), interval_seconds) as service,
    ):
        pipeline, partition = service.pipeline, (topic, 0)

        def poll() -> int:
            before = pipeline.positions.get(partition, 0)
            pipeline.run_once()
            return pipeline.positions.get(partition, 0) - before

        found = counted(poll, records)
        pipeline.checkpoint()
        return found


@contextmanager
def service_on(
    servers: str, topic: str, work: Workload, folder: Path, interval_seconds: float = 5.0
) -> Iterator[Service]:
    """The whole service, ready to run."""
    service = build_service(_settings(servers, topic, work, folder, interval_seconds))
    try:
        service.pipeline.restore()
        yield service
    finally:
        service.close()


def _settings(
    servers: str, topic: str, work: Workload, folder: Path, interval_seconds: float
) -> Settings:
    return Settings.model_construct(
        data_dir=folder,
        kafka=KafkaSettings(
            bootstrap_servers=[servers],
            topics=[topic],
            group_id=f"wakeful-bench-{uuid.uuid4().hex[:8]}",
            anomalies_topic=topic + OUTPUTS,
            episodes_topic=topic + OUTPUTS,
            dead_letters_topic=topic + OUTPUTS,
            memory_topic=topic + MEMORIES,
        ),
        checkpoint=CheckpointSettings(interval_seconds=interval_seconds),
        detectors={
            "default": DetectorSettings(artifact=work.artifact, features=list(work.features))
        },
    )


def end_to_end(
    servers: str, work: Workload, records: int, repeats: int, name: str, peer: Reader
) -> Result:
    """Ours, beside a loop that only reads the same topic."""
    with filled_topic(servers, work.records(records, 1000)) as topic:
        ours, theirs = by_turns(
            repeats,
            partial(serve, servers, topic, work, records),
            partial(peer.run, servers, topic, records),
        )
    return Result(name, ours, "events/s", peer.about, theirs)


def cost_of_changelog(servers: str, work: Workload, records: int, repeats: int) -> list[Result]:
    """Events a second with memories written to Kafka now and then, all streams changing, beside
    none; and the bytes of these."""
    streams = records // EVENTS_EACH
    with filled_topic(servers, work.records(records, streams)) as topic:
        often, never = by_turns(
            repeats,
            partial(serve, servers, topic, work, records, CHECKPOINTS),
            partial(serve, servers, topic, work, records, NEVER),
        )
        size = size_of(servers, topic + MEMORIES) / repeats
    least = streams * work.detector().arena.layout.row_bytes
    return [
        Result("with_changelog_vs_none", often, "events/s", "without checkpoints", never),
        Result("changelog_bytes", size, "B", "each row once", least),
    ]


def size_of(servers: str, topic: str) -> float:
    """Bytes that a topic takes."""
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        return float(
            sum(
                partition["partition_size"]
                for broker in admin.describe_log_dirs()
                for folder in broker["log_dirs"]
                for found in folder["topics"]
                if found["name"] == topic
                for partition in found["partitions"]
            )
        )


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
