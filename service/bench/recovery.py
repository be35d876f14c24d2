"""What a crash costs: seconds from a kill until every memory is back and events are read again."""

import http.client
import json
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from service.bench.kafka import MEMORIES, OUTPUTS, filled_topic
from service.bench.result import Result, by_turns
from service.bench.served import is_ready, process, wait_for
from service.bench.workload import Workload
from service.errors import WakefulError

EVENTS_AT_ONCE = 10_000


def ready_after_kill(work: Workload, streams: int, repeats: int) -> Result:
    """With the memories of so many streams in SQLite, beside a service that has none."""
    variables = {"WAKEFUL_DETECTORS__DEFAULT__FEATURES": json.dumps(work.features)}
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        ours, none = (partial(_ready, Path(folder), variables) for folder in (many, few))
        with process(Path(many), variables) as (_, address):
            wait_for(address, "/readyz?verbose", is_ready)
            _post(address, work, streams)
            wait_for(address, "/readyz?verbose", all_read)
        full, empty = by_turns(repeats, ours, none)
    return Result(f"ready_after_kill_{streams}", full, "s", "without memories", empty)


def ready_after_kill_kafka(servers: str, work: Workload, streams: int, repeats: int) -> Result:
    """The same with the memories in Kafka."""
    with (
        tempfile.TemporaryDirectory() as few,
        tempfile.TemporaryDirectory() as many,
        filled_topic(servers, work.records(1, 1)) as nothing,
        filled_topic(servers, work.records(streams, streams)) as topic,
    ):
        ours, none = (
            partial(_ready, Path(folder), environment(servers, read, work))
            for folder, read in ((many, topic), (few, nothing))
        )
        for fill in (ours, none):
            fill(saved=True)
        full, empty = by_turns(repeats, ours, none)
    return Result(f"ready_after_kill_kafka_{streams}", full, "s", "without memories", empty)


def _ready(folder: Path, environment: Mapping[str, str], saved: bool = False) -> float:
    """Seconds from starting it until it is ready; then it is killed, or where memories are to be
    `saved`, ended when it has read everything."""
    started = time.perf_counter()
    with process(folder, environment) as (running, address):
        wait_for(address, "/readyz?verbose", is_ready)
        seconds = time.perf_counter() - started
        if saved:
            wait_for(address, "/readyz?verbose", all_read)
        else:
            running.kill()
    return seconds


def _post(address: str, work: Workload, streams: int) -> None:
    """An event of each stream."""
    lines = [
        b'{"stream":"%b",%b' % (stream, event.partition(b"{")[2])
        for stream, event in work.records(streams, streams)
    ]
    with closing(http.client.HTTPConnection(address)) as connection:
        for first in range(0, len(lines), EVENTS_AT_ONCE):
            body = b"\n".join(lines[first : first + EVENTS_AT_ONCE])
            kind = {"content-type": "application/x-ndjson"}
            connection.request("POST", "/api/v1/events", body, kind)
            reply = connection.getresponse()
            said = reply.read()
            if reply.status >= HTTPStatus.BAD_REQUEST:
                raise WakefulError(f"POST /api/v1/events: {reply.status} {said[:200]!r}")


def all_read(body: Any) -> bool:
    return is_ready(body) and body["lag_records"] == 0


def environment(servers: str, topic: str, work: Workload) -> dict[str, str]:
    return {
        "WAKEFUL_KAFKA__BOOTSTRAP_SERVERS": servers,
        "WAKEFUL_KAFKA__TOPICS": json.dumps([topic]),
        "WAKEFUL_KAFKA__GROUP_ID": topic,
        "WAKEFUL_KAFKA__ANOMALIES_TOPIC": topic + OUTPUTS,
        "WAKEFUL_KAFKA__EPISODES_TOPIC": topic + OUTPUTS,
        "WAKEFUL_KAFKA__DEAD_LETTERS_TOPIC": topic + OUTPUTS,
        "WAKEFUL_KAFKA__MEMORY_TOPIC": topic + MEMORIES,
        "WAKEFUL_DETECTORS__DEFAULT__FEATURES": json.dumps(work.features),
    }
