"""The nouns that travel through the pipeline.

Batches carry columns and the positions that they came from; an object per event exists only at the
edges: an anomaly, a dead letter.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain
from operator import itemgetter
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from model.episodes import CLOSED, NONE, OPEN
from model.judge import BAND
from model.suppression import BY_LIMIT, SUPPRESSED, Rule
from service.clock import format_time
from service.words import LIMITS, why

Bytes = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

LOG_TOPIC = "log"  # the embedded log's name where Kafka would have a topic

Partition = tuple[str, int]
"""(topic, partition)."""

REASONS = {
    "too_large": "the record is larger than limits.max_event_bytes, as it is or in JSON",
    "malformed_json": "the record is not one JSON object (NaN and Infinity are not JSON)",
    "bad_schema": "the schema registry has no schema of the record's id, or one not to be read by",
    "bad_payload": "the record's bytes are not of its schema",
    "missing_key": "neither the record nor its body names a stream",
    "bad_key": "the stream's name is empty, too long, not text, or has control characters",
    "bad_time": "the time is not RFC 3339 text (without a zone: UTC), Unix seconds or milliseconds",
    "future": "the event's time is too far ahead of the time stored with its record",
    "bad_value": "a listed feature is neither a finite number nor null, or a category not a text",
    "no_features": "none of the features is there",
    "late": "too far behind its stream's newest time (the tenth in a row is scored)",
    "repeated": "the stream's last event again: the same time, the same values",
}
"""Every reason for which a record is rejected; each has a counter and goes to the dead letters."""


def event_id(detector: str, partition: Partition, offset: int) -> str:
    """The name of what came of one record: the same whenever the record is read again."""
    return quote(f"{detector}:{partition[0]}:{partition[1]}:{offset}", safe=":")


def read_only(buffer: "bytes | bytearray | memoryview | Bytes") -> Bytes:
    """Bytes as an array that nobody writes to: compiled code tells these from others."""
    array = np.frombuffer(buffer, np.uint8)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True, eq=False)
class RawBatch:
    """n records of one partition as they were stored, in offset order.

    `timestamps` (n,) are the Unix seconds stored with the records; `keys` and `values` (n, 2) say
    where in `data` one starts and how long it is, -1 where there is none. `detector` is set where
    the source knows whom the records are for, else the topic decides. `headers`: whether a record's
    lie behind its value, as Kafka stores them.
    """

    partition: Partition
    offsets: I64
    timestamps: F64
    data: Bytes
    keys: I64
    values: I64
    detector: str | None = None
    headers: bool = False

    @classmethod
    def of(
        cls,
        partition: Partition,
        offsets: I64,
        timestamps: F64,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        detector: str | None = None,
    ) -> "RawBatch":
        """Of records that are objects."""
        lengths = np.array([-1 if x is None else len(x) for x in chain(keys, values)], np.int64)
        ends = np.cumsum(np.maximum(lengths, 0))
        spans = np.stack([ends - np.maximum(lengths, 0), lengths], axis=1)
        data = read_only(b"".join(x or b"" for x in chain(keys, values)))
        n = len(values)
        return cls(partition, offsets, timestamps, data, spans[:n], spans[n:], detector)

    def __len__(self) -> int:
        return len(self.offsets)

    def cut(self, most: int) -> "Iterator[RawBatch]":
        """The same in batches of so many records at most."""
        for start in range(0, len(self), most):
            yield self.part(slice(start, start + most))

    def part(self, at: "slice | I64") -> "RawBatch":
        """Some of the records."""
        return replace(
            self, offsets=self.offsets[at], timestamps=self.timestamps[at], keys=self.keys[at],
            values=self.values[at],
        )  # fmt: skip

    def key(self, i: int) -> bytes | None:
        """The key of record i."""
        return self._bytes(self.keys[i])

    def value(self, i: int) -> bytes | None:
        """The value of record i."""
        return self._bytes(self.values[i])

    def _bytes(self, span: I64) -> bytes | None:
        start, length = span.tolist()
        return None if length < 0 else self.data[start : start + length].tobytes()

    @property
    def next_offset(self) -> int:
        return int(self.offsets[-1]) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Names of streams, as bytes in a row; a text is made of one where somebody asks for it.

    spans: (n, 2), where in `data` a name starts and how long it is.
    """

    data: Bytes
    spans: I64

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Names":
        """Of names that are texts."""
        names = [text.encode() for text in texts]
        lengths = np.array([len(name) for name in names], np.int64)
        spans = np.stack([np.cumsum(lengths) - lengths, lengths], axis=1)
        return cls(read_only(b"".join(names)), spans)

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, i: int) -> str:
        start, length = self.spans[i].tolist()
        return self.data[start : start + length].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def only(self, chosen: "I64 | npt.NDArray[np.bool_]") -> "Names":
        """Those of some of the events."""
        return Names(self.data, self.spans[chosen])

    def joined(self) -> "Names":
        """The same in bytes of their own, one right behind the other."""
        starts, lengths = self.spans.T
        ends = np.cumsum(lengths)
        begins = ends - lengths
        every = np.arange(lengths.sum()) + np.repeat(starts - begins, lengths)
        return Names(read_only(self.data[every]), np.stack([begins, lengths], axis=1))


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Decoded events: columns over n events; `values` is (n, F), NaN where missing, `categories`
    (n, C), see `model.categories`.

    `records` are their indices in the raw batch; `timed` says which carried their own time.
    """

    streams: Names
    records: I64
    offsets: I64
    times: F64
    timed: npt.NDArray[np.bool_]
    values: F64
    categories: I64

    def __len__(self) -> int:
        return len(self.streams)

    def only(self, chosen: I64) -> "EventBatch":
        """Some of the events."""
        return EventBatch(
            self.streams.only(chosen), self.records[chosen], self.offsets[chosen],
            self.times[chosen], self.timed[chosen], self.values[chosen], self.categories[chosen],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was not scored, why, and its context."""

    id: str
    detector: str
    partition: Partition
    offset: int
    timestamp: float
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """The scored events of one raw batch, in offset order; n scored events, F features.

    `artifact` is the fingerprint of the one that scored them. `scores` is (n,) of
    `model.judge.SCORE`, `episodes` (n,) of `model.episodes.EPISODE`; expected, spread and surprise
    are (n, F), see `model.suppression.bound_of` for the last. `view_names` are those that the view
    of a score is a place in. `memory_ages` (n,) are the seconds of event time that a stream's
    memory had seen. `rules` are those of features.
    """

    detector: str
    artifact: str
    partition: Partition
    features: tuple[str, ...]
    streams: Names
    records: I64
    offsets: I64
    times: F64
    values: F64
    scores: npt.NDArray[np.void]
    expected: F64
    spread: F64
    surprise: F64
    view_names: tuple[str, ...]
    episodes: npt.NDArray[np.void]
    memory_ages: F64
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.streams)

    def only(self, chosen: I64) -> "ScoredBatch":
        """Some of the events."""
        columns: dict[str, Any] = {
            one.name: column[chosen]
            for one in fields(self)
            if isinstance(column := getattr(self, one.name), np.ndarray)
        }
        return replace(self, streams=self.streams.only(chosen), **columns)

    @property
    def anomalous(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.scores["score"] >= 1.0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one raw batch came to for one detector: every record is in exactly one part.

    `replayed` counts records that the memories had seen before; they change nothing.
    """

    raw: RawBatch
    scored: ScoredBatch
    anomalies: list[Mapping[str, Any]]
    episodes: list[Mapping[str, Any]]
    dead_letters: list[DeadLetter]
    replayed: int


def result_of(scored: ScoredBatch, i: int) -> dict[str, Any]:
    """Event i of a batch as a person or a program reads it."""
    score = scored.scores[i]
    return {
        "stream": scored.streams[i],
        "time": format_time(float(scored.times[i])),
        "score": float(score["score"]),
        "level": float(score["level"]),
        "threshold": float(score["threshold"]),
        "tail_probability": float(score["tail_probability"]),
        "anomalous": bool(score["score"] >= 1.0),
        "alarm": bool(score["alarm"]),
        "suppressed": SUPPRESSED.get(int(score["bound"])),
        "confidence": float(score["confidence"]),
        "features": _features_of(scored, i),
    }


def _features_of(scored: ScoredBatch, i: int) -> dict[str, dict[str, float | None]]:
    told = (scored.values, scored.expected, scored.spread, scored.surprise)
    columns = [column[i].tolist() for column in told]  # plain numbers are faster one by one
    there = zip(columns[0], columns[3], strict=True)
    total = sum(surprise for actual, surprise in there if surprise > 0.0 and not math.isnan(actual))
    features: dict[str, dict[str, float | None]] = {}
    for name, actual, expected, spread, surprise in zip(scored.features, *columns, strict=True):
        if math.isnan(actual):
            continue
        reach = BAND * spread
        known = math.isfinite(expected) and math.isfinite(reach)
        features[name] = {
            "actual": actual,
            "expected": expected if known else None,
            "low": expected - reach if known else None,
            "high": expected + reach if known else None,
            "share": surprise / total if surprise > 0.0 else 0.0,
            "limit": _limit_of(actual, scored.rules.get(name)),
        }
    return features


def _limit_of(actual: float, rule: Rule | None) -> float | None:
    """The limit that a value is beyond, if any."""
    if rule is None or rule.lowest <= actual <= rule.highest:
        return None
    return rule.lowest if actual < rule.lowest else rule.highest


SEVERITIES = {"critical": 2.5, "major": 1.5, "minor": 1.0}
"""The least score of each severity."""


def severity_of(score: float) -> str:
    """The severity of an anomalous score."""
    return next(name for name, least in SEVERITIES.items() if score >= least)


def anomaly_of(scored: ScoredBatch, i: int) -> dict[str, Any]:
    """Event i as an anomaly: a result with its name and place."""
    topic, partition = scored.partition
    offset = int(scored.offsets[i])
    result = result_of(scored, i)
    return {
        "id": event_id(scored.detector, scored.partition, offset),
        "detector": scored.detector,
        "artifact": scored.artifact,
        "severity": severity_of(result["score"]),
        "why": _why(scored, i, _blamed(scored, i)),
        **result,
        "topic": topic,
        "partition": partition,
        "offset": offset,
    }


CHANGES = {
    (NONE, OPEN): "opened",
    (OPEN, OPEN): "continued",
    (OPEN, CLOSED): "closed",
    (CLOSED, OPEN): "reopened",
}
"""What an event does to its stream's episode."""


def episode_of(scored: ScoredBatch, i: int) -> dict[str, Any]:
    """The episode of event i's stream, as the event leaves it."""
    topic, partition = scored.partition
    episode, offset = scored.episodes[i], int(scored.offsets[i])
    score, peak = float(episode["score"]), int(episode["peak"])
    blamed = _blamed(scored, i) if peak == offset else None
    return {
        "id": event_id(scored.detector, scored.partition, int(episode["first"])),
        "detector": scored.detector,
        "artifact": scored.artifact,
        "stream": scored.streams[i],
        "state": "closed" if episode["state"] == CLOSED else "open",
        "change": CHANGES[int(episode["was"]), int(episode["state"])],
        "alarm": bool(scored.scores[i]["alarm"]),
        "severity": severity_of(score),
        "score": score,
        "start": format_time(float(episode["start"])),
        "end": format_time(float(episode["end"])),
        "anomalies": int(episode["anomalies"]),
        "peak": event_id(scored.detector, scored.partition, peak),
        "why": None if blamed is None else _why(scored, i, blamed),
        "features": blamed,
        "topic": topic,
        "partition": partition,
        "offset": offset,
    }


def _why(scored: ScoredBatch, i: int, blamed: list[dict[str, Any]]) -> str:
    """Event i in words."""
    score = scored.scores[i]
    beyond = int(score["bound"]) == BY_LIMIT
    return why(LIMITS if beyond else scored.view_names[int(score["view"])], blamed)


def _blamed(scored: ScoredBatch, i: int) -> list[dict[str, Any]]:
    """The features of event i, those with the greatest share first."""
    features = [{"feature": name, **told} for name, told in _features_of(scored, i).items()]
    return sorted(features, key=itemgetter("share"), reverse=True)
