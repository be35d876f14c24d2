"""A disk that is full, and a write that was torn: nothing is misread, and what is told is there."""

import json
import resource
import shutil
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from service.bootstrap import Service, build_service
from service.errors import StateError
from service.memory.store import memories
from service.settings.loading import load_settings
from tests.processes import Wakeful, wakeful
from tests.service.parts import wave

CUTS = 12
MOST_TRIES = 10_000


def serving(folder: Path) -> Service:
    return build_service(load_settings(None, {"data_dir": folder}))


def drained(folder: Path) -> tuple[dict[str, bytes], int]:
    """What a service makes of a data folder: its memories, and how many events its log has."""
    service = serving(folder)
    try:
        assert service.log is not None
        service.pipeline.restore()
        while service.log.lag():
            service.pipeline.run_once()
        service.pipeline.checkpoint()
        return memories(
            service.pipeline.store, service.pipeline.detectors["default"].memory
        ), service.log.next_offset
    finally:
        service.close()


def test_a_torn_write_is_undone_or_refused_and_never_misread(tmp_path: Path) -> None:
    """The write-ahead log is cut at any byte, as a power cut may leave it: the memories are those
    of the events that are still there, or it is said that they are damaged."""
    events = wave(400, "s") + wave(300, "t")
    service = serving(tmp_path / "whole")
    assert service.log is not None
    service.pipeline.restore()
    for start in range(0, len(events), 50):
        service.log.append("default", events[start : start + 50])
        service.pipeline.run_once()
        if start % 200 == 0:
            service.pipeline.checkpoint()
    shutil.copytree(tmp_path / "whole", tmp_path / "crashed")  # as a crash would leave it
    service.close()

    size = (tmp_path / "crashed" / "wakeful.db-wal").stat().st_size
    assert size > 0
    refused = 0
    for n, cut in enumerate(np.random.default_rng(1).integers(0, size, CUTS).tolist()):
        torn = tmp_path / f"torn-{n}"
        shutil.copytree(tmp_path / "crashed", torn)
        with (torn / "wakeful.db-wal").open("r+b") as file:
            file.truncate(cut)
        try:
            found, kept = drained(torn)
        except StateError as error:
            assert "damaged" in str(error)
            refused += 1
            continue
        fresh = serving(tmp_path / f"fresh-{n}")
        assert fresh.log is not None
        fresh.log.append("default", events[:kept])
        fresh.close()
        assert (found, kept) == drained(tmp_path / f"fresh-{n}")
    assert refused < CUTS


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux alone limits another process")
def test_on_a_full_disk_events_are_refused_and_nothing_that_was_taken_is_lost(
    tmp_path: Path,
) -> None:
    arguments = ("serve", "--data-dir", str(tmp_path), "--port", "0")
    with wakeful(*arguments) as process:
        taken = _send(process, "before", 50)
        unlimited = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
        with pytest.raises(urllib.error.HTTPError, match="503"):
            for _ in range(MOST_TRIES):  # until what is reserved already is used up
                taken += _send(process, "full", 50)
        assert process.get("/livez") == {"status": "ok"}
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, unlimited)
        taken += _send(process, "after", 50)
        process.wait_for(lambda: process.metric("wakeful_events_scored_total") == taken, "scored")
        process.kill()
    with wakeful(*arguments) as process:
        process.wait_for(lambda: _events(process) == taken, "all that was taken")


def _send(process: Wakeful, stream: str, count: int) -> int:
    """How many more events the stream has."""
    known = process.get(f"/api/v1/streams/{stream}").get("events", 0)
    body = [{"stream": stream, "time": 1.7e9 + 60 * (known + n), "value": n} for n in range(count)]
    reply = process.post("/api/v1/events?scores=true", json.dumps(body).encode())
    assert reply["rejected"] == []
    return count


def _events(process: Wakeful) -> int:
    return sum(item["events"] for item in process.pages("/api/v1/streams"))
