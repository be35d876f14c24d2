"""Everything started, faults for so long, and then what is there beside what should be."""

import json
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.bench.broker import running_broker
from service.settings.detector import DetectorSettings
from tests.faults.hanging import end_hanging
from tests.faults.oracle import differences, told, uninterrupted
from tests.faults.soak.hook import Hook, hooked
from tests.faults.soak.load import LIMITS, producing
from tests.faults.soak.scenes import Stage, measured
from tests.faults.soak.verdict import Verdict, growth, waited
from tests.faults.soak.watching import Page, Reader, Sampler, running
from tests.kafka.topics import Names, behind, made_topics, read
from tests.postgres import programs, running_postgres
from tests.processes import Wakeful

PARTITIONS = 4
MUTED = "muted-"
DETECTOR: dict[str, Any] = {"features": ["value"], "rules": {"value": {"limits": LIMITS}}}
SHOWN = 20
TOLD_SECONDS = 900.0  # in which a receiver that is back has been told all that waited


@dataclass(frozen=True)
class Length:
    """Of the whole, of a scene, and of finding out how much it takes; seconds. `faults`: at least
    so many; `share`: of what it takes; `reloads`: before anything is measured, as the first ones
    take room that the others use again."""

    whole: float
    scene: float
    measured: float
    faults: int
    share: float = 0.5
    reloads: int = 0


def soak(home: Path, folder: Path, length: Length) -> Verdict:
    """Run it all on a throwaway broker. What the service logs is in `folder`, as service.log."""
    with (
        running_broker(home, folder / "kafka") as broker,
        made_topics(broker.address, "soak", PARTITIONS) as names,
        _database(folder / "postgres") as database,
        hooked() as hook,
        producing(names.servers, names.events) as load,
    ):
        settings = _Settings(folder / "wakeful.json", names, hook, database)
        arguments = ("serve", "--data-dir", str(folder / "data"), "--port", "0")
        service = Wakeful(*arguments, "--config", str(settings.write(0)), forked=False)
        try:
            stage = Stage(service, broker, hook, load, database, settings.write)
            stage.settle()
            rate = length.share * measured(stage, length.measured)
            for _ in range(length.reloads):
                stage.reload()
            load.pace(rate)
            page, reader = Page(service.address), Reader(service.address)
            sampler = Sampler(service.process.pid)
            with running(page.run, reader.run, sampler.run):
                started = time.time()
                stage.play(length.scene, started + length.whole, length.faults)
                minutes = (time.time() - started) / 60.0
                load.stop()
                _wait_scored(names, stage)
            missing = _untold(service, hook)
            assert service.stop() == 0, service.said()
        finally:
            service.kill()
            (folder / "service.log").write_text("".join(service.log()), encoding="utf-8")
        missing |= _missing(names, load.sent)
    growths = {what: growth(sampler.samples, what) for what in ("rss", "pss", "files", "threads")}
    return Verdict(
        sampler.samples, minutes, rate, load.sent, missing, growths,
        waited(stage.windows, page.waited), dict(reader.answers), stage.reloads, page.connected,
    )  # fmt: skip


@contextmanager
def _database(folder: Path) -> Iterator[str | None]:
    """PostgreSQL where it is installed; else the service keeps its history in SQLite."""
    bin_ = programs()
    if bin_ is None:
        yield None
        return
    with running_postgres(bin_, folder) as address:
        yield address


@dataclass(frozen=True)
class _Settings:
    """The settings' file."""

    file: Path
    names: Names
    hook: Hook
    database: str | None

    def write(self, turn: int) -> Path:
        """Each turn a little different, in what changes no score."""
        names = self.names
        body: dict[str, Any] = {
            "kafka": {
                "bootstrap_servers": names.servers,
                "topics": [names.events],
                "group_id": names.events,
                "anomalies_topic": names.anomalies,
                "episodes_topic": names.episodes,
                "dead_letters_topic": names.dead_letters,
                "memory_topic": names.memory,
            },
            "api": {"max_requests_per_second": 500.0 + turn},
            "notify": {"hook": {"url": self.hook.url, "private": True, "streams": "told-*"}},
            "detectors": {"default": DETECTOR},
        }
        if self.database is not None:
            body["history"] = {"url": self.database}
        self.file.write_text(json.dumps(body), encoding="utf-8")
        return self.file


def _wait_scored(names: Names, stage: Stage) -> None:
    """Until what is scored reaches to the topic's end."""
    while behind(names):
        stage.settle()


def _untold(service: Wakeful, hook: Hook) -> dict[str, int]:
    """What a receiver that is back was not told."""
    deadline = time.monotonic() + TOLD_SECONDS
    waiting = "/api/v1/notifications?state=waiting&limit=1"
    while service.get(waiting)["items"] and time.monotonic() < deadline:
        time.sleep(1.0)
    listed = service.pages("/api/v1/notifications")
    unsent = sum(one["state"] != "sent" for one in listed)
    counts = {
        "notifications not sent": unsent,
        "notifications that the receiver has not": len(listed) - unsent - len(hook.taken),
    }
    return {what: count for what, count in counts.items() if count}


def _missing(names: Names, sent: int) -> dict[str, int]:
    """What differs from an uninterrupted run of what is on the topic, streams apart that were muted
    now and then: their memories know of fewer alarms."""
    if hanging := end_hanging(names):
        print("hanging transactions:", hanging)  # noqa: T201
    settings = DetectorSettings.model_validate(DETECTOR)
    expected, found = uninterrupted(names, settings, _counts), told(names, _counts)
    counts = differences(found, expected)
    _show(names, (found.anomalies - expected.anomalies).keys())
    lost = sent - expected.records
    return counts | ({"records that the topic has not": lost} if lost else {})


def _show(names: Names, doubled: Collection[str]) -> None:
    """Where and when some anomalies were told that were told twice."""
    for record in read(names.servers, names.anomalies) if doubled else ():
        told_as = json.loads(record.value)["id"]
        if told_as in list(doubled)[:SHOWN]:
            print(f"twice: {told_as} {record.timestamp} {record.partition} {record.offset}")  # noqa: T201


def _counts(stream: str) -> bool:
    return not stream.startswith(MUTED)
