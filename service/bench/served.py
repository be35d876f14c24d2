"""`wakeful serve` as a process, waited for."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from service.errors import WakefulError

START_SECONDS = 120.0
POLL_SECONDS = 0.02


@contextmanager
def serving() -> Iterator[str]:
    """One with a folder of its own, ready; its host and port."""
    with tempfile.TemporaryDirectory() as folder, process(Path(folder), {}) as (_, address):
        wait_for(address, "/readyz?verbose", is_ready)
        yield address


@contextmanager
def process(
    folder: Path, environment: Mapping[str, str]
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """One that may not be ready yet, with its host and port; it is asked to end."""
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(folder)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    ) as started:
        try:
            lines = started.stdout or ()
            line = next((line for line in lines if "http://" in line), "http:// ")
            yield started, urllib.parse.urlparse(line[line.find("http://") :].split()[0]).netloc
        finally:
            started.terminate()


def wait_for(address: str, path: str, condition: Callable[[Any], bool]) -> None:
    """Until the JSON that is there is as it should be."""
    deadline = time.monotonic() + START_SECONDS
    with closing(http.client.HTTPConnection(address)) as connection:
        while True:
            connection.request("GET", path)
            if condition(json.loads(connection.getresponse().read())):
                return
            if time.monotonic() > deadline:
                raise WakefulError("`wakeful serve` was not ready in time")
            time.sleep(POLL_SECONDS)


def is_ready(body: Any) -> bool:
    return bool(body["status"] == "ready")
