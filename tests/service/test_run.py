import asyncio
import gc
import json
import signal
import socket
import threading
import time
import urllib.error
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app, forget_apps
from service.bench.broker import free_port
from service.bootstrap import Service, build_service
from service.checks import check_change
from service.errors import SettingsError
from service.pipeline import Pipeline
from service.run import _made, listen, run_service
from service.settings.loading import load_settings
from service.telemetry.tracing import no_span
from tests.processes import WAIT_SECONDS, Wakeful, wakeful
from tests.service.parts import wave
from tests.service.test_api import NDJSON as KIND
from tests.service.test_api import running


def test_the_parts_of_a_reply_do_not_wait_for_each_other() -> None:
    """A connection that was accepted sends at once what it is given."""

    async def option_of_an_accepted_connection() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            found.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        server_socket = listen("127.0.0.1", 0)
        server = await asyncio.start_server(accepted, sock=server_socket)
        _, writer = await asyncio.open_connection(*server_socket.getsockname())
        try:
            return await found
        finally:
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()

    with ThreadPoolExecutor() as thread:  # a test with a browser leaves a loop in this one
        found = thread.submit(asyncio.run, option_of_an_accepted_connection()).result()
    assert found != 0


NDJSON = "application/x-ndjson"


def settings_of(folder: Path, **detector: Any) -> Path:
    file = folder / "wakeful.json"
    file.write_text(json.dumps({"detectors": {"default": detector}}), encoding="utf-8")
    return file


def send(process: Wakeful, lines: list[bytes]) -> list[Any]:
    body = b"\n".join(lines)
    results: list[Any] = process.post("/api/v1/events?scores=true", body, NDJSON)["results"]
    return results


@pytest.mark.parametrize("how", ["signal", "route"])
def test_settings_are_read_again_and_no_memory_is_lost(tmp_path: Path, how: str) -> None:
    """The memory goes on to the bit, under the new settings; requests wait meanwhile."""
    lines = wave(400, spikes=[350])
    file, folder = settings_of(tmp_path), tmp_path / "data"
    arguments = ("serve", "--port", "0", "--config", str(file), "--data-dir", str(folder))
    with wakeful(*arguments) as process:
        before = send(process, lines[:300])
        told = process.get("/api/v1/streams/s")
        settings_of(tmp_path, rules={"value": {"least_deviation": 1000.0}})
        asked: list[str] = []
        stopping = threading.Event()

        def ask() -> None:
            while not stopping.is_set():
                with suppress(ConnectionError):  # taken as the old server ended
                    asked.append(process.get("/livez")["status"])

        asking = threading.Thread(target=ask)
        asking.start()
        reload(process, how)
        process.wait_for(lambda: process.metric("wakeful_events_scored_total") == 0.0, "anew")
        process.wait_ready()
        stopping.set()
        asking.join()
        assert set(asked) == {"ok"}
        assert process.get("/api/v1/streams/s") == told
        after = send(process, lines[300:])
        assert after[50]["suppressed"] == "rule"
    for _, client in running(tmp_path / "other"):
        body = b"\n".join(lines)
        reply = client.post("/api/v1/events?scores=true", content=body, headers=KIND)
        plain = reply.json()["results"]
    assert [one["score"] for one in before + after] == [one["score"] for one in plain]


def reload(process: Wakeful, how: str) -> None:
    if how == "signal":
        process.process.send_signal(signal.SIGHUP)
    else:
        assert "saved" in process.post("/api/v1/reload", b"")["status"]


def test_settings_that_are_wrong_change_nothing(tmp_path: Path) -> None:
    file, folder = settings_of(tmp_path), tmp_path / "data"
    arguments = ("serve", "--port", "0", "--config", str(file), "--data-dir", str(folder))
    with wakeful(*arguments) as process:
        send(process, wave(10))
        wrongs: tuple[dict[str, Any], ...] = (
            {"direction": {"x": "odd"}},
            {"artifact": "/nonexistent"},
            {"feature": []},
        )
        for wrong in wrongs:
            settings_of(tmp_path, **wrong)
            with pytest.raises(urllib.error.HTTPError) as refused:
                process.post("/api/v1/reload", b"")
            with refused.value as error:
                assert (error.code, next(iter(wrong)) in json.load(error)["detail"]) == (400, True)
        pem = tmp_path / "not.pem"
        pem.write_text("nothing of the kind")
        api = {"tls_cert_file": str(pem), "tls_key_file": str(pem)}
        file.write_text(json.dumps({"api": api}), encoding="utf-8")
        with pytest.raises(urllib.error.HTTPError) as refused:
            process.post("/api/v1/reload", b"")
        with refused.value as error:
            assert error.code == 400
        process.process.send_signal(signal.SIGHUP)
        process.wait_for(lambda: "those before stand" in process.said(), "said")
        assert process.metric("wakeful_events_scored_total") == 10.0
        assert process.get("/readyz")["status"] == "ready"


