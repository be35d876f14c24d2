"""JSON records -> columns of events, and rejected records with their reasons."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from model.categories import NONE, bucket_of
from service.clock import EARLIEST, LATEST, parse_time
from service.decoding.scan import (
    CATEGORY,
    FEATURE,
    FIELD,
    IGNORED,
    KEY,
    STRANGE,
    TIME,
    Columns,
    Wanted,
    scan,
)
from service.decoding.tokens import LARGEST_VALUE, is_number
from service.errors import RecordRejected
from service.records import I64, Bytes, DeadLetter, EventBatch, Names, RawBatch, event_id, read_only

CLOUD_EVENT = "specversion", "id", "source", "type"
"""What makes a record a CloudEvent: these texts."""

FRAMED = b"\0"  # what the records of a schema registry begin with, and no JSON

LONGEST_FEATURE = 255  # bytes of its name, which goes with every memory

Unpacked = tuple[RawBatch, Mapping[int, RecordRejected]]
"""Records in JSON, and those that are not to be had in it."""

Unpack = Callable[[RawBatch], Unpacked]


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of an event are read. With `discover`, new numeric fields become features, as
    many as there may be, if a feature may have their names; another kind of value in such a field
    is then no error. `categories` are fields that the artifact reads as texts.

    The first of `times` that an event has is its time.
    """

    key: str
    times: tuple[str, ...]
    ignore: frozenset[str]
    discover: bool
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one record."""

    max_event_bytes: int
    max_stream_bytes: int
    max_features: int
    max_clock_skew_seconds: float


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded event, on its way into columns."""

    stream: str
    time: float
    timed: bool
    values: dict[str, float]
    categories: list[str | None]


@dataclass(frozen=True, slots=True)
class Decoded:
    """Every record of a raw batch, in one of two parts.

    `features` are those of the columns: what was asked for, then what was discovered.
    `ignored_fields` counts numeric fields that are not features, with `discover` also those whose
    number is a text; `missing_values` absent features.
    """

    events: EventBatch
    dead_letters: list[DeadLetter]
    features: tuple[str, ...]
    ignored_fields: int
    missing_values: int


