"""Mutes and rules: what they silence, and that they change nothing else."""

import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import SettingsError, Unavailable
from service.memory.store import InMemoryStore
from service.mutes import PERIODS, Mute, Mutes
from service.patterns import expression
from service.records import Names
from service.settings.detector import DetectorSettings
from service.settings.loading import load_settings
from tests.service.parts import Collected, events, make_pipeline, raw_batch, wave
from tests.service.test_api import NDJSON, post, running

SPIKE, MINUTE, START = 350, 60.0, 1.7e9
LINES = wave(620, spikes=[SPIKE, 550])
ROW: dict[str, Any] = {
    "detector": None, "stream": None, "pattern": None, "features": [], "start": None, "end": None,
    "every": None,
}  # fmt: skip


def mutes_of(*rows: dict[str, Any]) -> Mutes:
    mutes = Mutes(lambda: [{**ROW, **row} for row in rows])
    mutes.reload()
    return mutes


def scored(
    mutes: Sequence[dict[str, Any]] = (), rules: dict[str, Any] | None = None
) -> tuple[Collected, list[dict[str, Any]]]:
    """What came of LINES: the sink, and changes of episodes."""
    settings = DetectorSettings.model_validate({"rules": rules or {}})
    pipeline, sink = make_pipeline([raw_batch(LINES)], settings=settings, mutes=mutes_of(*mutes))
    pipeline.run()
    return sink, [dict(one) for delivery in sink.deliveries for one in delivery.episodes]


PLAIN, PLAIN_EPISODES = scored()


def test_what_is_muted_is_scored_as_ever_and_alarms_nobody() -> None:
    """Nothing but alarms and episodes differs; the next spike alarms, as the first one did not."""
    sink, episodes = scored([{"stream": "s", "end": START + MINUTE * (SPIKE + 1)}])
    assert [a["offset"] for a in sink.anomalies] == [a["offset"] for a in PLAIN.anomalies]
    for muted, plain in zip(sink.anomalies, PLAIN.anomalies, strict=True):
        told = {**muted, "alarm": plain["alarm"], "suppressed": None}
        assert told == plain
        assert muted["suppressed"] == ("mute" if muted["offset"] <= SPIKE else None)
    assert not any(a["alarm"] for a in sink.anomalies if a["offset"] <= SPIKE)
    assert {one["id"] for one in PLAIN_EPISODES} == {"default:events:0:350", "default:events:0:550"}
    assert {one["id"] for one in episodes} == {"default:events:0:550"}


@pytest.mark.parametrize(
    ("mute", "silent"),
    [
        ({}, True),
        ({"pattern": "?"}, True),
        ({"pattern": "*s"}, True),
        ({"pattern": "s?"}, False),
        ({"stream": "S"}, False),
        ({"detector": "other"}, False),
        ({"detector": "default"}, True),
        ({"features": ["value"]}, True),
        ({"features": ["other"]}, False),
        ({"start": START + MINUTE * SPIKE}, True),
        ({"start": START + MINUTE * SPIKE + 1}, False),
        ({"end": START + MINUTE * SPIKE}, False),
        ({"start": START - 864000, "end": START - 864000 + 86400, "every": "day"}, True),
        ({"start": START - 864000, "end": START - 864000 + MINUTE * SPIKE, "every": "day"}, False),
    ],
)
def test_whose_and_when(mute: dict[str, Any], silent: bool) -> None:
    sink, _ = scored([mute])
    (spike,) = [a for a in sink.anomalies if a["offset"] == SPIKE]
    assert (spike["alarm"], spike["suppressed"]) == (not silent, "mute" if silent else None)


