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
from service.settings import DetectorSettings, KafkaSettings, Settings
from service.telemetry.logging import configure_logging

OUTPUTS = "-outputs"  # the topic of anomalies and dead letters


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


def serve(servers: str, topic: str, work: Workload, records: int) -> float:
    """Events a second of the whole service, from the broker through store and sinks."""
    with (
        tempfile.TemporaryDirectory() as folder,
        service_on(servers, topic, work, Path(folder)) as service,
    ):
        pipeline, partition = service.pipeline, (topic, 0)

        def poll() -> int:
            before = pipeline.positions.get(partition, 0)
            pipeline.run_once()
            return pipeline.positions.get(partition, 0) - before

        return counted(poll, records)


@contextmanager
def service_on(servers: str, topic: str, work: Workload, folder: Path) -> Iterator[Service]:
    """The whole service, ready to run."""
    service = build_service(_settings(servers, topic, work, folder))
    try:
        service.pipeline.restore()
        yield service
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
