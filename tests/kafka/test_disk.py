"""A full disk where events come from Kafka: it is said, and nothing is lost."""

import json
import resource
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer

from tests.kafka.topics import Names, made_topics, read
from tests.processes import Wakeful


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux alone limits another process")
def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(
    bootstrap_servers: str, tmp_path: Path
) -> None:
    arguments = ("serve", "--data-dir", str(tmp_path), "--port", "0")
    with made_topics(bootstrap_servers, f"t{uuid.uuid4().hex[:10]}", 1) as topics:
        process = Wakeful(*arguments, environment=topics.environment())
        try:
            process.wait_ready()
            unlimited = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
            reject(topics, 300)
            process.wait_for(lambda: "with room" in said(process), "it says so")
            process.wait_for(lambda: "with room" in "".join(process.log()), "so does the log")
            assert process.get("/livez") == {"status": "ok"}
            resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, unlimited)
            process.wait_for(lambda: len(process.pages("/api/v1/dead-letters")) == 300, "all kept")
            process.wait_ready()
            process.wait_for(lambda: len(read(topics.servers, topics.dead_letters)) == 300, "told")
        finally:
            process.stop()


def reject(topics: Names, count: int) -> None:
    """Records that take room in the history, as they cannot be scored."""
    with closing(KafkaProducer(bootstrap_servers=topics.servers, linger_ms=20)) as producer:
        for n in range(count):
            value = json.dumps({"value": f"{n}" * 1000}).encode()
            producer.send(topics.events, value, b"s")
        producer.flush()


def said(process: Wakeful) -> str:
    return str(process.get("/readyz?verbose")["waiting_for"])
