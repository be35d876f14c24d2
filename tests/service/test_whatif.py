"""What events would come to, were they a stream's next ones: the same, and nothing changes."""

import json
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.service.parts import make_pipeline, raw_batch, wave
from tests.service.test_api import post, running


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    for _, made in running(tmp_path):
        yield made


EVENTS = [json.loads(event) for event in wave(430, spikes=[425])]


def supposed(client: TestClient, stream: str, body: Any) -> Any:
    return client.post(f"/api/v1/streams/{stream}/whatif", json=body).json()


def test_what_is_supposed_scores_as_what_comes(client: TestClient) -> None:
    post(client, EVENTS[:420])
    before = client.get("/api/v1/streams/s").json()
    found = supposed(client, "s", EVENTS[420:])
    assert found == supposed(client, "s", EVENTS[420:])
    assert client.get("/api/v1/streams/s").json() == before
    assert client.get("/api/v1/anomalies").json()["items"] == []
    came = post(client, EVENTS[420:])
    assert found == came
    assert [result["anomalous"] for result in came["results"]].index(True) == 5


def test_what_would_be_rejected_says_why(client: TestClient) -> None:
    post(client, EVENTS[:60])
    found = supposed(client, "s", [{"value": "high"}, EVENTS[59], 3, EVENTS[60]])
    assert found["accepted"] == 1
    assert [one["reason"] for one in found["rejected"]] == [
        "no_features", "repeated", "malformed_json",
    ]  # fmt: skip


def test_of_a_stream_that_is_not_known_nothing_is_supposed(client: TestClient) -> None:
    post(client, EVENTS[:1])
    assert supposed(client, "nobody", EVENTS[0])["status"] == 404
    assert client.get("/api/v1/streams/nobody").status_code == 404


def test_scoring_goes_on_between_questions() -> None:
    """However many there are: each time those that have come until then."""
    pipeline, collected = make_pipeline([raw_batch(wave(5)), raw_batch(wave(5, "t"), 5)])
    pipeline.restore()
    asked: list[Future[int]] = []

    def ask() -> int:
        asked.append(pipeline.ask(ask))  # nobody ever stops asking
        return collected.scored

    asked.append(pipeline.ask(ask))
    for _ in range(2):
        pipeline.run_once()
    assert collected.scored == 10
    assert len(asked) < 10


def test_too_much_is_refused(client: TestClient) -> None:
    post(client, EVENTS[:1])
    assert supposed(client, "s", [EVENTS[1]] * 1001)["status"] == 413
    reply = client.post("/api/v1/streams/s/whatif", content=b"{")
    assert reply.json()["status"] == 400