class JsonDecoder:
    """Pure, where there is no `unpack`: the same records, features and settings give the same
    events and rejections.

    Usual events are read in columns, by `scan`; `read` decides on the others, one by one. Records
    that may be in another form are put into JSON first, by `unpack`, which asks a schema registry
    and may raise Unavailable.
    """

    def __init__(
        self, detector: str, fields: Fields, limits: Limits, unpack: Unpack | None = None
    ) -> None:
        self.detector = detector
        self.fields = fields
        self.limits = limits
        self._no_features = {fields.key, *fields.times, *fields.categories}
        self._unpack = unpack
        self._parse = msgspec.json.Decoder(dict[str, Any]).decode

    @property
    def of_json(self) -> "JsonDecoder":
        """One that asks nobody: for records that are JSON by contract."""
        return JsonDecoder(self.detector, self.fields, self.limits)

    def decode(self, raw: RawBatch, features: tuple[str, ...]) -> Decoded:
        """Decode a batch for a detector that watches `features` so far."""
        names = {name: f for f, name in enumerate(features)}
        columns = Columns.of(len(raw), len(names), len(self.fields.categories))
        plain, refused = (raw, {}) if self._unpack is None else self._unpack(raw)
        scan(plain.data, plain.keys, plain.values, plain.timestamps, self._wanted(names), columns)
        events: dict[int, Event] = {}
        dead_letters = []
        for i in np.flatnonzero(~columns.events["read"]).tolist():
            try:
                if i in refused:
                    raise refused[i]
                event, columns.events["ignored"][i] = self.read(
                    plain.key(i), plain.value(i), float(plain.timestamps[i]), names
                )
            except RecordRejected as rejected:
                dead_letters.append(dead_letter(self.detector, raw, i, rejected))
                continue
            for name in event.values:
                names.setdefault(name, len(names))
            events[i] = event
        batch, ignored = _in_columns(plain, columns, events, names)
        missing = int(np.isnan(batch.values).sum())
        return Decoded(batch, dead_letters, tuple(names), ignored, missing)

    def _wanted(self, features: dict[str, int]) -> Wanted:
        """What `scan` is told of our fields."""
        kinds = {CLOUD_EVENT[0]: (STRANGE, 0)} | dict.fromkeys(self.fields.ignore, (IGNORED, 0))
        kinds |= {name: (FEATURE, f) for name, f in features.items()}
        kinds |= {name: (CATEGORY, c) for c, name in enumerate(self.fields.categories)}
        kinds |= {name: (TIME, rank) for rank, name in enumerate(self.fields.times)}
        kinds |= {self.fields.key: (KEY, 0)}
        names = [name.encode("utf-8", "surrogatepass") for name in kinds]
        fields = np.zeros(len(names), FIELD)
        fields["length"] = [len(name) for name in names]
        fields["start"] = np.cumsum(fields["length"]) - fields["length"]
        fields["kind"], fields["place"] = np.array(list(kinds.values()), np.int64).T
        fields["seen"] = -1
        return Wanted(
            names=read_only(b"".join(names)),
            fields=fields,
            growing=self.fields.discover and len(features) < self.limits.max_features,
            strict=not self.fields.discover,
            max_event=self.limits.max_event_bytes,
            max_stream=self.limits.max_stream_bytes,
            max_skew=self.limits.max_clock_skew_seconds,
        )

    def read(
        self, key: bytes | None, value: bytes | None, timestamp: float, columns: dict[str, int]
    ) -> tuple[Event, int]:
        """One record -> its event and the number of numeric fields ignored.

        `timestamp`: the Unix seconds stored with the record. Raises RecordRejected.
        """
        body = self._body(value)
        stream = self._stream(key, body)
        time, timed = self._time(body, timestamp)
        values, ignored = self._values(body, columns)
        categories = [_category(name, body.get(name)) for name in self.fields.categories]
        return Event(stream, time, timed, values, categories), ignored

    def _body(self, value: bytes | None) -> dict[str, Any]:
        if value is not None and len(value) > self.limits.max_event_bytes:
            raise RecordRejected(
                "too_large", f"{len(value)} bytes, at most {self.limits.max_event_bytes}"
            )
        try:
            body = self._parse(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            framed = self._unpack is None and (value or b"").startswith(FRAMED)
            hint = "; of a schema registry? set kafka.schema_registry.url" if framed else ""
            raise RecordRejected("malformed_json", f"{error}{hint}") from None
        cloud = all(isinstance(body.get(name), str) for name in CLOUD_EVENT)
        return self._data(body) if cloud else body

    def _data(self, event: dict[str, Any]) -> dict[str, Any]:
        """A CloudEvent's data; its subject names the stream and its time counts where they do not.

        https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
        """
        data = event.get("data")
        if not isinstance(data, dict):
            raise RecordRejected("malformed_json", "the CloudEvent's data is not a JSON object")
        if data.get(self.fields.key) is None:
            data[self.fields.key] = event.get("subject")
        if all(data.get(name) is None for name in self.fields.times):
            data[self.fields.times[0]] = event.get("time")
        return data

    def _stream(self, key: bytes | None, body: dict[str, Any]) -> str:
        name = key if key is not None else body.get(self.fields.key)
        if name is None:
            raise RecordRejected("missing_key", f"no record key and no field {self.fields.key!r}")
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str | bytes):
            raise RecordRejected("bad_key", f"{self.fields.key!r} is {type(name).__name__}")
        try:
            encoded = name.encode() if isinstance(name, str) else name
            text = encoded.decode()
        except UnicodeError as error:
            raise RecordRejected("bad_key", f"not UTF-8: {error}") from None
        if not 0 < len(encoded) <= self.limits.max_stream_bytes:
            raise RecordRejected(
                "bad_key", f"{len(encoded)} bytes, expected 1 to {self.limits.max_stream_bytes}"
            )
        if not text.isprintable():
            raise RecordRejected("bad_key", f"{text!r} has control characters")
        return text

    def _time(self, body: dict[str, Any], timestamp: float) -> tuple[float, bool]:
        name = next((name for name in self.fields.times if body.get(name) is not None), None)
        if name is None:
            if not EARLIEST <= timestamp <= LATEST:
                raise RecordRejected("bad_time", f"its record was stored at {timestamp:g}")
            return timestamp, False
        try:
            time = parse_time(body[name])
        except (ValueError, OverflowError) as error:
            raise RecordRejected("bad_time", f"{name!r}: {error}") from None
        ahead = time - timestamp
        if ahead > self.limits.max_clock_skew_seconds:
            raise RecordRejected("future", f"{ahead:.0f} s ahead of its record")
        return time, True

    def _values(
        self, body: dict[str, Any], columns: dict[str, int]
    ) -> tuple[dict[str, float], int]:
        values: dict[str, float] = {}
        ignored = 0
        for name, value in body.items():
            if name in self._no_features:
                continue
            if name in columns and not self.fields.discover:
                if value is not None:
                    values[name] = _number(name, value)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                grown = len(columns) + sum(more not in columns for more in values)
                if name in columns or self._adds(name, grown):
                    values[name] = _number(name, value)
                else:
                    ignored += 1
            elif self._is_quoted(name, value):
                ignored += 1
        if not values:
            wanted = ", ".join(columns) or "any number"
            raise RecordRejected(
                "no_features",
                f"has none of the watched fields: {wanted}"[:500] + _said(self._quoted(body)),
            )
        return values, ignored

    def quoted_numbers(self, value: bytes | None) -> list[str]:
        """A record's fields that are not watched because their numbers are texts."""
        if not self.fields.discover:
            return []
        try:
            return self._quoted(self._body(value))
        except RecordRejected:
            return []

    def _quoted(self, body: dict[str, Any]) -> list[str]:
        return [
            name
            for name, value in body.items()
            if name not in self._no_features and self._is_quoted(name, value)
        ]

    def _is_quoted(self, name: str, value: object) -> bool:
        if not (self._discovers(name) and isinstance(value, str) and value.isascii()):
            return False
        return is_number(read_only(value.encode()), 0, len(value))

    def _discovers(self, name: str) -> bool:
        return self.fields.discover and name not in self.fields.ignore

    def _adds(self, name: str, features: int) -> bool:
        """Whether a field is one more feature, where there are so many."""
        return self._discovers(name) and features < self.limits.max_features and is_feature(name)


