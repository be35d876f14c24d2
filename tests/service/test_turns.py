"""Work that takes long is done for one request at a time, and few wait for it."""

import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest

from service.api import rewind
from service.api.problems import ProblemError
from service.api.turns import Turns
from service.rewind import Before
from tests.service.parts import wave
from tests.service.test_api import NDJSON, running

WAIT_SECONDS = 30.0


def test_some_wait_for_it_and_others_are_refused() -> None:
    turns, came = Turns("it", waiting=1), SimpleQueue[str]()

    def come() -> None:
        try:
            with turns.turn():
                came.put("done")
        except ProblemError as error:
            came.put(str(error.status))

    threads = [threading.Thread(target=come) for _ in range(2)]
    with turns.turn():
        for thread in threads:
            thread.start()
        assert came.get() == "503", "while the other one waits"
        assert came.empty()
    assert came.get() == "done"
    for thread in threads:
        thread.join()


def test_a_second_rewind_is_told_when_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, going_on = threading.Event(), threading.Event()

    def slow(*_: object) -> Before:
        begun.set()
        going_on.wait(WAIT_SECONDS)
        return Before({}, True)

    monkeypatch.setattr(rewind, "memory_before", slow)
    for _, client in running(tmp_path):
        lines = b"\n".join(wave(10))
        client.post("/api/v1/events?scores=true", content=lines, headers=NDJSON)
        path, to = "/api/v1/streams/s/rewind", {"time": "2026-01-01T00:00:00Z"}
        first = threading.Thread(target=partial(client.post, path, json=to))
        first.start()
        assert begun.wait(WAIT_SECONDS)
        second = client.post(path, json=to)
        assert (second.status_code, second.headers["retry-after"]) == (503, "10")
        assert "under way" in second.json()["detail"]
        going_on.set()
        first.join()


def test_when_to_come_again_is_what_the_instance_says_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(503)
            self.send_header("Retry-After", "7")
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Busy) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        address = f"http://127.0.0.1:{other.server_port}"
        for service, client in running(tmp_path):
            monkeypatch.setattr(service, "owners", SimpleNamespace(addresses=lambda _: [address]))
            path, to = "/api/v1/streams/s/rewind", {"time": "2026-01-01T00:00:00Z"}
            refused = client.post(path, json=to)
        thread.join()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
