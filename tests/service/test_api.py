"""The API, on a running pipeline."""

import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.bootstrap import Service, build_service
from service.settings.loading import load_settings
from tests.processes import WAIT_SECONDS
from tests.service.parts import wave

LOCAL = "http://127.0.0.1"
NDJSON = {"content-type": "application/x-ndjson"}


def running(tmp_path: Path, **flags: Any) -> Iterator[tuple[Service, TestClient]]:
    service = build_service(load_settings(None, {"data_dir": tmp_path, **flags}))
    thread = threading.Thread(target=service.pipeline.run)
    thread.start()
    try:
        with TestClient(create_app(service), LOCAL, raise_server_exceptions=False) as client:
            service.pipeline.ask(lambda: None).result(WAIT_SECONDS)  # it has restored, and reads
            yield service, client
    finally:
        service.pipeline.stop()
        thread.join()
        service.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    for _, made in running(tmp_path):
        yield made


def post(client: TestClient, body: Any, scores: bool = True) -> Any:
    return client.post("/api/v1/events", params={"scores": scores}, json=body).json()


def test_one_object_an_array_and_ndjson_are_taken(client: TestClient) -> None:
    event = {"stream": "s", "value": 1}
    assert post(client, event, scores=False) == {"accepted": 1, "rejected": []}
    assert post(client, [event, event], scores=False)["accepted"] == 2
    lines = b'{"stream": "s", "value": 1}\n\n{"stream": "s", "value": 2}\r\n'
    reply = client.post("/api/v1/events", content=lines, headers=NDJSON)
    assert reply.json() == {"accepted": 2, "rejected": []}
    assert post(client, {"stream": "s", "value": 2})["results"][0]["confidence"] == 6 / 200


def test_scores_come_back_one_an_event_in_order_and_rejections_by_index(client: TestClient) -> None:
    body = [{"stream": "a", "value": 1}, {"value": 2}, 3, {"stream": "b", "value": 4}]
    reply = post(client, body)
    assert reply["accepted"] == 2
    assert [(r["index"], r["reason"]) for r in reply["rejected"]] == [
        (1, "missing_key"),
        (2, "malformed_json"),
    ]
    assert [r and r["stream"] for r in reply["results"]] == ["a", None, None, "b"]
    plain = post(client, body, scores=False)
    assert {k: reply[k] for k in ("accepted", "rejected")} == plain


def test_a_spike_is_an_episode_that_opens_and_closes(client: TestClient) -> None:
    lines = wave(400, spikes=[350])
    client.post("/api/v1/events?scores=true", content=b"\n".join(lines[:351]), headers=NDJSON)
    (episode,) = client.get("/api/v1/episodes", params={"state": "open"}).json()["items"]
    assert episode["id"] == "default:log:0:350" == episode["peak"]
    assert (episode["change"], episode["alarm"], episode["anomalies"]) == ("opened", True, 1)
    assert episode["start"] == episode["end"] == "2023-11-15T04:03:20Z"
    (blamed,) = episode["features"]
    assert blamed["feature"] == "value"
    assert blamed["actual"] > blamed["high"]

    client.post("/api/v1/events?scores=true", content=b"\n".join(lines[351:]), headers=NDJSON)
    closed = client.get(f"/api/v1/episodes/{episode['id']}").json()
    assert (closed["state"], closed["change"], closed["alarm"]) == ("closed", "closed", False)
    assert closed["end"] == episode["end"]
    assert closed["features"] == episode["features"]
    assert client.get("/api/v1/episodes", params={"state": "open"}).json()["items"] == []
    assert client.get("/api/v1/episodes/default:log:0:3").status_code == 404
    assert client.get("/api/v1/episodes", params={"start": "never"}).status_code == 400


def test_streams_that_break_together_are_one_incident(client: TestClient) -> None:
    for stream in ("a", "b"):
        lines = wave(400, stream, spikes=[350])
        client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
    later = wave(400, "c", start=1.7e9 + 1e6, spikes=[350])
    client.post("/api/v1/events?scores=true", content=b"\n".join(later), headers=NDJSON)
    page = client.get("/api/v1/incidents").json()
    assert page["truncated"] is False
    together = [i["streams"] for i in page["items"] if i["severity"] == "major"]
    assert together == [["c"], ["a", "b"]]
    far = client.get("/api/v1/incidents", params={"within_seconds": 1e9}).json()
    assert [i["streams"] for i in far["items"]] == [["a", "b", "c"]]
    assert client.get("/api/v1/incidents", params={"within_seconds": -1}).status_code == 422
    assert client.get("/api/v1/incidents", params={"start": "2030-01-01"}).status_code == 400
    none = client.get("/api/v1/incidents", params={"start": "2030-01-01T00:00:00Z"}).json()
    assert none["items"] == []