def test_brokers_and_databases_that_do_not_answer_are_not_taken(tmp_path: Path) -> None:
    """The service goes on with those before."""
    file, folder, port = settings_of(tmp_path), tmp_path / "data", free_port()
    nobodys = {
        "kafka.bootstrap_servers": {"kafka": {"bootstrap_servers": f"127.0.0.1:{port}"}},
        "history.url": {"history": {"url": f"postgresql://nobody@127.0.0.1:{port}/nothing"}},
    }
    arguments = ("serve", "--port", "0", "--config", str(file), "--data-dir", str(folder))
    with wakeful(*arguments) as process:
        send(process, wave(10))
        for place, named in nobodys.items():
            file.write_text(json.dumps(named), encoding="utf-8")
            with pytest.raises(urllib.error.HTTPError) as refused:
                process.post("/api/v1/reload", b"")
            with refused.value as error:
                assert (error.code, json.load(error)["detail"].partition(": ")[0]) == (400, place)
        assert process.metric("wakeful_events_scored_total") == 10.0
        assert process.get("/readyz")["status"] == "ready"


KAFKA = {
    "bootstrap_servers": "127.0.0.1:%d",
    "options": {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "anna",
        "sasl.password.file": "%s",
    },
}


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ({"kafka": KAFKA}, "kafka.bootstrap_servers"),
        ({"history": {"url_file": "%s"}}, "history.url"),
    ],
)
def test_what_is_new_in_a_file_is_tried_as_what_is_new_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, Any], place: str
) -> None:
    """Nobody answers there, before or after; what was taken already is not tried again."""
    monkeypatch.setattr("service.kafka.trouble.ANSWER_MS", 300)
    secret, port = tmp_path / "secret", free_port()
    address = f"postgresql://anna:%s@127.0.0.1:{port}/nothing"
    secret.write_text(address % "one", encoding="utf-8")
    text = json.dumps(named).replace("%d", str(port)).replace("%s", str(secret))
    given = {"data_dir": tmp_path / "data", **json.loads(text)}
    with closing(build_service(load_settings(None, given))) as service:
        check_change(service.settings, service.secrets, load_settings(None, given))
        secret.write_text(address % "another", encoding="utf-8")
        with pytest.raises(SettingsError, match=place):
            check_change(service.settings, service.secrets, load_settings(None, given))


def test_a_signal_to_end_during_a_reload_ends_it(tmp_path: Path) -> None:
    file, folder = settings_of(tmp_path), tmp_path / "data"
    arguments = ("serve", "--port", "0", "--config", str(file), "--data-dir", str(folder))
    with wakeful(*arguments) as process:
        process.process.send_signal(signal.SIGHUP)
        process.wait_for(lambda: "going on with the settings" in process.said(), "a reload")
        assert process.stop() == 0


def test_where_a_service_cannot_be_made_the_one_before_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun has let go of the data folder."""
    settings = load_settings(None, {"data_dir": tmp_path})
    broken = iter([True])

    def spans() -> Any:
        if next(broken, False):
            raise SettingsError("not today")
        return no_span

    monkeypatch.setattr("service.bootstrap.spans", spans)
    service = _made(settings, settings, {})
    assert service.settings is settings
    service.close()


@pytest.fixture
def handlers() -> Iterator[None]:
    """Of signals, as they were."""
    those = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in those}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_nothing_holds_a_service_that_another_follows(tmp_path: Path) -> None:
    """Whose memories would take as much room again."""
    settings = load_settings(None, {"data_dir": tmp_path, "api": {"port": 0}})
    made: list[weakref.ref[Pipeline]] = []

    def built() -> Service:
        service = build_service(settings)
        made.append(weakref.ref(service.pipeline))
        return service

    def reload_and_stop(address: str) -> None:
        try:
            httpx2.post(f"{address}/api/v1/reload").raise_for_status()
            deadline = time.monotonic() + WAIT_SECONDS
            while made[0]() is not None and time.monotonic() < deadline:
                with suppress(httpx2.HTTPError):  # of the former one, or of the one that follows
                    httpx2.get(f"{address}/livez")
            followed.append(made[0]() is None)
        finally:
            signal.raise_signal(signal.SIGTERM)

    followed: list[bool] = []
    with ThreadPoolExecutor() as beside:

        def announce(address: str) -> None:
            beside.submit(reload_and_stop, address)

        status = run_service(built(), announce, read=lambda: settings)
    assert (status, followed) == (0, [True])


def test_a_service_that_has_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    """Else each reload of the settings would take room that nobody gives back."""
    service = build_service(load_settings(None, {"data_dir": tmp_path}))
    with TestClient(create_app(service), "http://127.0.0.1") as client:
        assert client.get("/livez").status_code == 200
    service.pipeline.restore()
    service.close()
    left = weakref.ref(service.pipeline)
    del service, client
    forget_apps()
    gc.collect()
    assert left() is None
