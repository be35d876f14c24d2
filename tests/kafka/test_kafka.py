"""The whole way on a real broker: events in, anomalies out, a kill in the middle."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from service.bench.broker import running_broker
from tests.conftest import HOW_TO_KAFKA, kafka_home
from tests.kafka.changelogs import kept, positions
from tests.kafka.topics import TRACE, Names, made_topics, produce, read, sines
from tests.processes import Wakeful, wakeful
from tests.service.parts import wave
from tests.service.test_telemetry import collector

PARTITIONS = 4
SENT = [("traceparent", b"00-ab-cd-01"), ("empty", b"")]


@pytest.fixture
def topics(bootstrap_servers: str) -> Iterator[Names]:
    with made_topics(bootstrap_servers, f"t{uuid.uuid4().hex[:10]}", PARTITIONS) as made:
        yield made


def wait_scored(process: Wakeful, events: int) -> None:
    """Until this many of the process's own records are accounted for, and what came of them."""
    process.wait_for(
        lambda: process.metric("wakeful_records_total") >= events, f"{events} records read"
    )
    process.wait_delivered()


def run_whole(topics: Names, data_dir: Path, events: int) -> list[dict[str, Any]]:
    """One uninterrupted run in a group of its own; its anomalies as the API lists them."""
    environment = topics.environment(WAKEFUL_KAFKA__GROUP_ID=f"{topics.events}-whole")
    with wakeful("serve", "--data-dir", str(data_dir), "--port", "0", environment=environment) as p:
        wait_scored(p, events)
        return p.pages("/api/v1/anomalies")


def test_a_kill_in_the_middle_changes_no_memory_and_no_anomaly(
    topics: Names, tmp_path: Path
) -> None:
    events = sines(streams=200, events_each=100)
    for n in range(0, len(events), 397):  # something to tell of all along
        events[n][1]["value"] += 200.0
    arguments = ("serve", "--data-dir", str(tmp_path / "killed"), "--port", "0")
    environment = topics.environment(WAKEFUL_CHECKPOINT__INTERVAL_SECONDS="0.2")

    middle = len(events) // 2
    with wakeful(*arguments, environment=environment) as process:
        produce(topics, events[:middle])
        process.wait_for(
            lambda: process.metric("wakeful_checkpoints_total") >= 2, "checkpoints in the middle"
        )
        produce(topics, events[middle : middle + 4_000])  # on its way while it is killed
        process.kill()
    produce(topics, events[middle + 4_000 :])
    whole = run_whole(topics, tmp_path / "whole", len(events))
    last = sum(
        positions(topics.servers, topics.events, topics.events, PARTITIONS, topics.memory).values()
    )
    assert 0 < last < len(events)
    with wakeful(*arguments, environment=environment) as process:
        wait_scored(process, len(events) - last)
        killed = process.pages("/api/v1/anomalies")

    assert len(whole) > 20
    assert _by_id(killed) == _by_id(whole)
    memories = [
        kept(topics.servers, group, topics.events, PARTITIONS, topics.memory)
        for group in (topics.events, f"{topics.events}-whole")
    ]
    assert memories[0] == memories[1]
    assert len(memories[0]) == 200
    on_topic = Counter(
        json.loads(record.value)["id"] for record in read(topics.servers, topics.anomalies)
    )
    assert on_topic == dict.fromkeys((anomaly["id"] for anomaly in whole), 2)  # a run, once each
    _assert_committed(topics, len(events))


def _assert_committed(topics: Names, events: int) -> None:
    """The group has committed what the memories include, which is everything."""
    with closing(KafkaAdminClient(bootstrap_servers=topics.servers)) as admin:
        group = admin.list_group_offsets(topics.events)
    committed = sum(offset.offset for offset in group[topics.events].values())
    current = positions(topics.servers, topics.events, topics.events, PARTITIONS, topics.memory)
    assert committed == events == sum(current.values())


def test_anomalies_link_the_traces_of_their_records(topics: Names, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="install the extra otel")
    messages = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    produce(topics, [("s", json.loads(line)) for line in wave(620, spikes=[350, 550])])
    with collector() as (address, bodies):
        environment = topics.environment(
            OTEL_TRACES_EXPORTER="otlp", OTEL_EXPORTER_OTLP_ENDPOINT=address,
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
        )  # fmt: skip
        arguments = "--data-dir", str(tmp_path), "--port", "0"
        with wakeful("serve", *arguments, environment=environment) as process:
            process.wait_for(lambda: process.pages("/api/v1/anomalies") != [], "an anomaly")
            told = {one["id"] for one in process.pages("/api/v1/anomalies")}
        sent = [messages.ExportTraceServiceRequest.FromString(body) for body in bodies]
    links = [
        link
        for one in sent
        for resource in one.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
        for link in span.links
    ]
    assert told <= {link.attributes[0].value.string_value for link in links}
    assert {f"00-{link.trace_id.hex()}-{link.span_id.hex()}-01".encode() for link in links} == {
        value for _, value in TRACE
    }


