"""One stream's memory as it was, and what was scored then once more."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import crc32

import numpy as np

from service.bootstrap import DATABASE, build_detector, build_detectors, unpacking
from service.decoding.json import Decoded
from service.detector import Detector
from service.errors import StateError
from service.memory.store import Idle
from service.mutes import Mutes
from service.records import I64, Delivery, Names, Partition, RawBatch, result_of
from service.settings.tree import Settings
from service.sinks.csv import CsvSink, rejected_file
from service.sinks.history import AnomalyFilter, History, url_of
from service.sources.retained import Retained, Topics, of_log
from service.upgrade import of_records

PAGE = 1000
LONGEST_NAME = 200  # of a file, without what is added to it
Part = tuple[RawBatch, Decoded]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which stream of which detector, and which of its events are shown: those from the first on
    that is not before `start` (Unix seconds) and has no lower offset than `first`, and is before
    `end`; None where there is no bound. `partition` is where they are, None where nobody knows."""

    stream: str
    detector: str
    start: float | None = None
    first: int | None = None
    end: float | None = None
    partition: Partition | None = None


@dataclass(slots=True)
class Rewound:
    """What came of it.

    Where `first_offset` is not 0, older records are gone, and the memory begins later than the one
    of then did. `memory` is the stream's before the first event that is shown, None where that was
    its first. `then` are the anomalies among the shown events that were told then, by id.
    """

    partition: Partition
    first_offset: int
    artifact: str
    memory: dict[str, Any] | None = None
    shown: list[Delivery] = field(default_factory=list)
    features: tuple[str, ...] = ()
    then: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def anomalies(self) -> list[Mapping[str, Any]]:
        """Those of now."""
        return list(chain.from_iterable(part.anomalies for part in self.shown))

    @property
    def not_now(self) -> list[Mapping[str, Any]]:
        """Those that were told then, and would not be now."""
        now = {one["id"] for one in self.anomalies}
        told = (one for name, one in self.then.items() if name not in now)
        return sorted(told, key=lambda one: int(one["offset"]))

    def to_json(self) -> dict[str, Any]:
        topic, number = self.partition
        return {
            "topic": topic,
            "partition": number,
            "first_offset": self.first_offset,
            "artifact": self.artifact,
            "memory": self.memory,
            "results": [
                {"offset": int(part.scored.offsets[i]), **result_of(part.scored, i)}
                for part in self.shown
                for i in range(len(part.scored))
            ],
            "rejected": [
                {"offset": letter.offset, "reason": letter.reason, "detail": letter.detail}
                for part in self.shown
                for letter in part.dead_letters
            ],
            "anomalies": [{**one, "then": self.then.get(one["id"])} for one in self.anomalies],
            "not_now": self.not_now,
        }


@dataclass(frozen=True, slots=True)
class Before:
    """What a stream was remembered by, by artifact's fingerprint; `whole` where no older record is
    gone, so that it is to the digit what it was."""

    memories: Mapping[str, Idle]
    whole: bool


def rewind(settings: Settings, asked: Asked) -> Rewound:
    """Score a stream's retained events again, from a fresh memory; StateError where there are none.

    Nothing of the service is touched, which may be running.
    """
    configured = settings.detectors[asked.detector]
    then = _told_then(settings, asked)
    for place in _places(settings, asked):
        detector = build_detector(
            asked.detector, configured, settings.limits, unpack=unpacking(settings)
        )
        with place as retained:
            found = _replayed(detector, retained, asked)
        if found is not None:
            shown = {int(offset) for one in found.shown for offset in one.raw.offsets}
            found.then = {
                one["id"]: one
                for one in then
                if (one["topic"], one["partition"]) == found.partition and one["offset"] in shown
            }
            return found
    raise StateError(f"no event of the stream {asked.stream!r} is retained")


def memory_before(
    settings: Settings, asked: Asked, mutes: Mutes, going_on: Callable[[], bool]
) -> Before:
    """A stream's memory as it was before `asked.start`; StateError where no earlier event of it is
    retained, or `going_on` has said no."""
    configured = {asked.detector: settings.detectors[asked.detector]}
    for place in _places(settings, asked):
        detectors = build_detectors(configured, settings.limits, mutes, unpacking(settings))
        with place as retained:
            _read_before(detectors, retained, asked, going_on)
        memories = {d.artifact.fingerprint_text: d.memory_now(asked.stream) for d in detectors}
        if known := {name: idle for name, idle in memories.items() if idle is not None}:
            return Before(known, retained.first_offset == 0)
    raise StateError(f"no event of the stream {asked.stream!r} from before that time is retained")


def _read_before(
    detectors: Sequence[Detector], retained: Retained, asked: Asked, going_on: Callable[[], bool]
) -> None:
    for raw in retained.batches:
        if not going_on():
            raise StateError(
                "reading what is retained takes too long: `wakeful replay --stream` takes its time"
            )
        if raw.detector not in (None, asked.detector):
            continue
        for detector in detectors:
            parts = _cut(*_of_stream(detector, raw, asked.stream), asked)
            detector.score(*parts[0])
        if len(parts) > 1:
            return


