"""A stream's memory as it was, from what a topic retains."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kafka import KafkaAdminClient, TopicPartition

from service.cli import main
from tests.kafka.topics import FOR_EVER, Names, made_topics, produce, read, sines
from tests.processes import wakeful

PARTITIONS, STREAMS, EVENTS = 3, 12, 300


@pytest.fixture
def topics(bootstrap_servers: str) -> Iterator[Names]:
    with made_topics(bootstrap_servers, f"r{uuid.uuid4().hex[:10]}", PARTITIONS) as made:
        yield made


def replayed(topics: Names, folder: Path, *arguments: str) -> Any:
    file = folder / "found.json"
    given = ["--out", str(folder / "out"), "--json", str(file), "--data-dir", str(folder / "d")]
    result = CliRunner(env=topics.environment()).invoke(main, ["replay", *given, *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(file.read_text())


def test_a_stream_is_rebuilt_beside_the_service_that_goes_on(topics: Names, tmp_path: Path) -> None:
    events = sines(STREAMS, EVENTS)
    events[(EVENTS - 20) * STREAMS + 1][1]["value"] += 200.0  # of s-1
    produce(topics, events)
    arguments = ("serve", "--data-dir", str(tmp_path / "d"), "--port", "0")
    with wakeful(*arguments, environment=topics.environment()) as process:
        process.wait_for(
            lambda: process.metric("wakeful_records_total") == len(events), "everything read"
        )
        shown = replayed(topics, tmp_path, "--stream", "s-1", "--from", f"{1.7e9 + 60.0 * 250}")
        kept = process.get("/api/v1/streams/s-1")
        everything = replayed(topics, tmp_path, "--stream", "s-1", "--from", "@1000000")
    assert shown["first_offset"] == 0
    assert shown["memory"]["events"] == 250
    assert len(shown["results"]) == EVENTS - 250
    assert [one["then"]["score"] for one in shown["anomalies"]] == [
        one["score"] for one in shown["anomalies"]
    ]
    assert shown["anomalies"]
    assert everything["memory"] == kept
    place = TopicPartition(topics.events, shown["partition"])
    first = next(
        one.offset
        for one in read(topics.servers, topics.events, place.partition)
        if one.key == b"s-1" and json.loads(one.value)["time"] >= 1.7e9 + 60.0 * 100
    )
    with closing(KafkaAdminClient(bootstrap_servers=topics.servers)) as admin:
        admin.delete_records({place: first})  # as retention does
    later = replayed(topics, tmp_path, "--stream", "s-1", "--from", f"{1.7e9 + 60.0 * 250}")
    assert later["first_offset"] == first
    assert later["memory"]["events"] == 150


def test_a_stream_goes_back_in_its_own_topic_whichever_others_are_there(
    topics: Names, tmp_path: Path
) -> None:
    """Of the same key in two topics, which is two streams; a third topic is not there."""
    other = f"{topics.events}.other"
    with closing(KafkaAdminClient(bootstrap_servers=topics.servers)) as admin:
        admin.create_topics({other: {"num_partitions": 1, "configs": FOR_EVER}})
    produce(topics, sines(1, 60))
    produce(replace(topics, events=other), sines(1, 100))
    told = [f"{topics.events}.absent", topics.events, other]
    environment = topics.environment(WAKEFUL_KAFKA__TOPICS=json.dumps(told))
    arguments = ("serve", "--data-dir", str(tmp_path / "d"), "--port", "0")
    with wakeful(*arguments, environment=environment) as process:

        def events() -> list[int]:
            return sorted(one["events"] for one in process.get("/api/v1/streams")["items"])

        process.wait_for(lambda: events() == [60, 100], "everything read")
        spoken = process.get("/api/v1/streams/s-0")["events"]
        to = json.dumps({"time": str(1.7e9 + 60.0 * 30)}).encode()
        assert process.post("/api/v1/streams/s-0/rewind", to)["whole"]
        assert events() == [30, 160 - spoken]
    given = ["--stream", "s-0", "--out", str(tmp_path), "--data-dir", str(tmp_path / "d")]
    result = CliRunner(env=environment).invoke(main, ["replay", *given])
    assert result.exit_code == 0, result.output
