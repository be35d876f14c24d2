"""`wakeful` as a process: started, watched, killed, started again."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.keys import Keys
from tests.processes import WAIT_SECONDS, memories, wakeful
from tests.service.parts import wave

NDJSON = "application/x-ndjson"


def test_the_demo_shows_real_anomalies_and_goes_on_where_it_was(tmp_path: Path) -> None:
    arguments = ("demo", "--port", "0", "--dir", str(tmp_path))
    with wakeful(*arguments) as process:
        process.wait_for(lambda: len(process.pages("/api/v1/anomalies")) >= 20, "20 anomalies")
        anomaly = process.get("/api/v1/anomalies?limit=1")["items"][0]
        assert anomaly["features"]["value"]["share"] == 1.0
        scored = process.metric("wakeful_events_scored_total")
        process.wait_for(
            lambda: process.metric("wakeful_events_scored_total") > scored, "metrics that move"
        )
        assert "<title>Wakeful</title>" in process.text("/")
        assert process.stop() == 0
    before = memories(tmp_path)
    with wakeful(*arguments) as process:
        process.wait_for(
            lambda: process.metric("wakeful_events_scored_total") > 0, "events after the restart"
        )
        assert process.metric("wakeful_events_replayed_total") == 0
        streams = {stream["stream"]: stream for stream in process.pages("/api/v1/streams")}
    assert set(before) <= set(streams)
    assert sum(stream["events"] for stream in streams.values()) > scored


@pytest.mark.parametrize("preset", ["vitals", "transactions"])
def test_every_other_preset_is_served_too(preset: str, tmp_path: Path) -> None:
    arguments = ("demo", "--preset", preset, "--port", "0", "--dir", str(tmp_path))
    with wakeful(*arguments) as process:
        process.wait_for(lambda: len(process.pages("/api/v1/episodes")) > 0, "an episode")


def test_events_acknowledged_before_a_kill_are_scored_once_after_it(tmp_path: Path) -> None:
    lines = wave(3000, "a", spikes=[1000, 2000, 2900])
    arguments = ("serve", "--port", "0", "--data-dir")
    environment = {"WAKEFUL_CHECKPOINT__INTERVAL_SECONDS": "0.05"}
    with wakeful(*arguments, str(tmp_path / "whole")) as process:
        process.post("/api/v1/events?scores=true", b"\n".join(lines), NDJSON)
        whole = process.pages("/api/v1/anomalies")
    killed: list[dict[str, object]] = []
    for part in range(2):
        with wakeful(*arguments, str(tmp_path / "killed"), environment=environment) as process:
            for start in range(part * 1500, (part + 1) * 1500, 100):
                some = b"\n".join(lines[start : start + 100])
                assert process.post("/api/v1/events", some, NDJSON)["accepted"] == 100
            process.kill()
    with wakeful(*arguments, str(tmp_path / "killed")) as process:
        process.wait_for(lambda: process.get("/api/v1/streams/a")["events"] == 3000, "all events")
        killed = process.pages("/api/v1/anomalies")
    assert {a["id"]: a for a in killed} == {a["id"]: a for a in whole}
    assert len(killed) == len(whole) >= 3
    assert memories(tmp_path / "killed") == memories(tmp_path / "whole")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_wrong_settings_exit_with_2_and_a_used_data_folder_with_1(tmp_path: Path) -> None:
    config = tmp_path / "wakeful.yaml"
    config.write_text("api: {port: high}\n", encoding="utf-8")
    refused = CliRunner().invoke(main, ["validate", "--config", str(config)])
    assert refused.exit_code == 2
    assert "api.port" in refused.output
    config.write_text("api: {port: 0}\n", encoding="utf-8")
    assert CliRunner().invoke(main, ["validate", "--config", str(config)]).exit_code == 0
    with wakeful("serve", "--config", str(config), "--data-dir", str(tmp_path / "d")) as process:
        second = run("serve", "--config", str(config), "--data-dir", str(tmp_path / "d"))
        assert second.returncode == 1
        assert "in use" in second.stderr
        port = process.address.rsplit(":", 1)[1]
        taken = run("serve", "--port", port, "--data-dir", str(tmp_path / "e"))
        assert taken.returncode == 2
        assert port in taken.stderr


def test_sigterm_saves_the_memories_before_the_end(tmp_path: Path) -> None:
    with wakeful("serve", "--port", "0", "--data-dir", str(tmp_path)) as process:
        event = {"stream": "s", "value": 1}
        process.post("/api/v1/events?scores=true", json.dumps(event).encode())
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(60) == 0
    assert set(memories(tmp_path)) == {"s"}


def test_a_damaged_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "wakeful.db").write_bytes(b"not a database" * 1000)
    refused = run("serve", "--port", "0", "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert "data_dir" in refused.stderr


def test_who_listens_hears_no_more_once_the_key_is_revoked(tmp_path: Path) -> None:
    made, kept = (Keys(tmp_path / "keys.json").create(n, "viewer", None, "", None) for n in "ab")
    with wakeful("serve", "--port", "0", "--data-dir", str(tmp_path)) as process:
        request = urllib.request.Request(  # noqa: S310 - http, ours
            f"{process.address}/api/v1/live", headers={"authorization": f"Bearer {made}"}
        )
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:  # noqa: S310
            assert reply.readline().startswith(b"event: now")
            Keys(tmp_path / "keys.json").revoke(made.split("_")[1])
            deadline = time.monotonic() + WAIT_SECONDS
            while reply.readline():
                assert time.monotonic() < deadline, "it goes on"
        assert Keys(tmp_path / "keys.json").find(kept) is not None