@pytest.mark.parametrize("scores", ["", "?scores=true"])
def test_a_number_in_a_text_is_warned_of(client: TestClient, scores: str) -> None:
    event = {"stream": "s", "cpu": "0.42", "disk": 2.0, "host": "a-1"}
    reply = client.post(f"/api/v1/events{scores}", json=event).json()
    assert (reply["accepted"], reply["rejected"]) == (1, [])
    assert reply["warnings"] == ["'cpu' is not watched: it is a text, numbers go without quotes"]
    fine = client.post(f"/api/v1/events{scores}", json={**event, "cpu": 0.42, "disk": 3.0})
    assert "warnings" not in fine.json()


def test_detectors_say_what_they_watch_and_with_which_artifact(client: TestClient) -> None:
    post(client, {"stream": "s", "cpu": 1.0, "disk": 2.0})
    (listed,) = client.get("/api/v1/detectors").json()["items"]
    assert listed == client.get("/api/v1/detectors/default").json()
    assert (listed["name"], listed["features"]) == ("default", ["cpu", "disk"])
    assert (listed["streams"], listed["replaces"], listed["topics"]) == (1, None, [])
    assert listed["false_alarms_per_week"] == 1.0
    stream = client.get("/api/v1/streams/s").json()
    assert listed["artifact"]["fingerprint"] == stream["artifact"]
    assert listed["artifact"]["predictor"] == "lstm"
    assert listed["memory_bytes"] == stream["memory_bytes"]
    assert client.get("/api/v1/detectors/none").status_code == 404


def test_artifacts_are_those_that_ship_and_those_in_use(client: TestClient) -> None:
    items = client.get("/api/v1/artifacts").json()["items"]
    assert [(one["name"], one["detectors"]) for one in items] == [
        ("base", ["default"]),
        ("compact", []),
    ]
    used = client.get("/api/v1/detectors/default").json()["artifact"]
    assert {name: items[0][name] for name in used} == used
    path = "/api/v1/artifacts/"
    assert client.get(path + used["fingerprint"]).json() == items[0]
    assert client.get(path + "0").status_code == 404


def test_a_stream_says_what_its_last_event_was_told(client: TestClient) -> None:
    reply = post(client, [{"stream": "s", "time": 1.7e9 + n, "value": n % 7} for n in range(90)])
    summary = client.get("/api/v1/streams/s").json()
    for name in ("score", "level", "threshold", "tail_probability", "confidence"):
        assert summary[name] == pytest.approx(reply["results"][-1][name], rel=1e-4)


def test_a_spike_is_an_anomaly_that_says_which_feature_by_how_much(client: TestClient) -> None:
    lines = b"\n".join(wave(400, spikes=[350]))
    reply = client.post("/api/v1/events?scores=true", content=lines, headers=NDJSON).json()
    assert reply["results"][350]["anomalous"]
    assert reply["results"][350]["alarm"]
    calm = reply["results"][100:350]
    assert sum(result["anomalous"] for result in calm) <= 2
    listed = client.get("/api/v1/anomalies", params={"stream": "s"}).json()["items"]
    (spike,) = [anomaly for anomaly in listed if anomaly["offset"] == 350]
    assert spike["id"] == "default:log:0:350"
    value = spike["features"]["value"]
    assert value["actual"] > value["high"] > value["expected"] > value["low"]
    assert client.get(f"/api/v1/anomalies/{spike['id']}").json() == spike


def test_a_body_that_is_not_json_is_refused_and_kept(client: TestClient) -> None:
    for body in (b"", b"{", b"[1,", b"\xff\x00", b'{"a": NaN}', b"[" * 100_000):
        reply = client.post("/api/v1/events?scores=true", content=body)
        assert reply.status_code == 400
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.json()["rejected"][0]["index"] == 0
    letters = client.get("/api/v1/dead-letters").json()["items"]
    assert len(letters) == 6
    assert {letter["reason"] for letter in letters} == {"malformed_json", "too_large"}


