"""What a crash costs: seconds from a kill until every memory is back and events are read again."""

import json
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from service.bench.kafka import MEMORIES, OUTPUTS, filled_topic
from service.bench.result import Result, by_turns
from service.bench.served import is_ready, process, wait_for
from service.bench.workload import Workload


def ready_after_kill(servers: str, work: Workload, streams: int, repeats: int) -> Result:
    """With the memories of so many streams in Kafka, beside a service that has none."""
    with (
        tempfile.TemporaryDirectory() as few,
        tempfile.TemporaryDirectory() as many,
        filled_topic(servers, work.records(1, 1)) as nothing,
        filled_topic(servers, work.records(streams, streams)) as topic,
    ):
        ours, none = (
            partial(_ready, Path(folder), _environment(servers, read, work))
            for folder, read in ((many, topic), (few, nothing))
        )
        for fill in (ours, none):
            fill(saved=True)
        full, empty = by_turns(repeats, ours, none)
    return Result(f"ready_after_kill_{streams}", full, "s", "without memories", empty)


def _ready(folder: Path, environment: Mapping[str, str], saved: bool = False) -> float:
    """Seconds from starting it until it is ready; then it is killed, or where memories are to be
    `saved`, ended when it has read everything."""
    started = time.perf_counter()
    with process(folder, environment) as (running, address):
        wait_for(address, "/readyz?verbose", is_ready)
        seconds = time.perf_counter() - started
        if saved:
            wait_for(address, "/readyz?verbose", _all_read)
        else:
            running.kill()
    return seconds


def _all_read(body: Any) -> bool:
    return is_ready(body) and body["lag_records"] == 0


def _environment(servers: str, topic: str, work: Workload) -> dict[str, str]:
    return {
        "WAKEFUL_KAFKA__BOOTSTRAP_SERVERS": servers,
        "WAKEFUL_KAFKA__TOPICS": json.dumps([topic]),
        "WAKEFUL_KAFKA__GROUP_ID": topic,
        "WAKEFUL_KAFKA__ANOMALIES_TOPIC": topic + OUTPUTS,
        "WAKEFUL_KAFKA__DEAD_LETTERS_TOPIC": topic + OUTPUTS,
        "WAKEFUL_KAFKA__MEMORY_TOPIC": topic + MEMORIES,
        "WAKEFUL_DETECTORS__DEFAULT__FEATURES": json.dumps(work.features),
    }