def write_rows(rewound: Rewound, stream: str, folder: Path) -> Path:
    """The events that are shown, a row each, as `wakeful replay` writes them of files."""
    folder.mkdir(parents=True, exist_ok=True)
    name = quote(stream, safe="")
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}-{crc32(stream.encode()):08x}"
    file = folder / f"{name}.csv"
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
    if asked.partition is not None:
        yield topics.records(asked.partition)
        return
    for topic in topics.of(settings.subscription(asked.detector)):
        for partition in topics.partitions(topic, asked.stream.encode()):
            yield topics.records(partition)


def _replayed(detector: Detector, retained: Retained, asked: Asked) -> Rewound | None:
    """None where the stream has no event there."""
    rewound = Rewound(retained.partition, 0, detector.artifact.fingerprint_text)
    known = begun = False
    for raw in retained.batches:
        if raw.detector not in (None, asked.detector):
            continue
        part = _of_stream(detector, raw, asked.stream)
        known = known or len(part[1].events) > 0
        parts = [part] if begun else _cut(*part, asked)
        for some, decoded in parts:
            begun = begun or (len(parts) == 2 and some is parts[1][0])
            if not rewound.shown:
                rewound.memory = detector.stream(asked.stream)
            delivery = detector.score(some, decoded).delivery
            if begun and len(some):
                rewound.shown.append(_before(delivery, asked.end))
    if not begun:
        rewound.memory = detector.stream(asked.stream)
    rewound.first_offset, rewound.features = retained.first_offset, detector.features
    return rewound if known else None


def _of_stream(detector: Detector, raw: RawBatch, stream: str) -> Part:
    """The stream's records of a batch alone; those that cannot be read are its where they have its
    name as their key. The features are those that all streams' events have."""
    decoded, name = detector.decode(raw), stream.encode()
    events = decoded.events.only(_named(decoded.events.streams, name))
    letters = [letter for letter in decoded.dead_letters if letter.key == name]
    refused = np.searchsorted(raw.offsets, [letter.offset for letter in letters])
    records = np.union1d(events.records, refused).astype(np.int64)
    events = replace(events, records=np.searchsorted(records, events.records))
    return _alone(raw, records), replace(decoded, events=events, dead_letters=letters)


def _named(streams: Names, name: bytes) -> I64:
    """(m,), which of the events are of a stream."""
    starts, lengths = streams.spans.T
    found = np.flatnonzero(lengths == len(name))
    letters = streams.data[starts[found, None] + np.arange(len(name))]
    return found[(letters == np.frombuffer(name, np.uint8)).all(axis=1)]


def _alone(raw: RawBatch, records: I64) -> RawBatch:
    """Some of the records, in bytes of their own."""
    return RawBatch.of(
        raw.partition, raw.offsets[records], raw.timestamps[records],
        [raw.key(i) for i in records], [raw.value(i) for i in records], raw.detector,
    )  # fmt: skip


def _cut(part: RawBatch, decoded: Decoded, asked: Asked) -> list[Part]:
    """What is before the first event that is shown, and what follows."""
    events = decoded.events
    shown = (events.times >= (asked.start or 0.0)) & (events.offsets >= (asked.first or 0))
    if not shown.any():
        return [(part, decoded)]
    cut = int(np.argmax(shown))
    at = int(events.records[cut])
    halves = []
    for records, some in ((slice(0, at), slice(0, cut)), (slice(at, None), slice(cut, None))):
        chosen = events.only(np.arange(len(events))[some])
        chosen = replace(chosen, records=chosen.records - (records.start or 0))
        own = part.part(records)
        letters = [one for one in decoded.dead_letters if one.offset in own.offsets]
        halves.append((own, replace(decoded, events=chosen, dead_letters=letters)))
    return halves


def _before(delivery: Delivery, end: float | None) -> Delivery:
    """Without the events that are not shown; they were scored as the others."""
    if end is None:
        return delivery
    scored = delivery.scored
    kept = np.setdiff1d(np.arange(len(delivery.raw)), scored.records[scored.times >= end])
    part = of_records(delivery, kept)
    records = np.searchsorted(kept, part.scored.records)
    return replace(part, raw=delivery.raw.part(kept), scored=replace(part.scored, records=records))


def _told_then(settings: Settings, asked: Asked) -> list[Mapping[str, Any]]:
    """The stream's anomalies that the history has."""
    shared, file = settings.history.secret(), settings.data_dir / DATABASE
    if shared is None and not file.exists():
        return []
    history = History.of_file(file) if shared is None else History(url_of(shared))
    found: list[Mapping[str, Any]] = []
    before: int | None = None
    try:
        while history.made:
            wanted = AnomalyFilter(asked.detector, asked.stream, before=before)
            items, before = history.anomalies(wanted, PAGE)
            found += items
            if before is None:
                break
    finally:
        history.close()
    return found