@pytest.mark.parametrize(
    ("rule", "suppressed"),
    [
        ({"least_deviation": 100.0}, "rule"),
        ({"least_deviation": 1.0}, None),
        ({"normal": [-100, 100]}, "rule"),
        ({"normal": [None, 100]}, "rule"),
        ({"normal": [None, 10]}, None),
        ({"limits": [None, 20]}, None),
        ({"normal": [-100, 100], "limits": [-20, 20]}, None),
    ],
)
def test_rules_of_a_feature(rule: dict[str, Any], suppressed: str | None) -> None:
    sink, _ = scored(rules={"value": rule})
    (spike,) = [a for a in sink.anomalies if a["offset"] == SPIKE]
    assert spike["suppressed"] == suppressed
    assert spike["alarm"] == (suppressed is None)
    plain = next(a for a in PLAIN.anomalies if a["offset"] == SPIKE)
    assert spike["score"] == plain["score"]
    beyond = rule["limits"][1] if "limits" in rule else None
    assert spike["features"] == {"value": {**plain["features"]["value"], "limit": beyond}}


def test_a_value_outside_its_limits_opens_an_episode_that_says_so() -> None:
    sink, episodes = scored(rules={"value": {"limits": [None, 9.5]}})
    values = [json.loads(line)["value"] for line in LINES]
    outside = {n for n, value in enumerate(values) if value > 9.5}
    told = {a["offset"]: a for a in sink.anomalies}
    assert outside <= set(told)
    assert len(outside) > len(PLAIN.anomalies)
    first = told[min(outside)]
    assert (first["score"], first["alarm"], first["severity"]) == (1.0, True, "minor")
    assert "above its limit of 9.5" in first["why"]
    assert first["features"]["value"]["limit"] == 9.5
    assert episodes[0]["id"] == first["id"]


def test_what_a_rule_says_does_not_matter_is_not_to_blame() -> None:
    """Beside another feature that is: it has no share, and the episode names the other first."""
    lines = [{**json.loads(line), "other": 3.0 * json.loads(line)["value"]} for line in LINES]
    settings = DetectorSettings.model_validate({"rules": {"other": {"least_deviation": 1e3}}})
    plain, ruled = (
        make_pipeline([raw_batch(events(lines))], settings=rules)
        for rules in (DetectorSettings(), settings)
    )
    for pipeline, _ in (plain, ruled):
        pipeline.run()
    before, after = (
        next(a for a in sink.anomalies if a["offset"] == SPIKE)["features"]
        for _, sink in (plain, ruled)
    )
    assert before["other"]["share"] == pytest.approx(0.5, abs=0.2)
    assert (after["other"]["share"], after["value"]["share"]) == (0.0, 1.0)
    assert before["other"]["actual"] == after["other"]["actual"]


def test_a_crash_after_a_mute_changes_nothing() -> None:
    """The mute comes between two checkpoints: what is read again meets what it met before."""
    kept: list[dict[str, Any]] = []
    batches = [raw_batch(LINES[:300]), raw_batch(LINES[300:], first_offset=300)]

    def run(store: InMemoryStore, crash: bool) -> list[dict[str, Any]]:
        mutes = Mutes(lambda: kept)
        pipeline, sink = make_pipeline(batches, store, mutes=mutes)
        pipeline.restore()
        while not pipeline.source.finished:
            pipeline.run_once()
            if pipeline.positions.get(("events", 0)) == 300 and not kept:
                pipeline.change_mutes(lambda: kept.append({**ROW, "stream": "s"}))
        if not crash:
            pipeline.checkpoint()
        return sink.anomalies

    store = InMemoryStore()
    first = run(store, crash=True)
    again = run(store, crash=False)
    assert [a for a in first if a["offset"] >= 300] == again
    assert any(a["suppressed"] == "mute" for a in again)


def test_mutes_that_cannot_be_read_stay_as_they_were() -> None:
    answers: Iterator[list[dict[str, Any]] | None] = iter([[{**ROW, "stream": "s"}], None])

    def read() -> list[dict[str, Any]]:
        answer = next(answers)
        if answer is None:
            raise Unavailable("away")
        return answer

    mutes = Mutes(read)
    for _ in range(2):
        mutes.reload()
        muted = mutes.of("default", Names.of(["s", "t"]), np.zeros(2), ("value",))
        assert muted is not None
        assert muted.tolist() == [[True], [False]]


