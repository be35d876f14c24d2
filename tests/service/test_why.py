"""Why an event was an anomaly: what would have been normal, and when it was like this before."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.api.elsewhere import FORWARDED, Elsewhere
from service.clock import parse_time
from tests.service.parts import wave
from tests.service.test_api import post, running

EVENTS = [json.loads(event) for event in wave(430, "a/b", spikes=[425])]


def why(client: TestClient, name: str) -> Any:
    reply = client.get(f"/api/v1/anomalies/{quote(name, safe='')}/why")
    assert reply.status_code == 200, reply.text
    return reply.json()


def newest(client: TestClient) -> Any:
    return client.get("/api/v1/anomalies").json()["items"][0]


def supposed(client: TestClient, event: Any, **values: float) -> float:
    """What it would score next."""
    path = f"/api/v1/streams/{quote(event['stream'], safe='')}/whatif"
    (result,) = client.post(path, json={**event, **values}).json()["results"]
    return float(result["score"])


def test_the_nearest_normal_value_is_normal_to_the_memory_of_then(tmp_path: Path) -> None:
    """To within what values are rounded to where they are kept: a 64th of a spread."""
    event = EVENTS[425]
    for _, client in running(tmp_path):
        post(client, EVENTS[:425])
        before = supposed(client, event)
        for past in (EVENTS[424], EVENTS[200]):
            assert supposed(client, event, value=past["value"]) < 1.0
        post(client, EVENTS[425:426])
        anomaly = newest(client)
        assert anomaly["score"] == before
        told = why(client, anomaly["id"])
    assert (told["feature"], told["events"], told["unseen"]) == ("value", 425, True)
    (one,) = told["counterfactual"]["features"]
    assert one["actual"] == event["value"]
    assert one["nearest"] == one["high"] < one["actual"]
    assert told["counterfactual"]["says"].startswith("value would have been normal from ")
    band = anomaly["features"]["value"]["high"] - anomaly["features"]["value"]["low"]
    for _, client in running(tmp_path / "then"):
        post(client, EVENTS[:425])
        for edge, out in ((one["low"], -1), (one["high"], 1)):
            assert supposed(client, event, value=edge - out * 0.02 * band) < 1.0
            assert supposed(client, event, value=edge + out * 0.02 * band) >= 1.0


def test_what_would_be_normal_is_known_too_where_the_threshold_was_lowered(tmp_path: Path) -> None:
    events = [dict(event) for event in EVENTS]
    events[350]["value"] += 5.0  # odd, and no anomaly
    for _, client in running(tmp_path):
        post(client, events[:420])
        path = f"/api/v1/streams/{quote('a/b', safe='')}/feedback"
        missed = {"kind": "missed", "time": str(events[350]["time"] - 1), "seconds": 2}
        assert client.post(path, json=missed).status_code == 200
        post(client, events[420:426])
        told = why(client, newest(client)["id"])
    assert told["unknown"] is None
    (one,) = told["counterfactual"]["features"]
    assert one["nearest"] == one["high"] < one["actual"]


def test_a_time_that_was_like_this_is_found_and_says_how_it_was(tmp_path: Path) -> None:
    """A form that came before, at another level and in another scale, both times with a spike."""
    random = np.random.default_rng(1)
    values = random.normal(0.0, 1.0, 500)
    form = np.r_[np.cumsum(random.normal(0.0, 0.5, 31)), 30.0]
    values[200:232] = 2.0 * form - 3.0
    values[468:] = form
    events = [{"stream": "s", "time": 1.7e9 + 60 * i, "x": x} for i, x in enumerate(values)]
    for _, client in running(tmp_path):
        post(client, events)
        anomaly = newest(client)
        assert anomaly["offset"] == 499
        told = why(client, anomaly["id"])
        window = {"start": 1.7e9 + 60 * 200, "end": 1.7e9 + 60 * 232}
        curves = client.get("/api/v1/streams/s/scores", params=window).json()
    first = told["similar"][0]
    assert parse_time(first["start"]) == curves["times"][0]
    assert parse_time(first["end"]) == curves["times"][-1]
    assert first["distance"] < 0.1
    assert first["score"] == pytest.approx(max(curves["scores"]), abs=1e-3)
    assert first["anomalous"]
    assert told["unseen"] is False


def test_where_the_memory_was_of_other_events_nothing_is_guessed(tmp_path: Path) -> None:
    """A stream began anew: its values go further back than its memory did."""
    for _, client in running(tmp_path):
        post(client, EVENTS[:150])
        assert client.post("/api/v1/streams/a%2Fb/reset").status_code == 200
        post(client, [*EVENTS[150:425], {**EVENTS[425], "value": 500.0}])
        told = why(client, newest(client)["id"])
        assert told["counterfactual"] is None
        assert "worked out again from the values that are kept, its " in told["unknown"]


def test_features_that_were_off_together_are_changed_together(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    values = random.normal(50.0, 1.0, (300, 3))
    values[299, :2] += 40.0
    names = ("cpu", "latency", "users")
    events = [
        {"stream": "s", "time": 1.7e9 + 60 * i, **dict(zip(names, row.tolist(), strict=True))}
        for i, row in enumerate(values)
    ]
    for _, client in running(tmp_path):
        post(client, events[:299])
        post(client, events[299:])
        told = why(client, newest(client)["id"])
        features = told["counterfactual"]["features"]
        assert {"cpu", "latency"} <= {one["feature"] for one in features}
        assert all(one["low"] is None and one["high"] is None for one in features)
        assert "and the rest as it was" in told["counterfactual"]["says"]


def test_what_would_be_usual_at_that_time_is_said_once_it_is_learnt(tmp_path: Path) -> None:
    """Of a stream with a day's course, a value that would be normal twelve hours later."""
    random = np.random.default_rng(3)
    n, half_hours = 48 * 12 + 6, 2 * np.pi / 48
    course = 100.0 + 40.0 * np.sin(half_hours * np.arange(n))
    values = course + random.normal(0.0, 1.0, n)
    values[-1] = 200.0 - course[-1] + 60.0
    events = [{"stream": "s", "time": 1.7e9 + 1800 * i, "x": x} for i, x in enumerate(values)]
    for _, client in running(tmp_path):
        post(client, events)
        anomaly = newest(client)
        assert anomaly["offset"] == n - 1
        usual = {one["of"]: one for one in why(client, anomaly["id"])["usual"]}
        first = client.get("/api/v1/anomalies?limit=1000").json()["items"][-1]
        early = why(client, first["id"])["usual"] if first["offset"] < 48 else []
    assert usual["day"]["value"] == pytest.approx(course[-1], abs=5.0)
    assert 0.0 < usual["day"]["deviation"] < 10.0
    assert early == []


def test_of_an_anomaly_that_nobody_knows_nothing_is_told(tmp_path: Path) -> None:
    for _, client in running(tmp_path):
        reply = client.get("/api/v1/anomalies/default:log:0:1/why")
        assert reply.status_code == 404
        assert "no anomaly" in reply.json()["detail"]


def test_where_its_values_are_elsewhere_they_are_asked_for_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first that is asked; who is asked by another instance answers for itself alone."""
    for service, client in running(tmp_path):
        post(client, EVENTS[:426])
        name = newest(client)["id"]
        here = why(client, name)
        monkeypatch.setattr(service.curves, "kept", lambda *_: None)
        alone = why(client, name)
        assert "are not kept here" in alone["unknown"]
        assert (alone["unseen"], alone["similar"], alone["events"]) == (None, [], 0)
        forwarded = client.get(f"/api/v1/anomalies/{name}/why", headers={FORWARDED: "1"})
        assert forwarded.status_code == 404
        monkeypatch.setattr(Elsewhere, "find", lambda *_, there=here: there)
        assert why(client, name) == here
