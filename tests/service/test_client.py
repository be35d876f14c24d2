"""The client that ships, on a running service."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.bootstrap import Service
from service.client import ApiError, Client
from tests.service.parts import wave
from tests.service.test_api import running

NAME = "web/1 é?#"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Service, Client]]:
    for service, http in running(tmp_path):
        client = Client(http=http)
        client.send(map(json.loads, wave(400, NAME, spikes=[350])), scores=True)
        yield service, client


def test_it_sends_asks_and_remarks(served: tuple[Service, Client]) -> None:
    _, client = served
    sent = client.send([{"stream": "b", "value": 1}, {"value": 2}], scores=True)
    assert (sent["accepted"], len(sent["rejected"])) == (1, 1)
    assert [one["stream"] for one in client.streams()] == ["b", NAME]
    assert [one["stream"] for one in client.streams(search="WEB")] == [NAME]
    assert client.stream(NAME)["events"] == 400
    assert len(client.scores(NAME, points=5000)["times"]) == 400
    assert len(client.gates(NAME, feature="value")["times"]) == 400
    (episode,) = client.episodes()
    assert client.why(episode["peak"])["unseen"]
    assert client.remark(episode["id"], acknowledged=True)["acknowledged"]
    assert [one["id"] for one in client.episodes(acknowledged=True)] == [episode["id"]]
    said = client.say(NAME, "false", episode=episode["id"])
    assert client.stream(NAME)["tolerated"] > 0.0
    assert client.take_back(NAME, said["id"])["undone"]
    assert [one["id"] for one in client.feedback(stream=NAME)] == [said["id"]]
    assert [one["reason"] for one in client.dead_letters()] == ["missing_key"]
    assert [one["streams"] for one in client.incidents()] == [[NAME]]
    assert client.now()["ready"]
    assert client.reset(NAME)["stream"] == NAME


def test_all_pages_are_read_and_a_limit_is_kept(served: tuple[Service, Client]) -> None:
    _, client = served
    client.send([{"stream": f"s{n:04}", "value": 1} for n in range(1100)], scores=True)
    assert len(list(client.streams())) == 1101
    assert len(list(client.streams(limit=7))) == 7


def test_what_happens_is_heard(served: tuple[Service, Client]) -> None:
    service, client = served
    service.live.close()
    heard = list(client.live(f"{service.live.run}-0"))
    assert {name for _, name, _ in heard} == {"anomaly", "episode"}
    again = list(client.live(heard[0][0]))
    assert again == heard[1:]


def test_a_refusal_says_what_is_wrong(served: tuple[Service, Client]) -> None:
    _, client = served
    with pytest.raises(ApiError, match="404: detector default has no stream 'nobody'"):
        client.stream("nobody")
    with pytest.raises(ApiError, match="no detector 'none'"):
        list(client.streams(detector="none"))