def test_nothing_is_scored_before_the_mutes_are_known() -> None:
    """The database is away at first: the start waits for it."""
    answers: Iterator[list[dict[str, Any]] | None] = iter([None, None])

    def read() -> list[dict[str, Any]]:
        if next(answers, ROW) is None:
            raise Unavailable("away")
        return [{**ROW, "stream": "s"}]

    pipeline, sink = make_pipeline([raw_batch(LINES)], mutes=Mutes(read))
    pipeline.run()
    assert {a["suppressed"] for a in sink.anomalies} == {"mute"}


@settings(deadline=None)
@given(st.text(alphabet="ab*?.", max_size=6), st.text(alphabet="ab*?.\n", max_size=6))
def test_a_pattern_is_of_stars_and_question_marks_alone(pattern: str, name: str) -> None:
    def fits(p: str, n: str) -> bool:
        if not p:
            return not n
        if p[0] == "*":
            return any(fits(p[1:], n[k:]) for k in range(len(n) + 1))
        return bool(n) and p[0] in ("?", n[0]) and fits(p[1:], n[1:])

    assert (expression(pattern).fullmatch(name) is not None) == fits(pattern, name)


whole = st.integers(0, 3000).map(float)


@settings(deadline=None)
@given(whole, whole, st.sampled_from([None, "day", "week"]), st.lists(whole, min_size=1))
def test_a_window_is_from_its_start_until_before_its_end(
    start: float, length: float, every: Any, times: list[float]
) -> None:
    scale = 86_400.0 / 1000.0
    mute = Mute.of({**ROW, "start": start * scale, "end": (start + length) * scale, "every": every})
    at = mute.at(np.array(times) * scale)
    period = math.inf if every is None else round(PERIODS[every] / scale)
    for time, counts in zip(times, at.tolist(), strict=True):
        assert counts == (time >= start and math.fmod(time - start, period) < length)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    for _, made in running(tmp_path):
        yield made


def spiked(client: TestClient, name: str) -> dict[str, Any]:
    lines = wave(400, name, spikes=[SPIKE])
    client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
    found = client.get("/api/v1/anomalies", params={"stream": name}).json()["items"]
    return next(a for a in found if a["time"] == "2023-11-15T04:03:20Z")


def test_a_mute_is_made_listed_and_removed(client: TestClient) -> None:
    asked = {"pattern": "web-*", "end": "2024-01-01T00:00:00Z", "note": "new disks"}
    reply = client.post("/api/v1/mutes", json=asked)
    assert reply.status_code == 201
    made = reply.json()
    assert made.pop("unreachable") == []
    assert {name: made[name] for name in asked} == asked
    assert client.get("/api/v1/mutes").json()["items"] == [made]
    assert client.get("/api/v1/mutes", params={"stream": "web-1"}).json()["items"] == [made]
    assert client.get("/api/v1/mutes", params={"stream": "db-1"}).json()["items"] == []
    assert spiked(client, "web-1")["suppressed"] == "mute"
    assert spiked(client, "db-1")["suppressed"] is None
    assert client.delete(f"/api/v1/mutes/{made['id']}").json() == {**made, "unreachable": []}
    assert client.delete(f"/api/v1/mutes/{made['id']}").status_code == 404
    assert spiked(client, "web-2")["suppressed"] is None
    metrics = client.get("/metrics").text
    assert 'wakeful_suppressed_total{by="mute",detector="default"} 1.0' in metrics


def test_the_same_mute_sent_twice_is_one(client: TestClient) -> None:
    asked = {"id": "deploy-1", "stream": "s"}
    first, again = (client.post("/api/v1/mutes", json=asked) for _ in range(2))
    assert first.json() == again.json()
    assert len(client.get("/api/v1/mutes").json()["items"]) == 1
    assert client.post("/api/v1/mutes", json={**asked, "note": "x"}).status_code == 409


