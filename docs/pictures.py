"""The pictures of the page, taken from the demo's presets: `make pictures`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from service.clock import parse_time
from service.demo.play import history_events
from service.demo.presets import PRESETS

FOLDER = Path(__file__).parent / "pictures"
WAIT_SECONDS = 300.0
LIVE_SECONDS = 30.0  # then the rate that the page tells is that of the live part
WIDTH = 1200
SETTLED_MS = 1500.0
PORT = 8127
ADDRESS = f"http://127.0.0.1:{PORT}"
SCORED = "wakeful_events_scored_total{"
VIEWS = {  # what is shown, how much of it in height, and what is drawn last
    "now": ("#/?span={span}", 1150, "table.heat canvas"),
    "stream": ("#/streams/{stream}?start={from_}&end={to}", 1150, "figure canvas"),
    "episode": ("#/episodes/{id}", 900, "figure canvas"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """Of a preset: the stream whose worst episode is shown, with so much time on either side."""

    preset: str
    stream: str
    around_seconds: float


SHOWN = (
    Shown("operations", "nyc_taxi", 4 * 86_400.0),
    Shown("vitals", "patient-220", 18.0),
    Shown("transactions", "card-144", 7 * 86_400.0),
)


def take_pictures() -> None:
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for shown in SHOWN:
            _of_preset(shown, chromium)
        chromium.close()


def _of_preset(shown: Shown, chromium: Browser) -> None:
    """Run the demo until it is live, and look at it."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--preset", shown.preset, "--dir", folder, "--port", str(PORT)]
        command = [sys.executable, "-m", "service", "demo", *options]
        demo = subprocess.Popen(command, start_new_session=True)
        try:
            _wait_until_live(shown.preset)
            asked = {**_worst(shown), "span": PRESETS[shown.preset].span}
            for name, (view, height, drawn) in VIEWS.items():
                file = FOLDER / f"{shown.preset}-{name}.png"
                _picture(chromium, file, view.format(**asked), height, drawn)
        finally:
            os.killpg(demo.pid, signal.SIGINT)
            demo.wait()


def _wait_until_live(preset: str) -> None:
    history = history_events(PRESETS[preset].series())
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        time.sleep(1.0)
        try:
            lines = _text("/metrics").splitlines()
        except OSError:
            continue
        if sum(float(line.split()[-1]) for line in lines if line.startswith(SCORED)) >= history:
            time.sleep(LIVE_SECONDS)
            return
    raise SystemExit(f"the demo of {preset} does not come to its live part")


def _worst(shown: Shown) -> dict[str, Any]:
    """The most severe episode of the stream, and the time around it."""
    items = json.loads(_text(f"/api/v1/episodes?limit=1000&stream={shown.stream}"))["items"]
    worst = max(items, key=lambda one: float(one["score"]))
    start, end = (parse_time(worst[name]) for name in ("start", "end"))
    return {**worst, "from_": start - shown.around_seconds, "to": end + shown.around_seconds}


def _text(path: str) -> str:
    with urllib.request.urlopen(f"{ADDRESS}{path}") as reply:
        return str(reply.read().decode())


def _picture(chromium: Browser, file: Path, view: str, height: int, drawn: str) -> None:
    page = chromium.new_page(viewport={"width": WIDTH, "height": height})
    page.goto(f"{ADDRESS}/{view}")
    page.locator(drawn).first.wait_for()
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=file)
    page.close()


if __name__ == "__main__":
    take_pictures()
