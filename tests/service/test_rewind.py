"""`wakeful replay --stream`, as its users call it."""

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result

from service.bootstrap import Service, build_service
from service.cli import main
from service.clock import format_time, parse_time
from service.settings.loading import load_settings
from tests.service.parts import events, raw_batch, wave
from tests.service.test_api import running

FIRST, SECOND = wave(400, "a/ä", spikes=[300, 380]), wave(400, "b", spikes=[350])
RECORDS = [record for pair in zip(FIRST, SECOND, strict=True) for record in pair]
AT = 1.7e9 + 60.0 * 320
"""The time of the 321st event of each stream, whose offset is 640 or 641."""


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The data folder of a service that has scored everything."""
    with_events(tmp_path / "served", RECORDS)
    return tmp_path / "served"


def with_events(folder: Path, records: list[bytes]) -> Service:
    service = build_service(load_settings(None, {"data_dir": folder}))
    assert service.log is not None
    service.log.append("default", records)
    service.pipeline.restore()
    service.pipeline.run_once()
    service.pipeline.checkpoint()
    service.close()
    return service


def run(out: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["replay", "--out", str(out), *map(str, arguments)])


def found(tmp_path: Path, *arguments: object) -> Any:
    file = tmp_path / "found.json"
    result = run(tmp_path / "out", *arguments, "--json", file)
    assert result.exit_code == 0, result.output
    return json.loads(file.read_text())


def test_the_memory_is_what_it_was_then(served: Path, tmp_path: Path) -> None:
    """To the last digit what a service says that had no later event."""
    service = build_service(load_settings(None, {"data_dir": tmp_path / "then"}))
    assert service.log is not None
    service.log.append("default", RECORDS[:640])
    service.pipeline.restore()
    service.pipeline.run_once()
    expected = service.pipeline.detectors["default"].stream("a/ä")
    service.close()
    for start in (format_time(AT), AT, "@639", "@640"):
        shown = found(tmp_path, "--data-dir", served, "--stream", "a/ä", "--from", start)
        assert shown["memory"] == expected
        assert len(shown["results"]) == 80
        assert shown["results"][0]["offset"] == 640


def test_what_was_told_then_is_told_again(served: Path, tmp_path: Path) -> None:
    shown = found(tmp_path, "--data-dir", served, "--stream", "a/ä")
    assert shown["memory"] is None
    assert len(shown["results"]) == 400
    assert all(one["then"]["score"] == one["score"] for one in shown["anomalies"])
    assert shown["not_now"] == []
    assert {one["offset"] for one in shown["anomalies"]} >= {600, 760}
    said = run(tmp_path / "out", "--data-dir", served, "--stream", "a/ä").output
    assert "@600  alarm  score" in said
    assert "(expected -" in said
    assert said.count("as it was told then") == len(shown["anomalies"])


def test_the_time_that_is_shown_has_an_end(served: Path, tmp_path: Path) -> None:
    until = ("--until", format_time(AT + 600.0))
    shown = found(tmp_path, "--data-dir", served, "--stream", "b", "--from", AT, *until)
    assert [one["offset"] for one in shown["results"]] == list(range(641, 661, 2))


def test_each_event_is_a_row(served: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", "--data-dir", served, "--stream", "a/ä", "--from", "@700")
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "a%2F%C3%A4.csv"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [int(row["row"]) for row in rows] == list(range(700, 800, 2))
    assert {row["stream"] for row in rows} == {"a/ä"}
    assert all(row["expected_value"] for row in rows)


def test_another_artifact_says_what_it_would_have_told(served: Path, tmp_path: Path) -> None:
    given = ("--data-dir", served, "--stream", "a/ä", "--artifact", "compact")
    shown = found(tmp_path, *given)
    assert all(one["then"]["artifact"] != shown["artifact"] for one in shown["anomalies"])


def test_what_was_told_then_and_would_not_be_now_is_shown(served: Path, tmp_path: Path) -> None:
    given = ("--data-dir", served, "--stream", "a/ä", "--direction", "value=low")
    shown = found(tmp_path, *given)
    assert {one["offset"] for one in shown["not_now"]} >= {600, 760}
    assert "told then, not now" in run(tmp_path / "out", *given).output


def test_what_is_gone_is_said(tmp_path: Path) -> None:
    service = with_events(tmp_path / "served", RECORDS)
    database = service.settings.data_dir / "wakeful.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM log WHERE offset < 100")
    shown = found(tmp_path, "--data-dir", tmp_path / "served", "--stream", "a/ä", "--from", "@640")
    assert shown["first_offset"] == 100
    assert shown["memory"]["events"] == 270
    said = run(tmp_path / "out", "--data-dir", tmp_path / "served", "--stream", "a/ä").output
    assert "records before offset 100 are gone" in said


def test_features_that_others_brought_change_nothing(tmp_path: Path) -> None:
    """Which features there are is found in all streams' events."""
    other = events([{"stream": "c", "time": 1.7e9 + n, "more": n} for n in range(60)])
    with_events(tmp_path / "served", [*RECORDS[:400], *other, *RECORDS[400:]])
    shown = found(tmp_path, "--data-dir", tmp_path / "served", "--stream", "a/ä")
    assert all(one["then"]["score"] == one["score"] for one in shown["anomalies"])
    assert len(shown["results"]) == 400


