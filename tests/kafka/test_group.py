"""Several instances are one service: whoever is asked answers about any stream."""

import json
import socket
import subprocess
import sys
import urllib.error
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kafka import KafkaProducer

from tests.faults.fleet import Fleet, fleet
from tests.kafka.topics import Names, made_topics
from tests.processes import Wakeful

STREAMS = [f"s-{n}" for n in range(40)] + ["with/slash and space", "é"]


@pytest.fixture
def names(bootstrap_servers: str) -> Iterator[Names]:
    with made_topics(bootstrap_servers, f"g{uuid.uuid4().hex[:10]}", 4) as made:
        filled(made)
        yield made


@pytest.fixture(scope="module")
def two(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two instances that have read everything, and have come to rest."""
    with made_topics(bootstrap_servers, f"g{uuid.uuid4().hex[:10]}", 4) as made:
        filled(made)
        with fleet(made, tmp_path_factory.mktemp("two"), range(2)) as workers:
            wait_at_rest(workers)
            yield workers


def wait_at_rest(workers: Fleet) -> None:
    for worker in workers.workers.values():
        worker.wait_for(lambda w=worker: w.metric("wakeful_streams") > 0, "partitions")  # type: ignore[misc]
    workers.wait_scored()
    workers.workers[0].wait_for(lambda: streams_of(workers) == len(STREAMS), "all memories")


def filled(names: Names) -> None:
    """Three events of each stream."""
    with closing(KafkaProducer(bootstrap_servers=names.servers)) as producer:
        for n in range(3):
            for stream in STREAMS:
                event = {"time": 1.7e9 + 60 * n, "value": float(n)}
                producer.send(names.events, json.dumps(event).encode(), stream.encode())
        producer.flush()


def listed(worker: Wakeful, limit: int) -> list[str]:
    """All pages of streams."""
    found: list[str] = []
    cursor = ""
    while True:
        page = worker.get(f"/api/v1/streams?limit={limit}{cursor}")
        assert page["unreachable"] == []
        found += [item["stream"] for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={quote(page['next_cursor'])}"


def streams_of(workers: Fleet) -> float:
    """Those of partitions that have come to rest."""
    return sum(worker.metric("wakeful_streams") for worker in workers.workers.values())


def test_every_instance_answers_about_every_stream(two: Fleet) -> None:
    for worker in two.workers.values():
        for stream in STREAMS:  # while a partition moves, the answer is to try again
            worker.wait_for(lambda w=worker, s=stream: events_of(w, s) == 3, stream)  # type: ignore[misc]
        worker.wait_for(lambda w=worker: about(w, "nobody")["status"] == 404, "nobody")  # type: ignore[misc]
        for stream in STREAMS[-2:]:
            gates = worker.get(f"/api/v1/streams/{quote(stream, safe='')}/gates")
            assert gates["times"] == [1.7e9, 1.7e9 + 60, 1.7e9 + 120]
        assert worker.get("/api/v1/streams/nobody/gates")["status"] == 404
        assert listed(worker, 5) == listed(worker, 1000) == sorted(STREAMS)


def about(worker: Wakeful, stream: str) -> dict[str, Any]:
    return worker.get(f"/api/v1/streams/{quote(stream, safe='')}")


def events_of(worker: Wakeful, stream: str) -> int | None:
    return about(worker, stream).get("events")


def test_what_the_instance_that_has_a_stream_refuses_is_what_the_caller_hears(two: Fleet) -> None:
    for worker in two.workers.values():
        for stream in STREAMS[:5]:
            worker.wait_for(lambda w=worker, s=stream: events_of(w, s) == 3, stream)  # type: ignore[misc]
            path = f"/api/v1/streams/{quote(stream, safe='')}/feedback"
            with pytest.raises(urllib.error.HTTPError) as refused:
                worker.post(path, b'{"kind": "false"}')
            with refused.value as error:
                assert (error.code, json.load(error)["detail"]) == (
                    400,
                    "episode: say which one was no anomaly",
                )


def test_a_mute_is_every_instances(two: Fleet) -> None:
    one, other = two.workers.values()
    for worker in (one, other):  # each is known to the other
        worker.wait_for(lambda w=worker: len(listed(w, 100)) == len(STREAMS), "all")  # type: ignore[misc]
    made = one.post("/api/v1/mutes", b'{"pattern": "s-*"}')
    assert made.pop("unreachable") == []
    (known,) = other.get("/api/v1/mutes")["items"]
    assert {**known, "made": made["made"]} == made
    removed = other.delete(f"/api/v1/mutes/{made['id']}")
    assert (removed["id"], removed["unreachable"]) == (made["id"], [])
    assert one.get("/api/v1/mutes")["items"] == other.get("/api/v1/mutes")["items"] == []


def test_an_instance_that_is_gone_is_named(names: Names, tmp_path: Path) -> None:
    """As long as its partitions are still its own."""
    with fleet(replace(names, session_seconds=30.0), tmp_path, range(2)) as workers:
        wait_at_rest(workers)
        gone = workers.workers[0].address
        workers.kill(0)
        page = workers.workers[1].get("/api/v1/streams")
        assert page["unreachable"] == [gone]
        here = {item["stream"] for item in page["items"]}
        assert len(here) == workers.workers[1].metric("wakeful_streams")
        lost = about(workers.workers[1], next(s for s in STREAMS if s not in here))
        assert lost["status"] == 503
        assert gone in lost["detail"]


def test_workers_of_one_command_share_the_partitions(names: Names, tmp_path: Path) -> None:
    port = free_ports(2)
    arguments = ("serve", "--workers", "2", "--data-dir", str(tmp_path), "--port", str(port))
    parent = Wakeful(*arguments, environment=names.environment())
    try:
        parent.wait_for(lambda: listening(parent, port, 2), "both listen")
        parent.wait_for(lambda: sorted(listed_by(parent, port)) == sorted(STREAMS), "all is read")
    finally:
        assert parent.stop() == 0


def free_ports(count: int) -> int:
    """The first of so many, one after the other, below those that the system gives away."""
    for first in range(20_000, 30_000, count):
        with ExitStack() as held, suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no ports are free")


def listening(parent: Wakeful, first: int, count: int) -> bool:
    """Whether each of the workers has streams of its own."""
    try:
        for port in range(first, first + count):
            parent.address = f"http://127.0.0.1:{port}"
            if not parent.metric("wakeful_streams"):
                return False
    except OSError:
        return False
    return True


def listed_by(parent: Wakeful, port: int) -> list[str]:
    parent.address = f"http://127.0.0.1:{port}"
    return listed(parent, 1000)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "kafka.bootstrap_servers"),
        ({"WAKEFUL_KAFKA__OPTIONS": '{"group.instance.id": "a"}'}, "one worker's only"),
        ({"WAKEFUL_API__ADVERTISE": "http://here:1"}, "one by one"),
    ],
)
def test_what_workers_cannot_share_is_refused(
    environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    servers = {"WAKEFUL_KAFKA__BOOTSTRAP_SERVERS": "localhost:1"} if environment else {}
    ended = subprocess.run(
        [sys.executable, "-m", "service", "serve", "--workers", "2", "--data-dir", str(tmp_path)],
        env={**environment, **servers}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert said in ended.stderr
