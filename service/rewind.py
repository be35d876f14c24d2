"""`wakeful replay --stream`: one stream's memory as it was, and what was scored then once more."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from service.bootstrap import DATABASE, build_detector
from service.decoding.json import Decoded
from service.detector import Detector
from service.errors import StateError
from service.records import I64, Delivery, Names, Partition, RawBatch, result_of
from service.settings import Settings
from service.sinks.csv import CsvSink, rejected_file
from service.sinks.history import AnomalyFilter, History, url_of
from service.sources.retained import Retained, Topics, of_log

PAGE = 1000
Part = tuple[RawBatch, Decoded]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which stream of which detector, and which of its events are shown: those from the first on
    that is not before `start` (Unix seconds) and has no lower offset than `first`, and is before
    `end`; None where there is no bound."""

    stream: str
    detector: str
    start: float | None = None
    first: int | None = None
    end: float | None = None


@dataclass(slots=True)
class Rewound:
    """What came of it.

    Where `first_offset` is not 0, older records are gone, and the memory begins later than the one
    of then did. `memory` is the stream's before the first
    event that is shown, None where that was its first. `recorded` are the anomalies of the time
    that were told then, by id.
    """

    partition: Partition
    first_offset: int
    artifact: str
    memory: dict[str, Any] | None = None
    shown: list[Delivery] = field(default_factory=list)
    features: tuple[str, ...] = ()
    recorded: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether nothing that the stream was remembered by is gone."""
        return self.first_offset == 0

    @property
    def anomalies(self) -> list[Mapping[str, Any]]:
        return list(chain.from_iterable(part.anomalies for part in self.shown))

    def as_then(self, anomaly: Mapping[str, Any]) -> str:
        """Whether an anomaly is what was told then, in words."""
        told = self.recorded.get(anomaly["id"])
        if told is None:
            return "no record of it"
        if told == anomaly:
            return "as it was told then"
        if told["artifact"] != anomaly["artifact"]:
            return f"told then by artifact {told['artifact']} with a score of {told['score']:.2f}"
        return f"told then with a score of {told['score']:.2f}"

    def to_json(self) -> dict[str, Any]:
        topic, number = self.partition
        return {
            "topic": topic,
            "partition": number,
            "first_offset": self.first_offset,
            "whole": self.whole,
            "artifact": self.artifact,
            "memory": self.memory,
            "results": [
                {"offset": int(part.scored.offsets[i]), **result_of(part.scored, i)}
                for part in self.shown
                for i in range(len(part.scored))
            ],
            "anomalies": [{**one, "then": self.as_then(one)} for one in self.anomalies],
        }


def rewind(settings: Settings, asked: Asked) -> Rewound:
    """Score a stream's retained events again, from a fresh memory; StateError where there are none.

    Nothing of the service is touched, which may be running.
    """
    configured = settings.detectors[asked.detector]
    for place in _places(settings, asked):
        detector = build_detector(asked.detector, configured, settings.limits)
        with place as retained:
            found = _replayed(detector, retained, asked)
        if found is not None:
            found.recorded = {one["id"]: one for one in _recorded(settings, asked)}
            return found
    raise StateError(f"no event of the stream {asked.stream!r} is retained")


def write_rows(rewound: Rewound, stream: str, folder: Path) -> Path:
    """The events that are shown, a row each, as `wakeful replay` writes them of files."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{quote(stream, safe='')}.csv"
    sink = CsvSink(file, rejected_file(file), rewound.features)
    try:
        for delivery in rewound.shown:
            sink.deliver(delivery)
    finally:
        sink.close()
    return file


def _places(settings: Settings, asked: Asked) -> Iterator[AbstractContextManager[Retained]]:
    """Where the stream's events may be, the likeliest place first."""
    kafka = settings.kafka
    if kafka.bootstrap_servers is None:
        yield of_log(settings.data_dir / DATABASE)
        return
    topics = Topics(kafka.bootstrap_servers, kafka.options)
    for topic in settings.topics_of(asked.detector):
        for partition in topics.partitions(topic, asked.stream.encode()):
            yield topics.records(partition)


def _replayed(detector: Detector, retained: Retained, asked: Asked) -> Rewound | None:
    """None where the stream has no event there."""
    made_by = detector.artifact.fingerprint_text
    rewound = Rewound(retained.partition, retained.first_offset, made_by)
    known = False
    for raw in retained.batches:
        if raw.detector not in (None, asked.detector):
            continue
        decoded = detector.decode(raw)
        mine = _of_stream(decoded.events.streams, asked.stream)
        known = known or len(mine) > 0
        before, after = _parts(raw, decoded, mine, asked)
        if rewound.shown:
            rewound.shown += [detector.score(*part).delivery for part in (before, after)]
            continue
        detector.score(*before)
        rewound.memory = detector.stream(asked.stream)
        delivery = detector.score(*after).delivery
        rewound.shown += [delivery] * (len(delivery.raw) > 0)
    rewound.features = detector.features
    return rewound if known else None


def _parts(raw: RawBatch, decoded: Decoded, mine: I64, asked: Asked) -> Iterator[Part]:
    """The stream's events of a batch that are not behind the end, cut where the first is that may
    be shown; also where there are none, as other streams' may bring features."""
    events = decoded.events.only(mine)
    before_end = np.full(len(mine), True) if asked.end is None else events.times < asked.end
    shown = (events.times >= (asked.start or 0.0)) & (events.offsets >= (asked.first or 0))
    cut = int(np.argmax(shown)) if shown.any() else len(mine)
    for some in (mine[:cut][before_end[:cut]], mine[cut:][before_end[cut:]]):
        chosen = decoded.events.only(some)
        part = raw.part(chosen.records)
        chosen = replace(chosen, records=np.arange(len(some)))
        yield part, replace(decoded, events=chosen, dead_letters=[])


def _of_stream(streams: Names, stream: str) -> I64:
    """(m,), which of the events are of a stream."""
    name = stream.encode()
    as_long = np.flatnonzero(streams.spans[:, 1] == len(name)).tolist()
    return np.array([i for i in as_long if streams[i] == stream], np.int64)


def _recorded(settings: Settings, asked: Asked) -> Iterator[Mapping[str, Any]]:
    """The stream's anomalies that the history has, of the time that is shown."""
    shared, file = settings.history.secret(), settings.data_dir / DATABASE
    if shared is None and not file.exists():
        return
    history = History.of_file(file) if shared is None else History(url_of(shared))
    before: int | None = None
    try:
        while True:
            wanted = AnomalyFilter(
                asked.detector, asked.stream, start=asked.start, end=asked.end, before=before
            )
            items, before = history.anomalies(wanted, PAGE)
            yield from items
            if before is None:
                return
    finally:
        history.close()
