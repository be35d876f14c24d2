"""Who looks at the service meanwhile: a page that listens, readers of the API, and /proc."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from service.clock import parse_time

SAMPLE_SECONDS = 5.0
READ_SECONDS = 0.25
TIMEOUT_SECONDS = 30.0
PATHS = (
    "/", "/api/v1/now", "/api/v1/episodes?limit=20", "/api/v1/streams?limit=50", "/metrics",
    "/api/v1/streams/s-2", "/api/v1/streams/s-2/scores", "/api/v1/anomalies?limit=20",
    "/api/v1/notifications?limit=20", "/readyz?verbose",
)  # fmt: skip


@dataclass
class Page:
    """Listens to /api/v1/live as a browser does, and comes back when it was sent away."""

    address: str
    waited: list[tuple[float, float]] = field(default_factory=list)
    """Of each anomaly when its event was due, and seconds until it was heard of."""
    connected: int = 0
    _last: str | None = None

    def run(self, ending: threading.Event) -> None:
        while not ending.is_set():
            try:
                self._listen(ending)
            except (OSError, http.client.HTTPException):
                ending.wait(0.1)

    def _listen(self, ending: threading.Event) -> None:
        headers = {} if self._last is None else {"Last-Event-ID": self._last}
        with closing(_connection(self.address)) as connection:
            connection.request("GET", "/api/v1/live", headers=headers)
            reply = connection.getresponse()
            self.connected += 1
            name = ""
            while not ending.is_set() and (line := reply.readline()):
                what, _, said = line.decode().rstrip("\n").partition(": ")
                if what == "id":
                    self._last = said
                elif what == "event":
                    name = said
                elif what == "data" and name == "anomaly":
                    due = parse_time(json.loads(said)["time"])
                    self.waited.append((due, time.time() - due))


@dataclass
class Reader:
    """Asks one thing after the other."""

    address: str
    answers: Counter[str] = field(default_factory=Counter)

    def run(self, ending: threading.Event) -> None:
        n = 0
        while not ending.wait(READ_SECONDS):
            n += 1
            try:
                with closing(_connection(self.address)) as connection:
                    connection.request("GET", PATHS[n % len(PATHS)])
                    reply = connection.getresponse()
                    reply.read()
                    self.answers[str(reply.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.answers[type(error).__name__] += 1


@dataclass(frozen=True)
class Sample:
    """What a process holds: MB, and how many."""

    time: float
    rss: float
    pss: float
    files: int
    threads: int


@dataclass
class Sampler:
    """Looks at a process in /proc at first, now and then, and at last."""

    process: int
    samples: list[Sample] = field(default_factory=list)

    def run(self, ending: threading.Event) -> None:
        self.samples.append(sample(self.process))
        while not ending.wait(SAMPLE_SECONDS):
            self.samples.append(sample(self.process))
        self.samples.append(sample(self.process))


def sample(process: int) -> Sample:
    proc = Path("/proc") / str(process)
    lines = (proc / "smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: float(line.split()[1]) for line in lines}
    return Sample(
        time.time(), kilobytes["Rss"] / 1024, kilobytes["Pss"] / 1024,
        len(list((proc / "fd").iterdir())), len(list((proc / "task").iterdir())),
    )  # fmt: skip


@contextmanager
def running(*watchers: Callable[[threading.Event], None]) -> Iterator[None]:
    """Each in a thread of its own."""
    ending = threading.Event()
    threads = [threading.Thread(target=run, args=(ending,)) for run in watchers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def _connection(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT_SECONDS)
