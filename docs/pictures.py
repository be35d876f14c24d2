"""The pictures of the page, taken from the demo: `make pictures`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from service.clock import parse_time

FOLDER = Path(__file__).parent / "pictures"
WAIT_SECONDS = 300.0
WIDTH, HEIGHT = 1200, 900
SETTLED_MS = 1500.0
PORT = 8127
ADDRESS = f"http://127.0.0.1:{PORT}"
STREAM, EPISODES = "nyc_taxi", 10
AROUND_SECONDS = 4 * 86_400.0
VIEWS = {
    "now": ("#/", "table.heat canvas"),
    "stream": ("#/streams/{stream}?start={from_}&end={to}", "figure canvas"),
    "episode": ("#/episodes/{id}", "figure canvas"),
}


def take_pictures() -> None:
    """Run the demo until an episode of its last series is there, and look at it."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "service", "demo", "--dir", folder, "--port", str(PORT)]
        demo = subprocess.Popen(command, start_new_session=True)
        try:
            episode = _awaited()
            with sync_playwright() as started:
                chromium = started.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                for name, (view, drawn) in VIEWS.items():
                    _picture(chromium, name, view.format(**episode), drawn)
                chromium.close()
        finally:
            os.killpg(demo.pid, signal.SIGINT)
            demo.wait()


def _awaited() -> dict[str, Any]:
    """The most severe episode of a stream, once there are some."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        time.sleep(1.0)
        try:
            items = _get(f"/api/v1/episodes?limit=1000&stream={STREAM}")["items"]
            if len(items) >= EPISODES and _get("/api/v1/now")["lag_records"] == 0:
                worst = max(items, key=lambda one: float(one["score"]))
                start, end = (parse_time(worst[name]) for name in ("start", "end"))
                return {**worst, "from_": start - AROUND_SECONDS, "to": end + AROUND_SECONDS}
        except OSError:
            continue
    raise SystemExit("the demo has no episodes")


def _get(path: str) -> Any:
    with urllib.request.urlopen(f"{ADDRESS}{path}") as reply:
        return json.load(reply)


def _picture(chromium: Browser, name: str, view: str, drawn: str) -> None:
    page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.goto(f"{ADDRESS}/{view}")
    page.locator(drawn).first.wait_for()
    page.wait_for_timeout(SETTLED_MS)
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()


if __name__ == "__main__":
    take_pictures()
