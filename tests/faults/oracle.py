"""What one uninterrupted run makes of a topic: nothing of Kafka's groups, offsets, transactions or
changelogs is used."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition

from service.bootstrap import build_detector
from service.settings import DetectorSettings, LimitSettings
from service.sources.kafka import batch_of
from tests.kafka.changelogs import kept
from tests.kafka.topics import Names, read

BATCH = 1000


@dataclass
class Found:
    """Memories by partition and stream; how often each anomaly and each dead letter is told."""

    memories: dict[str, bytes]
    anomalies: Counter[str]
    episodes: Counter[str]
    dead_letters: Counter[str]


def uninterrupted(names: Names) -> Found:
    found = Found({}, Counter(), Counter(), Counter())
    for number in range(names.partitions):
        records = read(names.servers, names.events, number)
        settings = DetectorSettings(features=["value"])
        detector = build_detector("default", settings, LimitSettings())
        for start in range(0, len(records), BATCH):
            some = records[start : start + BATCH]
            raw = batch_of(TopicPartition(names.events, number), some)
            delivery = detector.process(raw).delivery
            found.anomalies.update(anomaly["id"] for anomaly in delivery.anomalies)
            found.episodes.update(map(change_of, delivery.episodes))
            found.dead_letters.update(letter.id for letter in delivery.dead_letters)
        for stream in detector.arena.names:
            row = detector.arena.row(stream)
            assert row is not None
            found.memories[f"{number}/{stream}"] = row.bytes.tobytes()
    return found


def change_of(episode: Mapping[str, Any]) -> str:
    """All that is said of an episode at an event."""
    return json.dumps(episode, sort_keys=True)


def told(names: Names) -> Found:
    """What the group's memories are, and what a reader of its topics finds who reads what is
    committed."""
    anomalies = [json.loads(record.value)["id"] for record in read(names.servers, names.anomalies)]
    changes = [change_of(json.loads(one.value)) for one in read(names.servers, names.episodes)]
    letters = [
        dict(record.headers)["wakeful.id"].decode()
        for record in read(names.servers, names.dead_letters)
    ]
    memories = kept(names.servers, names.events, names.events, names.partitions, names.memory)
    return Found(memories, Counter(anomalies), Counter(changes), Counter(letters))


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
