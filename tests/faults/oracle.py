"""What one uninterrupted run makes of a topic: nothing of Kafka's groups, offsets, transactions or
changelogs is used."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.bootstrap import build_detector
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from service.sources.retained import Topics
from tests.kafka.changelogs import kept
from tests.kafka.topics import Names, read

ONE_FEATURE = DetectorSettings(features=["value"])


@dataclass
class Found:
    """Memories by partition and stream; how often each anomaly and each dead letter is told."""

    memories: dict[str, bytes]
    anomalies: Counter[str]
    episodes: Counter[str]
    dead_letters: Counter[str]
    records: int = 0


def uninterrupted(
    names: Names,
    settings: DetectorSettings = ONE_FEATURE,
    counts: Callable[[str], bool] = lambda _: True,
) -> Found:
    """Of streams that count, by their names."""
    found = Found({}, Counter(), Counter(), Counter())
    topics = Topics([names.servers], {})
    for number in range(names.partitions):
        detector = build_detector("default", settings, LimitSettings())
        with topics.records((names.events, number)) as retained:
            for raw in retained.batches:
                delivery = detector.process(raw).delivery
                found.records += len(raw)
                ours = [one for one in delivery.anomalies if counts(one["stream"])]
                found.anomalies.update(one["id"] for one in ours)
                changes = [one for one in delivery.episodes if counts(one["stream"])]
                found.episodes.update(map(change_of, changes))
                found.dead_letters.update(letter.id for letter in delivery.dead_letters)
        for stream in filter(counts, detector.arena.names):
            row = detector.arena.row(stream)
            assert row is not None
            found.memories[f"{number}/{stream}"] = row.bytes.tobytes()
    return found


def change_of(episode: Mapping[str, Any]) -> str:
    """All that is said of an episode at an event."""
    return json.dumps(episode, sort_keys=True)


def told(names: Names, counts: Callable[[str], bool] = lambda _: True) -> Found:
    """What the group's memories are, and what a reader of its topics finds who reads what is
    committed."""
    anomalies, changes = (
        [one for one in map(_body, read(names.servers, topic)) if counts(one["stream"])]
        for topic in (names.anomalies, names.episodes)
    )
    letters = [
        dict(record.headers)["wakeful.id"].decode()
        for record in read(names.servers, names.dead_letters)
    ]
    memories = kept(names.servers, names.events, names.events, names.partitions, names.memory)
    return Found(
        {name: row for name, row in memories.items() if counts(name.partition("/")[2])},
        Counter(one["id"] for one in anomalies),
        Counter(map(change_of, changes)),
        Counter(letters),
    )


def _body(record: Any) -> Any:
    return json.loads(record.value)


def differences(found: Found, expected: Found) -> dict[str, int]:
    """How much was lost, doubled or differs; empty where all is as it should be."""
    counts = {
        "memories lost": len(expected.memories.keys() - found.memories.keys()),
        "memories that differ": sum(
            row != expected.memories.get(name) for name, row in found.memories.items()
        ),
    }
    for what in ("anomalies", "episodes", "dead_letters"):
        have, want = getattr(found, what), getattr(expected, what)
        counts[f"{what} lost"] = (want - have).total()
        counts[f"{what} doubled"] = (have - want).total()
    return {what: count for what, count in counts.items() if count}
