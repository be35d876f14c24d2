"""A running service with streams to look at, and a browser to look at them with."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from playwright import sync_api as playwright

from tests.processes import Wakeful, wakeful

NDJSON = "application/x-ndjson"
START = 1.7e9
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "a/b?c#d%2F&e=f",
    "größe-温度-🌡 שרת",
    "x" * 200,
]
playwright.expect.set_options(timeout=30_000)  # a busy machine takes its time
CHROMIUM = shutil.which("chromium")


@dataclass
class Looked:
    """A page, and what went wrong on it."""

    page: Any
    address: str
    problems: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def open(self, view: str, heading: str) -> None:
        """A view by its link, once its heading is there."""
        self.page.goto(f"{self.address}/{view}")
        self.page.locator("h1", has_text=heading).wait_for()

    def said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.note(message.text)

    def note(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.problems.append(text)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wakeful]:
    """Streams that are well, some that just broke, names that mean harm, rejected records."""
    if CHROMIUM is None:
        pytest.skip("no chromium on the path")
    folder = tmp_path_factory.mktemp("web")
    with wakeful("serve", "--port", "0", "--data-dir", str(folder)) as process:
        send(process, waves("web-1", 600, broken=1) + waves("web-2", 600, broken=4))
        send(process, waves("calm", 600))
        for name in HOSTILE:
            send(process, waves(name, 300, broken=1))
        send(process, [{"value": 3}, {"stream": "calm", "time": "yesterday", "cpu": 1}])
        send(process, [{"stream": f"many-{n:03}", "time": START, "cpu": 0.5} for n in range(120)])
        yield process


def send(process: Wakeful, events: list[dict[str, Any]]) -> None:
    """Post events, and wait until they are scored."""
    body = "\n".join(json.dumps(event) for event in events).encode()
    process.post("/api/v1/events?scores=true", body, NDJSON)


def waves(stream: str, n: int, broken: int = 0, start: float = START) -> list[dict[str, Any]]:
    """Two features, a value a minute; the last `broken` ones are far too high."""
    random = np.random.default_rng(n)
    i = np.arange(n)
    cpu = 0.4 + 0.1 * np.sin(i / 20) + random.normal(0, 0.01, n)
    latency = 80 + 5 * np.sin(i / 20) + random.normal(0, 1, n)
    if broken:
        cpu[-broken:] += 0.6
    return [
        {"stream": stream, "time": start + 60 * k, "cpu": cpu[k], "latency_ms": latency[k]}
        for k in range(n)
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Closed after its file: while it is open, no other event loop can run on this thread."""
    if CHROMIUM is None:
        pytest.skip("no chromium on the path")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def looked(served: Wakeful, browser: Any) -> Iterator[Looked]:
    """A fresh page; at its end nothing may have gone wrong on it that the test did not expect."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(30_000)
    page = context.new_page()
    one = Looked(page, served.address)
    page.on("console", one.said)
    page.on("pageerror", lambda error: one.note(str(error)))
    page.on("dialog", lambda dialog: one.note(f"dialog: {dialog.message}"))
    yield one
    context.close()
    assert one.problems == []


def stream_view(name: str, question: str = "") -> str:
    return f"#/streams/{quote(name, safe='')}{question}"