def test_an_end_hides_events_and_unscores_none(tmp_path: Path) -> None:
    """Every seventh is two hours ahead."""
    records = [
        json.dumps({**json.loads(record), "time": json.loads(record)["time"] + 7200.0}).encode()
        if n % 7 == 0
        else record
        for n, record in enumerate(FIRST)
    ]
    with_events(tmp_path / "served", records)
    given = ("--data-dir", tmp_path / "served", "--stream", "a/ä", "--from", "@200")
    whole = found(tmp_path, *given)
    part = found(tmp_path, *given, "--until", format_time(AT))
    assert part["memory"] == whole["memory"]
    until = [one for one in whole["results"] if parse_time(one["time"]) < AT]
    assert part["results"] == until
    assert 0 < len(until) < len(whole["results"])
    (file,) = (tmp_path / "out").iterdir()
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [int(row["row"]) for row in rows] == [one["offset"] for one in until]


def test_what_was_rejected_is_shown(tmp_path: Path) -> None:
    records = [*FIRST[:50], FIRST[49], *FIRST[50:100]]
    with_events(tmp_path / "served", records)
    shown = found(tmp_path, "--data-dir", tmp_path / "served", "--stream", "a/ä", "--from", "@40")
    assert [(one["offset"], one["reason"]) for one in shown["rejected"]] == [(50, "repeated")]


def test_nothing_is_written_to_the_database_of_the_service(tmp_path: Path) -> None:
    service = with_events(tmp_path / "served", FIRST[:100])
    database = service.settings.data_dir / "wakeful.db"
    query = "SELECT group_concat(name) FROM sqlite_master"
    with closing(sqlite3.connect(database)) as connection:
        before = connection.execute(query).fetchone()
        run(tmp_path / "out", "--data-dir", tmp_path / "served", "--stream", "a/ä")
        assert connection.execute(query).fetchone() == before