def test_streams_show_what_is_remembered(client: TestClient) -> None:
    names = ["a/b", "c d", "é", "z"]
    post(client, [{"stream": name, "x": 1, "time": 1.7e9 + n} for n in (0, 60) for name in names])
    page = client.get("/api/v1/streams", params={"limit": 3}).json()
    assert [item["stream"] for item in page["items"]] == ["a/b", "c d", "z"]
    rest = client.get("/api/v1/streams", params={"cursor": page["next_cursor"]}).json()
    assert [item["stream"] for item in rest["items"]] == ["é"]
    assert rest["next_cursor"] is None
    for name in names:
        detail = client.get(f"/api/v1/streams/{name}").json()
        assert (detail["stream"], detail["events"], detail["age_seconds"]) == (name, 2, 60.0)
        assert detail["features"]["x"]["value"] == 1.0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/streams/nobody", 404),
        ("/api/v1/anomalies/none", 404),
        ("/api/v1/nothing", 404),
        ("/api/v1/anomalies?start=noon", 400),
        ("/api/v1/anomalies?cursor=x", 400),
        ("/api/v1/anomalies?limit=0", 422),
        ("/api/v1/streams?detector=none", 404),
    ],
)
def test_errors_are_problems_that_say_what_is_wrong(
    client: TestClient, path: str, status: int
) -> None:
    reply = client.get(path)
    assert reply.status_code == reply.json()["status"] == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]


def test_too_much_at_once_is_refused_whole(tmp_path: Path) -> None:
    limits = {"max_body_bytes": 1000, "max_events_per_request": 3}
    for service, client in running(tmp_path, api=limits):
        assert client.post("/api/v1/events", content=b" " * 1001).status_code == 413
        assert client.post("/api/v1/events", json=[1, 2, 3, 4]).status_code == 413
        assert service.log is not None
        assert service.log.next_offset == 0


def test_with_a_token_the_api_is_closed_and_the_probes_are_open(tmp_path: Path) -> None:
    for _, client in running(tmp_path, api={"token": "t0ken"}):
        for path in ("/api/v1/streams", "/api/v1/anomalies", "/api/v1/dead-letters"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={b"authorization": b"Bearer n\xf8"}).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer t0ken"}).status_code == 200
        assert client.post("/api/v1/events", json={}).status_code == 401
        for path in ("/livez", "/metrics", "/"):
            assert client.get(path).status_code == 200


