"""What a stream's memory kept and let go is told of events that are kept, and of no others."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from model.artifact import BASE, Artifact
from model.gates import gates_of
from service.api import gates as route
from tests.model.conftest import JOINT, export, small
from tests.service.parts import wave
from tests.service.test_api import post, running

NAME = "a%2Fb"
EVENTS = [json.loads(event) for event in wave(700, "a/b", spikes=[650])]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    for _, made in running(tmp_path):
        yield made


def told(client: TestClient, **query: Any) -> Any:
    return client.get(f"/api/v1/streams/{NAME}/gates", params=query).json()


def test_gates_are_those_of_the_streams_values(client: TestClient) -> None:
    post(client, EVENTS)
    start, end = EVENTS[600]["time"], EVENTS[680]["time"]
    body = told(client, start=start, end=end)
    assert (body["stream"], body["feature"], body["features"]) == ("a/b", "value", ["value"])
    assert (body["warm_up"], body["truncated"]) == (500, False)
    assert body["times"] == [event["time"] for event in EVENTS[600:680]]
    part = EVENTS[100:680]
    times = np.array([event["time"] for event in part], np.float64)
    values = np.array([[event["value"]] for event in part])
    expected = gates_of(Artifact(BASE), times, values, 604800.0)
    assert expected is not None
    assert [one["events"] for one in body["resolutions"]] == [1, 24]
    for found, gates in zip(body["resolutions"], expected, strict=True):
        for name in ("forget", "input", "output", "kept", "written"):
            column = np.array(found[name], np.float64)  # null is NaN
            np.testing.assert_allclose(column, getattr(gates, name)[-80:], atol=0.02)


def test_there_are_no_more_than_it_says(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "MOST_EVENTS", 100)
    post(client, EVENTS)
    body = told(client)
    assert (body["truncated"], body["warm_up"], len(body["times"])) == (True, 500, 100)
    assert body["times"][-1] == EVENTS[-1]["time"]
    early = told(client, end=EVENTS[50]["time"])
    assert (early["truncated"], early["warm_up"], len(early["times"])) == (False, 0, 50)


def test_one_feature_of_several_is_asked_for(client: TestClient) -> None:
    post(client, [{**event, "other": -event["value"]} for event in EVENTS[:100]])
    assert told(client)["features"] == ["value", "other"]
    assert told(client, feature="other")["feature"] == "other"
    refused = told(client, feature="third")
    assert refused["status"] == 404
    assert "of value, other" in refused["detail"]


def test_where_there_is_nothing_it_says_so(client: TestClient) -> None:
    post(client, EVENTS[:20])
    assert client.get("/api/v1/streams/nobody/gates").status_code == 404
    assert told(client, start=EVENTS[30]["time"])["status"] == 404
    assert told(client, start="noon")["status"] == 400


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_network_that_reads_all_features_has_one_run(tmp_path: Path, cell: Any) -> None:
    folder = export(small(JOINT, cell), tmp_path / "artifact").artifact.folder
    for _, client in running(tmp_path / "data", detectors={"default": {"artifact": folder}}):
        rows = np.random.default_rng(1).normal(size=(60, 3)).tolist()
        events = [
            {"stream": "a/b", "time": 1.7e9 + 60 * i, **dict(zip(JOINT, row, strict=True))}
            for i, row in enumerate(rows)
        ]
        post(client, events)
        body = told(client)
        if cell == "lstm":
            assert (body["feature"], body["features"], len(body["times"])) == (None, [], 60)
            assert told(client, feature="a")["status"] == 400
        else:
            assert body["status"] == 404
            assert "gru" in body["detail"]
