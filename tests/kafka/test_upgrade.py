"""An artifact changed and changed back, on a real broker, with a worker killed on the way."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from kafka import TopicPartition

from model.artifact import Artifact, folder_of
from service.bootstrap import build_detectors
from service.cli import main
from service.clock import format_time
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from service.sources.kafka import batch_of
from service.upgrade import told
from tests.base import FINGERPRINT
from tests.kafka.changelogs import kept
from tests.kafka.topics import Names, made_topics, produce, read, sines
from tests.processes import Wakeful, wakeful

PARTITIONS = 2
STREAMS = 20
COMPACT = Artifact(folder_of(Path("compact"))).fingerprint_text
UPGRADE = ("compact", "base")
PHASES = ((("base",), 250), (UPGRADE, 300), (("base", "compact"), 60), (("base",), 60))
"""The artifact, the one that it replaces, and how many events each stream has meanwhile."""


@pytest.fixture
def topics(bootstrap_servers: str) -> Iterator[Names]:
    with made_topics(bootstrap_servers, f"u{uuid.uuid4().hex[:10]}", PARTITIONS) as made:
        yield made


def environment(topics: Names, artifacts: tuple[str, ...]) -> dict[str, str]:
    return topics.environment(
        **{
            f"WAKEFUL_DETECTORS__DEFAULT__{name}": artifact
            for name, artifact in zip(("ARTIFACT", "REPLACES"), artifacts, strict=False)
        },
        WAKEFUL_DETECTORS__DEFAULT__WARM_UP_HOURS="0",
        WAKEFUL_LIMITS__MAX_BATCH_EVENTS="50",  # slow enough to be killed in the middle
    )


def wait_for_event(process: Wakeful, number: int) -> None:
    """Until every stream has come to its event of this number."""
    newest = format_time(1.7e9 + 60.0 * number)
    process.wait_for(
        lambda: [one["time"] for one in process.pages("/api/v1/streams")] == [newest] * STREAMS,
        "everything read",
    )


def total(topics: Names) -> int:
    return sum(len(read(topics.servers, topics.events, n)) for n in range(PARTITIONS))


def expected(topics: Names, ends: list[dict[int, int]]) -> tuple[Counter[str], dict[str, bytes]]:
    """Anomalies, each with its artifact, and the first artifact's memories, of an uninterrupted run
    that changed at these offsets."""
    anomalies: Counter[str] = Counter()
    memories: dict[str, bytes] = {}
    for number in range(PARTITIONS):
        records = read(topics.servers, topics.events, number)
        both = DetectorSettings(
            artifact=Path("compact"), replaces=Path("base"), features=["value"], warm_up_hours=0.0
        )
        detectors = build_detectors({"default": both}, LimitSettings())
        by_name = dict(zip(UPGRADE, detectors, strict=True))
        start = 0
        for (artifacts, _), end in zip(PHASES, ends, strict=True):
            some = records[start : end[number]]
            raw = batch_of(TopicPartition(topics.events, number), some)
            scoring = [by_name[artifact] for artifact in artifacts]
            for part in told([(detector, detector.process(raw)) for detector in scoring]):
                anomalies.update(f"{a['id']} {a['artifact']}" for a in part.delivery.anomalies)
            start = end[number]
        arena = by_name["base"].arena
        for stream in arena.names:
            row = arena.row(stream)
            assert row is not None
            memories[f"{number}/{stream}"] = row.bytes.tobytes()
    return anomalies, memories


def test_an_artifact_is_changed_and_changed_back_without_a_gap(
    topics: Names, tmp_path: Path
) -> None:
    """Each anomaly once, of the artifact that spoke; memories as if nothing had stopped."""
    events, start, ends = sines(STREAMS, sum(count for _, count in PHASES)), 0, []
    for stream in range(0, STREAMS, 3):  # each phase ends with something to tell
        for number in np.cumsum([count for _, count in PHASES]) - 20:
            events[number * STREAMS + stream][1]["value"] += 200.0
    arguments = ("serve", "--data-dir", str(tmp_path), "--port", "0")
    for artifacts, count in PHASES:
        produce(topics, events[start : start + count * STREAMS])
        start += count * STREAMS
        ends.append({n: len(read(topics.servers, topics.events, n)) for n in range(PARTITIONS)})
        settings = environment(topics, artifacts)
        if artifacts == UPGRADE:
            with wakeful(*arguments, environment=settings) as process:
                process.wait_for(
                    lambda p=process: p.metric("wakeful_events_scored_total") > 1000,  # type: ignore[misc]
                    "the middle",
                )
                process.kill()
        with wakeful(*arguments, environment=settings) as process:
            wait_for_event(process, start // STREAMS - 1)
    drop = ["state", "drop", COMPACT, "--data-dir", str(tmp_path)]
    dropped = CliRunner(env=environment(topics, ("base",))).invoke(main, drop)
    assert dropped.exit_code == 0, dropped.output
    of_compact = kept(
        topics.servers, topics.events, topics.events, PARTITIONS, topics.memory, COMPACT
    )
    assert of_compact == {}
    anomalies, memories = expected(topics, ends)
    on_topic = [json.loads(one.value) for one in read(topics.servers, topics.anomalies)]
    assert Counter(f"{one['id']} {one['artifact']}" for one in on_topic) == anomalies
    assert {one["artifact"] for one in on_topic} == {FINGERPRINT, COMPACT}
    assert kept(topics.servers, topics.events, topics.events, PARTITIONS, topics.memory) == memories