def test_without_a_token_no_other_sites_page_may_use_it(client: TestClient) -> None:
    event = {"stream": "s", "value": 1}
    for headers in (
        {"host": "evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
    ):
        assert client.post("/api/v1/events", json=event, headers=headers).status_code == 403
        assert client.get("/api/v1/anomalies", headers=headers).status_code == 403
    assert client.post("/api/v1/events", json=event).status_code == 200


def test_detectors_have_their_own_events_features_and_memories(tmp_path: Path) -> None:
    detectors = {"one": {"features": ["x"]}, "two": {"features": ["y"], "key": "id"}}
    for _, client in running(tmp_path, detectors=detectors):
        assert client.post("/api/v1/events", json={"stream": "s", "x": 1}).status_code == 404
        reply = client.post(
            "/api/v1/events?scores=true&detector=two", json={"id": 7, "x": 1, "y": 2}
        )
        assert list(reply.json()["results"][0]["features"]) == ["y"]
        assert client.get("/api/v1/streams/7?detector=one").status_code == 404
        assert client.get("/api/v1/streams/7?detector=two").json()["events"] == 1


def test_metrics_count_every_event_once_and_name_no_stream(client: TestClient) -> None:
    post(client, [{"stream": "secret-name", "value": 1}, {"stream": "secret-name"}, 3])
    text = client.get("/metrics").text
    assert 'wakeful_records_total{detector="default"} 3.0' in text
    assert 'wakeful_events_scored_total{detector="default"} 1.0' in text
    assert 'wakeful_events_rejected_total{detector="default",reason="no_features"} 1.0' in text
    assert "secret-name" not in text


def test_it_is_ready_only_once_memories_are_restored_and_the_source_has_answered(
    tmp_path: Path,
) -> None:
    service = build_service(load_settings(None, {"data_dir": tmp_path}))
    with TestClient(create_app(service), LOCAL) as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503
        assert client.get("/readyz?verbose").json()["waiting_for"] == "restore"
        service.pipeline.restore()
        waiting = client.get("/readyz?verbose").json()["waiting_for"]
        assert waiting == "the first answer of the source"
        service.pipeline.run_once()
        assert client.get("/readyz").json() == {"status": "ready"}
    service.close()


def test_what_is_called_is_described(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    assert {"/api/v1/events", "/api/v1/streams", "/api/v1/anomalies"} <= set(description["paths"])


def test_a_token_may_be_any_text(tmp_path: Path) -> None:
    for _, client in running(tmp_path, api={"token": "gehéim"}):
        headers = {b"authorization": "Bearer gehéim".encode()}
        assert client.get("/api/v1/streams", headers=headers).status_code == 200


def test_a_cursor_of_any_length_is_refused_with_a_word(client: TestClient) -> None:
    reply = client.get("/api/v1/anomalies", params={"cursor": "1" * 5000})
    assert reply.status_code == 400


def test_a_query_that_nobody_asks_for_is_refused(client: TestClient) -> None:
    reply = client.get("/api/v1/anomalies?since=2026")
    assert reply.status_code == 422
    assert "since" in reply.json()["detail"]


def test_what_a_stream_was_like_is_told_as_columns(client: TestClient) -> None:
    lines = wave(400, "web/1", spikes=[350])
    client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
    body = client.get("/api/v1/streams/web%2F1/scores", params={"points": 5000}).json()
    assert (body["stream"], body["detector"], body["thinned"]) == ("web/1", "default", False)
    assert body["times"] == [1.7e9 + 60 * n for n in range(400)]
    value = body["features"]["value"]
    assert [len(column) for column in value.values()] == [400] * 4
    assert value["expected"][0] is None  # nothing was known yet
    assert value["actual"][350] > value["high"][350] > value["expected"][350] > value["low"][350]
    assert [n for n, score in enumerate(body["scores"]) if score >= 1.0][:1] == [350]

    few = client.get("/api/v1/streams/web%2F1/scores", params={"points": 20}).json()
    assert few["thinned"]
    assert max(few["scores"]) == max(body["scores"])
    part = {"start": 1.7e9 + 600, "end": 1.7e9 + 660}
    assert client.get("/api/v1/streams/web/1/scores", params=part).json()["times"] == [1.7e9 + 600]
    assert client.get("/api/v1/streams/none/scores").status_code == 404
    assert client.get("/api/v1/streams/web/1/scores", params={"points": 1}).status_code == 422


def test_a_heat_map_has_the_highest_score_of_each_cell(client: TestClient) -> None:
    lines = wave(400, "a", spikes=[350])
    client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
    asked: dict[str, Any] = {
        "stream": ["a", "none"],
        "start": 1.7e9,
        "end": 1.7e9 + 60 * 400,
        "columns": 40,
    }
    body = client.get("/api/v1/heatmap", params=asked).json()
    rows = {row["stream"]: row["scores"] for row in body["rows"]}
    assert rows["none"] == [None] * 40
    assert next(cell for cell, score in enumerate(rows["a"]) if score >= 1.0) == 35
    newest = client.get("/api/v1/heatmap", params={"stream": "a"}).json()
    assert newest["end"] == pytest.approx(1.7e9 + 60 * 399, abs=1e-3)
    assert newest["end"] - newest["start"] == pytest.approx(3600.0)
    many = [{"stream": "a", "time": 1.7e9 + 60 * 399 + n / 100, "value": 1} for n in range(5000)]
    post(client, many)  # in the last cell of all: the others are no emptier for it
    again = client.get("/api/v1/heatmap", params=asked).json()
    assert [row["scores"][:39] for row in again["rows"]] == [
        row["scores"][:39] for row in body["rows"]
    ]
    wrong: dict[str, Any] = {"stream": "a", "start": 5, "end": 5}
    assert client.get("/api/v1/heatmap", params=wrong).status_code == 400


def test_streams_are_searched_and_come_by_score(client: TestClient) -> None:
    for stream, spikes in (("Web-a", []), ("web-b", [399]), ("db", [])):
        lines = wave(400, stream, spikes=spikes)
        client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)

    def names(**query: Any) -> list[str]:
        return [s["stream"] for s in client.get("/api/v1/streams", params=query).json()["items"]]

    assert names(sort="score", limit=1) == ["web-b"]
    assert names() == ["Web-a", "db", "web-b"]
    assert sorted(names(search="WEB")) == ["Web-a", "web-b"]
    assert names(search="b", prefix="d") == ["db"]
    assert client.get("/api/v1/streams", params={"sort": "age"}).status_code == 422


def test_now_says_how_it_is_doing(client: TestClient) -> None:
    lines = wave(400, spikes=[399])
    client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
    body = client.get("/api/v1/now").json()
    assert (body["ready"], body["streams"], body["open_episodes"]) == (True, 1, 1)
    (budget,) = body["detectors"]
    assert budget["false_alarms_per_week"] == 1.0
    assert budget["alarms_per_stream_week"] is None  # of some hours nobody makes a rate
    later = json.loads(lines[0]) | {"time": 1.7e9 + 14 * 86_400}
    client.post("/api/v1/events?scores=true", json=later)
    (stream,) = client.get("/api/v1/streams").json()["items"]
    (budget,) = client.get("/api/v1/now").json()["detectors"]
    assert budget["alarms_per_stream_week"] == pytest.approx(stream["alarms"] / 2)


def test_what_happens_is_told_to_who_listens_and_to_who_comes_back(tmp_path: Path) -> None:
    for service, client in running(tmp_path):
        lines = wave(400, spikes=[350])
        client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
        service.live.close()  # what is told ends with what is known
        first = f"{service.live.run}-0"
        told = listened(client, first)
        assert {event["event"] for event in told} == {"anomaly", "episode"}
        anomalies = client.get("/api/v1/anomalies").json()["items"]
        assert json.loads(told[0]["data"]) == anomalies[-1]
        again = listened(client, told[1]["id"])
        assert [event["id"] for event in again] == [event["id"] for event in told[2:]]
        (restart,) = listened(client, "other-3")
        assert restart["event"] == "restart"


def listened(client: TestClient, last_event_id: str) -> list[dict[str, str]]:
    text = client.get("/api/v1/live", headers={"last-event-id": last_event_id}).text
    return [
        dict(line.split(": ", 1) for line in event.splitlines())
        for event in text.split("\n\n")
        if event
    ]


def test_a_person_acknowledges_an_episode_and_notes_something(client: TestClient) -> None:
    lines = wave(400, spikes=[350])
    client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
    (episode,) = client.get("/api/v1/episodes").json()["items"]
    assert (episode["acknowledged"], episode["note"]) == (False, None)
    path = f"/api/v1/episodes/{episode['id']}"
    told = client.patch(path, json={"acknowledged": True}).json()
    assert (told["acknowledged"], told["note"]) == (True, None)
    told = client.patch(path, json={"note": "a test of the pump"}).json()
    assert (told["acknowledged"], told["note"]) == (True, "a test of the pump")
    assert (
        client.get(path).json() == told == {**episode, "acknowledged": True, "note": told["note"]}
    )

    def listed(acknowledged: bool) -> int:
        query = {"acknowledged": acknowledged}
        return len(client.get("/api/v1/episodes", params=query).json()["items"])

    assert (listed(True), listed(False)) == (1, 0)
    told = client.patch(path, json={"acknowledged": False, "note": ""}).json()
    assert (told["acknowledged"], told["note"]) == (False, None)
    client.patch(path, json={"acknowledged": True, "note": "again"})
    told = client.patch(path, json={"note": None}).json()
    assert (told["acknowledged"], told["note"]) == (True, None)
    assert client.patch(path, json={"acknowledged": None}).json()["acknowledged"] is False
    assert client.patch(path, json={"acknowleged": True}).status_code == 422
    assert client.patch("/api/v1/episodes/none", json={}).status_code == 404


def test_what_a_person_says_changes_what_alarms_and_can_be_taken_back(client: TestClient) -> None:
    """The same spike again alarms only where nothing was said, and only if it comes alone."""
    lines = wave(610, spikes=[350])
    client.post("/api/v1/events?scores=true", content=b"\n".join(lines), headers=NDJSON)
    (episode,) = client.get("/api/v1/episodes").json()["items"]
    assert alarms(client, 1) == [True]
    path = "/api/v1/streams/s/feedback"
    asked = {"kind": "false", "episode": episode["id"]}
    said = client.post(path, json=asked).json()
    assert (said["kind"], said["score"], said["undone"]) == ("false", episode["score"], False)
    said = client.post(path, json=asked).json()
    assert client.get("/api/v1/feedback", params={"stream": "s"}).json()["items"] == [said]
    tolerated = client.get("/api/v1/streams/s").json()["tolerated"]
    assert 2 * episode["score"] <= tolerated <= 2.2 * episode["score"]
    assert alarms(client, 1) == [False]
    assert alarms(client, 4) == [False, False, True, False]
    post(client, {"stream": "other", "value": 1})
    assert client.delete(f"/api/v1/streams/other/feedback/{said['id']}").status_code == 404
    assert client.get("/api/v1/streams/s").json()["tolerated"] == tolerated
    undone = client.delete(f"{path}/{said['id']}").json()
    assert undone == {**said, "undone": True}
    assert client.get("/api/v1/streams/s").json()["tolerated"] == 0.0
    assert alarms(client, 1) == [True]


def alarms(client: TestClient, spikes: int) -> list[bool]:
    """Whether each of so many spikes in a row would alarm."""
    events = [{"time": 1.7e9 + 60 * (610 + n), "value": 30.0 * (-1) ** n} for n in range(spikes)]
    results = client.post("/api/v1/streams/s/whatif", json=events).json()["results"]
    assert all(result["score"] > 1.0 for result in results)
    return [result["alarm"] for result in results]


def test_a_missed_anomaly_lowers_the_threshold(client: TestClient) -> None:
    events = [json.loads(line) for line in wave(400)]
    events[350]["value"] += 5.0  # odd, and no anomaly
    post(client, events)
    scores = client.get("/api/v1/streams/s/scores", params={"points": 5000}).json()
    loudest = max(range(300, 400), key=lambda n: scores["scores"][n])
    assert 0.25 < scores["scores"][loudest] < 1.0
    quietest = min(range(300, 400), key=lambda n: scores["scores"][n])
    before = client.get("/api/v1/streams/s").json()
    path = "/api/v1/streams/s/feedback"
    asked = {"kind": "missed", "time": str(scores["times"][loudest]), "seconds": 1}
    nothing = {**asked, "time": str(scores["times"][quietest])}
    refused = client.post(path, json=nothing)
    assert (refused.status_code, "highest score" in refused.json()["detail"]) == (400, True)
    said = client.post(path, json=asked).json()
    assert said["score"] == pytest.approx(scores["scores"][loudest], rel=0.01)
    after = client.get("/api/v1/streams/s").json()
    lowered = math.log10(after["threshold"]) / math.log10(before["threshold"])
    assert lowered <= said["score"] * 0.99
    again = client.post(path, json=asked).json()
    assert (again["score"], client.get("/api/v1/streams/s").json()) == (said["score"], after)
    said = again
    client.delete(f"{path}/{said['id']}")
    assert client.get("/api/v1/streams/s").json() == before


@pytest.mark.parametrize(
    ("feedback", "status"),
    [
        ({"kind": "false"}, 400),
        ({"kind": "missed"}, 400),
        ({"kind": "false", "episode": "none"}, 404),
        ({"kind": "missed", "time": "2001-01-01T00:00:00Z"}, 404),
        ({"kind": "odd"}, 422),
    ],
)
def test_feedback_on_nothing_is_refused(
    client: TestClient, feedback: dict[str, str], status: int
) -> None:
    client.post("/api/v1/events?scores=true", content=b"\n".join(wave(5)), headers=NDJSON)
    assert client.post("/api/v1/streams/s/feedback", json=feedback).status_code == status
    assert client.post("/api/v1/streams/none/feedback", json=feedback).status_code in {404, 422}
    assert client.get("/api/v1/feedback").json()["items"] == []


def test_half_a_character_is_the_name_of_nothing(client: TestClient) -> None:
    post(client, {"stream": "s", "value": 1})
    body, headers = b'{"kind": "false", "episode": "\\ud800"}', {"content-type": "application/json"}
    path = "/api/v1/streams/s/feedback"
    assert client.post(path, content=body, headers=headers).status_code == 404