def test_a_long_name_is_a_file_all_the_same(tmp_path: Path) -> None:
    with_events(tmp_path / "served", wave(60, "é" * 120))
    result = run(tmp_path / "out", "--data-dir", tmp_path / "served", "--stream", "é" * 120)
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--stream", "nobody"], 1, "no event of the stream 'nobody' is retained"),
        (["--stream", "b", "--detector", "other"], 2, "no detector 'other'"),
        (["--stream", "b", "--from", "yesterday"], 2, "an offset is written as @1234"),
        (["--stream", "b", "--until", "@12"], 2, "--until takes a time"),
        (
            ["--stream", "b", "--from", "1000000000", "--until", "1000000000"],
            2,
            "--until is not after --from",
        ),
        (["--stream", "b", "--key", "host"], 2, "are for FILES"),
        (["--stream", "b", "--detector", "other", "--artifact", "compact"], 2, "no detector"),
        ([], 2, "name FILES to replay, or a --stream"),
    ],
)
def test_what_cannot_be_done_is_said(
    served: Path, tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    result = run(tmp_path / "out", "--data-dir", served, *arguments)
    assert result.exit_code == status
    assert said in result.output


def test_a_folder_without_a_service_is_named(tmp_path: Path) -> None:
    result = run(tmp_path / "out", "--data-dir", tmp_path / "none", "--stream", "b")
    assert result.exit_code == 1
    assert "is it the database of a service?" in result.output
    assert not (tmp_path / "none").exists()


def test_a_stream_goes_on_from_an_earlier_memory(served: Path, tmp_path: Path) -> None:
    """To the last digit as one to which the events after that time never came; another stream, and
    what was read up to, stay as they are; and so it is after a restart."""
    other = with_events(tmp_path / "then", RECORDS[:640])
    then = build_service(other.settings)
    then.pipeline.restore()
    for _, client in running(served):
        before = {name: client.get(stream_path(name)).json() for name in ("a/ä", "b")}
        reply = client.post(f"{stream_path('a/ä')}/rewind", json={"time": str(AT)})
        assert reply.status_code == 200
        assert reply.json() == {
            "stream": "a/ä", "detector": "default", "time": format_time(AT - 60.0), "whole": True
        }  # fmt: skip
        assert client.get(stream_path("b")).json() == before["b"]
        assert client.get(stream_path("a/ä")).json()["offset"] == before["a/ä"]["offset"]
    further = [json.loads(line) for line in wave(460, "a/ä")[400:]]
    wanted = then.pipeline.detectors["default"].what_if("a/ä", raw_batch(events(further)))
    assert wanted is not None
    for _, client in running(served):
        told = client.post("/api/v1/events?scores=true", json=further).json()["results"]
    assert [one["score"] for one in told] == wanted.scored.scores["score"].tolist()
    then.close()


def test_a_stream_that_was_reset_goes_back_as_if_it_had_not_been(served: Path) -> None:
    """Also where no event has come since, so that it is not known."""
    path, to = stream_path("a/ä"), {"time": str(AT)}
    for _, client in running(served):
        assert client.post(f"{path}/rewind", json=to).status_code == 200
        wanted = client.get(path).json()
        assert client.post(f"{path}/reset").status_code == 200
        assert client.get(path).status_code == 404
        assert client.post(f"{path}/rewind", json=to).status_code == 200
        assert client.get(path).json() == wanted


@pytest.mark.parametrize(
    ("stream", "to", "status"),
    [
        ("a/ä", {"time": "2001-01-01T00:00:00Z"}, 404),
        ("nobody", {"time": str(AT)}, 404),
        ("b", {"time": "then"}, 400),
        ("b", {}, 422),
    ],
)
def test_a_time_that_nothing_is_known_of_is_refused(
    served: Path, stream: str, to: dict[str, str], status: int
) -> None:
    for _, client in running(served):
        before = client.get("/api/v1/streams").json()
        assert client.post(f"{stream_path(stream)}/rewind", json=to).status_code == status
        assert client.get("/api/v1/streams").json() == before


def test_a_memory_is_not_read_for_ever(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.rewind.LONGEST_SECONDS", -1.0)
    for _, client in running(served):
        refused = client.post(f"{stream_path('b')}/rewind", json={"time": str(AT)})
        assert "takes too long" in refused.json()["detail"]


def stream_path(name: str) -> str:
    return f"/api/v1/streams/{quote(name, safe='')}"
