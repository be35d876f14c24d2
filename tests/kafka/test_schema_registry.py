"""A producer that changes its schema while the service runs, over a real broker."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka import KafkaAdminClient, KafkaProducer

from service.rewind import Asked, rewind
from service.settings.loading import load_settings
from tests.kafka.topics import FOR_EVER, Names, made_topics, read, sines
from tests.processes import wakeful
from tests.registry import Registered, running_registry

EACH = 60  # events of a schema
NULLABLE = {"type": ["null", "double"], "default": None}
STEPS: list[dict[str, Any]] = [
    {"value": {"type": "int"}},
    {"value": {"type": "int"}, "load": NULLABLE},
    {"value": {"type": "int"}, "cpu": {**NULLABLE, "aliases": ["load"]}},
    {"value": {"type": "double"}, "cpu": NULLABLE},
    {"value": {"type": "double"}},
]
"""The fields beside the time: one is added, renamed with a default, promoted, removed."""
TIME = {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}}


@pytest.fixture
def topics(bootstrap_servers: str) -> Iterator[Names]:
    with made_topics(bootstrap_servers, f"t{uuid.uuid4().hex[:10]}", 1) as made:
        yield made


@pytest.fixture
def plain(topics: Names) -> Iterator[str]:
    """A topic for the same events in JSON."""
    name = f"{topics.events}-json"
    with closing(KafkaAdminClient(bootstrap_servers=topics.servers)) as admin:
        admin.create_topics({name: {"num_partitions": 1, "configs": FOR_EVER}})
        yield name
        admin.delete_topics([name])


def changed(event: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """The event as a producer with these fields sends it."""
    value = event["value"] if fields["value"]["type"] == "double" else round(event["value"])
    rest = {name: event["value"] / 7 for name in fields if name != "value"}
    return {"time": event["time"], "value": value, **rest}


def of_schema(registered: Registered, topic: str, fields: dict[str, Any]) -> Any:
    """What writes an event by a schema, which is registered with the first."""
    columns = [TIME, *({"name": name, **kind} for name, kind in fields.items())]
    schema = {"type": "record", "name": "Event", "fields": columns}
    client = SchemaRegistryClient({"url": registered.url})
    serializer = AvroSerializer(client, json.dumps(schema))
    context = SerializationContext(topic, MessageField.VALUE)

    def written(event: dict[str, Any]) -> bytes:
        moment = datetime.fromtimestamp(event["time"], UTC)
        data: bytes = serializer({**event, "time": moment}, context)
        return data

    return written


def at(registered: Registered) -> dict[str, str]:
    return {"WAKEFUL_KAFKA__SCHEMA_REGISTRY__URL": registered.url}


def test_a_producer_changes_its_schema_while_we_run(
    topics: Names, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [event for _, event in sines(streams=1, events_each=EACH * len(STEPS))]
    for odd in (EACH * 3 + 30, EACH * 4 + 30):
        events[odd]["value"] += 1000.0
    password = tmp_path / "password"
    password.write_text("secret\n", encoding="utf-8")
    features = '["value", "load", "cpu"]'
    data_dir = str(tmp_path / "data")
    environment = topics.environment(
        WAKEFUL_KAFKA__SCHEMA_REGISTRY__USERNAME="wakeful",
        WAKEFUL_KAFKA__SCHEMA_REGISTRY__PASSWORD_FILE=str(password),
        WAKEFUL_DETECTORS__DEFAULT__FEATURES=features,
        WAKEFUL_DETECTORS__PLAIN__FEATURES=features,
        WAKEFUL_DETECTORS__PLAIN__TOPICS=json.dumps([plain]),
    )
    with (
        running_registry() as registered,
        closing(KafkaProducer(bootstrap_servers=topics.servers)) as producer,
        wakeful(
            "serve", "--data-dir", data_dir, "--port", "0",
            environment=environment | at(registered),
        ) as process,
    ):  # fmt: skip
        sent = 0

        def send(value: bytes, to: str = topics.events) -> None:
            nonlocal sent
            producer.send(to, key=b"s", value=value)
            sent += 1

        def read_all() -> bool:
            producer.flush()
            return process.metric("wakeful_records_total") >= sent

        for step, fields in enumerate(STEPS):
            last = step == len(STEPS) - 1
            written = of_schema(registered, topics.events, fields)
            own = [changed(event, fields) for event in events[step * EACH : (step + 1) * EACH]]
            registered.credentials = None  # the producer has none
            values = [written(event) for event in own]
            registered.credentials = "wakeful:secret" if not last else None
            registered.status = 503 if last else None
            for event, value in zip(own, values, strict=True):
                send(value)
                send(json.dumps(event).encode(), to=plain)
            if last:
                process.wait_for(
                    lambda: "answered 503" in str(process.get("/readyz?verbose")["waiting_for"]),
                    "the registry is missed",
                )
                registered.status = None
            process.wait_for(read_all, f"events of schema {step + 1}")
        process.wait_ready()
        broken = [b"\0\0\0\0\x63abc", written(own[0])[:-1]]
        for value in broken:
            send(value)
        process.wait_for(read_all, "the broken ones")
        process.wait_delivered()
        found = [process.get(f"/api/v1/streams/s?detector={name}") for name in ("default", "plain")]
        told = [
            process.pages(f"/api/v1/anomalies?detector={name}") for name in ("default", "plain")
        ]
        by_ids = [path for path in registered.asked if "/schemas/ids/" in path]
        for name, value in (environment | at(registered)).items():
            monkeypatch.setenv(name, value)
        again = rewind(load_settings(None, {"data_dir": data_dir}), Asked("s", "default"))

    assert found[0]["events"] == len(events)
    assert told[0]
    assert _without_place(found[0]) == _without_place(found[1])
    assert [*map(_without_place, told[0])] == [*map(_without_place, told[1])]
    assert {path for path in by_ids if by_ids.count(path) == 1} >= {
        f"/schemas/ids/{n}" for n in range(1, len(STEPS))
    }
    assert [one["id"] for one in again.anomalies] == [one["id"] for one in told[0]][::-1]
    assert again.not_now == []
    letters = read(topics.servers, topics.dead_letters)
    assert [letter.value for letter in letters] == broken
    headers = [dict(letter.headers) for letter in letters]
    assert [one["wakeful.reason"] for one in headers] == [b"bad_schema", b"bad_payload"]
    assert [one["__connect.errors.offset"] for one in headers] == [
        str(len(events) + n).encode() for n in range(2)
    ]


def _without_place(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name not in ("id", "detector", "topic")}