def test_poison_records_go_to_the_dead_letters_with_their_context(
    topics: Names, tmp_path: Path
) -> None:
    poison = [b"", b"{", b"[1,2]", b'{"value": "high"}', b'{"value": 1e999}', b"\xff\xfe", b"{}"]
    producer = KafkaProducer(bootstrap_servers=topics.servers)
    for value in [*poison, None]:
        producer.send(topics.events, key=b"s", value=value, partition=0, headers=SENT)
    producer.send(topics.events, value=b'{"value": 1}', partition=0)  # nobody's
    producer.send(topics.events, value=b"", partition=0)
    producer.send(topics.events, key=b"s", value=b'{"value": 1}', partition=0)
    producer.flush()
    producer.close()
    with wakeful(
        "serve", "--data-dir", str(tmp_path), "--port", "0", environment=topics.environment()
    ) as process:
        wait_scored(process, len(poison) + 4)
        assert process.get("/api/v1/streams/s")["events"] == 1
        listed = process.pages("/api/v1/dead-letters")

    letters = read(topics.servers, topics.dead_letters)
    assert len(letters) == len(listed) == len(poison) + 3
    headers = dict(letters[0].headers)
    assert headers["__connect.errors.topic"].decode() == topics.events
    assert headers["__connect.errors.offset"] == b"0"
    assert headers["wakeful.reason"] == b"malformed_json"
    carried = [letter.headers[: len(SENT)] == SENT for letter in letters]
    assert carried == [True] * (len(poison) + 1) + [False] * 2
    assert [letter.value for letter in letters] == [*poison, None, b'{"value": 1}', b""]


def test_without_its_broker_it_is_alive_and_not_ready_and_goes_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    home = kafka_home()
    if home is None:
        pytest.skip(f"no broker to kill: {HOW_TO_KAFKA}")
    with (
        running_broker(home, tmp_path / "kafka") as broker,
        made_topics(broker.address, "t", PARTITIONS) as topics,
    ):
        environment = topics.environment(WAKEFUL_CHECKPOINT__INTERVAL_SECONDS="0.2")
        arguments = ("serve", "--data-dir", str(tmp_path / "data"), "--port", "0")
        with wakeful(*arguments, environment=environment) as process:
            produce(topics, sines(streams=5, events_each=10))
            wait_scored(process, 50)
            broker.kill()
            process.wait_for(lambda: process.get("/readyz")["status"] != "ready", "not ready")
            assert "kafka" in process.get("/readyz?verbose")["waiting_for"]
            assert process.get("/livez") == {"status": "ok"}
            assert process.get("/api/v1/streams/s-1")["events"] == 10
            broker.start()
            process.wait_ready()
            produce(topics, sines(streams=5, events_each=10, seed=2))
            wait_scored(process, 100)


def test_topics_that_come_late_and_partitions_that_are_added_are_read(
    bootstrap_servers: str, tmp_path: Path
) -> None:
    name = f"t{uuid.uuid4().hex[:10]}"
    environment = Names(bootstrap_servers, name, 2).environment()
    options = {**json.loads(environment["WAKEFUL_KAFKA__OPTIONS"]), "metadata.max.age.ms": 500}
    environment["WAKEFUL_KAFKA__OPTIONS"] = json.dumps(options)
    process = Wakeful("serve", "--data-dir", str(tmp_path), "--port", "0", environment=environment)
    try:
        process.wait_for(
            lambda: f"no topic {name}" in str(process.get("/readyz?verbose")["waiting_for"]),
            "the topic is missed",
        )
        with made_topics(bootstrap_servers, name, 2) as topics:
            produce(topics, sines(streams=5, events_each=10))
            wait_scored(process, 50)
            with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
                admin.create_partitions({name: 3})
            with closing(KafkaProducer(bootstrap_servers=bootstrap_servers)) as producer:
                producer.send(name, key=b"new", value=b'{"value": 1}', partition=2).get(30)
            wait_scored(process, 51)
            assert process.get("/api/v1/streams/new")["events"] == 1
    finally:
        process.stop()


def _by_id(anomalies: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    by_id = {anomaly["id"]: anomaly for anomaly in anomalies}
    assert len(by_id) == len(anomalies)
    return by_id