def is_feature(name: str) -> bool:
    """Whether a feature may have this name: a printable one, so that it can be told everywhere, and
    no longer than every memory can bear."""
    return name.isprintable() and len(name.encode()) <= LONGEST_FEATURE


def _said(quoted: list[str]) -> str:
    """What is wrong with fields whose numbers are texts."""
    return f"; {quoted[0]!r} is a text: numbers go without quotes"[:200] if quoted else ""


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RecordRejected("bad_value", f"{name!r} is {type(value).__name__}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= LARGEST_VALUE:
        raise RecordRejected("bad_value", f"{name!r} is beyond ±{LARGEST_VALUE:g}")
    return number


def _category(name: str, value: object) -> str | None:
    """A text, or a number or a truth value as one; None where there is none."""
    if isinstance(value, int | float):
        return str(value)
    if value is None or isinstance(value, str):
        return value
    raise RecordRejected("bad_value", f"{name!r} is {type(value).__name__}, expected a text")


def _in_columns(
    raw: RawBatch, columns: Columns, events: dict[int, Event], names: dict[str, int]
) -> tuple[EventBatch, int]:
    """All events of a batch, and how many numeric fields were ignored; `events` are those that
    were read one by one, by their records."""
    grown = len(names) - columns.values.shape[1]
    values = np.pad(columns.values, [(0, 0), (0, grown)], constant_values=np.nan)
    buckets = _buckets(raw.data, columns.texts)
    data, end, said = [raw.data], len(raw.data), columns.events
    for i, event in events.items():
        name = np.frombuffer(event.stream.encode(), np.uint8)
        data.append(name)
        said[["read", "timed", "time"]][i] = True, event.timed, event.time
        said[["stream", "length"]][i] = end, len(name)
        end += len(name)
        values[i] = np.nan
        values[i, [names[feature] for feature in event.values]] = list(event.values.values())
        buckets[i] = [bucket_of(text) for text in event.categories]
    records = np.flatnonzero(said["read"])
    said = said[records]
    batch = EventBatch(
        streams=Names(
            read_only(np.concatenate(data)) if events else raw.data,
            np.stack([said["stream"], said["length"]], axis=1),
        ),
        records=records,
        offsets=raw.offsets[records],
        times=said["time"].copy(),  # in a row each, as compiled loops take them
        timed=said["timed"].copy(),
        values=values[records],
        categories=buckets[records],
    )
    return batch, int(said["ignored"].sum())


def _buckets(data: Bytes, texts: I64) -> I64:
    """(n, C) of the texts (n, C, 2) of categories."""
    buckets = np.full(texts.shape[:2], NONE, np.int64)
    for i, c in np.argwhere(texts[:, :, 1] >= 0).tolist():
        start, length = texts[i, c].tolist()
        buckets[i, c] = bucket_of(data[start : start + length].tobytes().decode())
    return buckets


def dead_letter(detector: str, raw: RawBatch, i: int, rejected: RecordRejected) -> DeadLetter:
    """Record i of a batch, with why it was not scored."""
    offset = int(raw.offsets[i])
    return DeadLetter(
        id=event_id(detector, raw.partition, offset),
        detector=detector,
        partition=raw.partition,
        offset=offset,
        timestamp=float(raw.timestamps[i]),
        reason=rejected.reason,
        detail=rejected.detail,
        key=raw.key(i),
        value=raw.value(i),
    )