@pytest.mark.parametrize("begun", [True, False])
def test_a_mute_that_takes_long_says_whether_it_may_be_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    held = threading.Event()

    def slowly(list_them: Callable[[], list[Any]]) -> list[Any]:
        held.wait()
        return list_them()

    for service, client in running(tmp_path):
        ask = service.pipeline.ask
        ask(lambda: None).result()  # it has started
        monkeypatch.setattr("service.api.questions.ANSWER_SECONDS", 5.0 if begun else 0.5)
        if begun:
            slow = partial(slowly, service.mutes.listed)
            monkeypatch.setattr(service.mutes, "listed", slow)
        else:
            ask(held.wait)
        refused = client.post("/api/v1/mutes", json={"stream": "s"})
        held.set()
        said = "it has begun" if begun else "try again"
        assert (refused.status_code, said in refused.json()["detail"]) == (503, True)
        ask(lambda: None).result()  # after all that was asked before
        assert len(client.get("/api/v1/mutes").json()["items"]) == begun


def test_a_mute_outlasts_the_process(tmp_path: Path) -> None:
    for _, client in running(tmp_path):
        made = client.post("/api/v1/mutes", json={}).json()
    for _, client in running(tmp_path):
        assert [m["id"] for m in client.get("/api/v1/mutes").json()["items"]] == [made["id"]]
        assert spiked(client, "s")["suppressed"] == "mute"


@pytest.mark.parametrize(
    ("mute", "status", "said"),
    [
        ({"stream": "a", "pattern": "b"}, 400, "a stream is named already"),
        ({"start": "2024-01-02T00:00:00Z", "end": "2024-01-01T00:00:00Z"}, 400, "start"),
        ({"start": "soon"}, 400, "start"),
        ({"every": "day"}, 400, "every"),
        ({"every": "day", "start": "0", "end": "86401"}, 400, "a day apart at most"),
        ({"detector": "none"}, 404, "none"),
        ({"every": "hour"}, 422, "every"),
        ({"pattern": "*a*a*a*a*a*a"}, 422, "pattern"),
        ({"pattern": ""}, 422, "pattern"),
        ({"stream": "\0"}, 422, "stream"),
        ({"id": "a b"}, 422, "id"),
        ({"streams": "a"}, 422, "streams"),
    ],
)
def test_what_makes_no_mute_is_refused(
    client: TestClient, mute: dict[str, Any], status: int, said: str
) -> None:
    refused = client.post("/api/v1/mutes", json=mute)
    assert (refused.status_code, said in refused.json()["detail"]) == (status, True)
    assert client.get("/api/v1/mutes").json()["items"] == []


def test_there_is_a_most(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.mutes.MOST", 1)
    assert client.post("/api/v1/mutes", json={}).status_code == 201
    refused = client.post("/api/v1/mutes", json={})
    assert (refused.status_code, "remove" in refused.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"cpu": {"normal": [2, 1]}}, "the lower one comes first"),
        ({"cpu": {"limits": [1]}}, "limits"),
        ({"cpu": {"least_deviation": -1}}, "least_deviation"),
        ({"cpu": {"least": 1}}, "no such setting"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(
    rules: dict[str, Any], said: str, setting: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(SettingsError, match=said):
        setting({"rules": rules})


@pytest.fixture
def setting(tmp_path: Path) -> Callable[[dict[str, Any]], object]:
    def load(detector: dict[str, Any]) -> object:
        file = tmp_path / "wakeful.json"
        file.write_text(json.dumps({"detectors": {"default": detector}}))
        return load_settings(file)

    return load


def test_the_last_scores_of_a_request_say_what_is_suppressed(client: TestClient) -> None:
    client.post("/api/v1/mutes", json={})
    results = post(client, [json.loads(line) for line in wave(400, spikes=[SPIKE])])["results"]
    assert results[SPIKE]["suppressed"] == "mute"
    assert {r["suppressed"] for n, r in enumerate(results) if r["score"] < 1.0} == {None}
