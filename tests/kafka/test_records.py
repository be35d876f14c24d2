"""What a record may be like: compressed in every way, without a key or a value, with headers."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from tests.kafka.topics import TRACE, Names, made_topics, read
from tests.processes import wakeful

COMPRESSIONS = (None, "gzip", "snappy", "lz4", "zstd")


@pytest.fixture
def topics(bootstrap_servers: str) -> Iterator[Names]:
    with made_topics(bootstrap_servers, f"t{uuid.uuid4().hex[:10]}", 1) as made:
        yield made


def test_compressed_records_are_scored_and_their_headers_told_of_with_what_was_found(
    topics: Names, tmp_path: Path
) -> None:
    """Of each compression a stream with a spike; then a record without key, whose body names its
    stream, one that nothing names, and a tombstone: nothing is dropped, and the header that is
    carried is the record's own."""
    events = 0
    for compression in COMPRESSIONS:
        with closing(
            KafkaProducer(
                bootstrap_servers=topics.servers, compression_type=compression, linger_ms=50
            )
        ) as producer:
            for n in range(200):
                value = 1000.0 if n == 199 else float(n % 10)
                event = json.dumps({"time": 1.7e9 + 60.0 * n, "value": value}).encode()
                own = (*TRACE, ("own", f"{compression}:{n}".encode()))
                producer.send(topics.events, event, str(compression).encode(), list(own))
                events += 1
            body = json.dumps({"stream": "named", "time": 1.7e9 + 60.0 * events, "value": 1})
            producer.send(topics.events, body.encode(), headers=TRACE)
            nobodys = [*TRACE, ("own", str(compression).encode())]
            producer.send(topics.events, b'{"value": 1}', headers=nobodys)
            producer.send(topics.events, None, b"gone", headers=nobodys)
            events += 3
            producer.flush()
    arguments = ("serve", "--data-dir", str(tmp_path), "--port", "0")
    with wakeful(*arguments, environment=topics.environment()) as process:
        process.wait_for(lambda: process.metric("wakeful_records_total") >= events, "read")
        process.wait_delivered()
        streams = {s["stream"]: s["events"] for s in process.pages("/api/v1/streams")}
    assert streams == {**{str(c): 200 for c in COMPRESSIONS}, "named": len(COMPRESSIONS)}

    anomalies = [
        (json.loads(one.value), dict(one.headers)) for one in told(topics.anomalies, topics)
    ]
    assert {anomaly["stream"] for anomaly, _ in anomalies} >= set(map(str, COMPRESSIONS))
    for anomaly, headers in anomalies:
        n = round((datetime.fromisoformat(anomaly["time"]).timestamp() - 1.7e9) / 60.0)
        assert headers["own"] == f"{anomaly['stream']}:{n}".encode()
    letters = [dict(one.headers) for one in told(topics.dead_letters, topics)]
    assert sorted((one["wakeful.reason"], one["own"]) for one in letters) == sorted(
        (reason, str(compression).encode())
        for reason in (b"missing_key", b"malformed_json")
        for compression in COMPRESSIONS
    )


def told(topic: str, topics: Names) -> list[Any]:
    """All records of a topic, which all carry the trace."""
    records = read(topics.servers, topic)
    assert all(one.headers[0] == TRACE[0] for one in records)
    return records
