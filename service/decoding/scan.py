"""Usual events to columns, in compiled code; what is unusual is left to the decoder of single ones.

An event is usual if it is one flat JSON object in ASCII, without escapes, whose fields are numbers,
plain texts, truth values or nulls, and if nothing about it is to be rejected. Of a usual event this
says exactly what `JsonDecoder.read` says.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.compiled import compiled, inlined
from service.clock import EARLIEST, LATEST, MILLISECONDS_FROM
from service.decoding.moment import seconds_of
from service.decoding.tokens import (
    FIRST_PRINTABLE,
    LAST_PRINTABLE,
    MINUS,
    NOTHING,
    NULL,
    NUMBER,
    QUOTE,
    TEXT,
    after_space,
    is_digit,
    is_number,
    same,
    text_at,
    value_at,
)

FEATURE, KEY, TIME, CATEGORY, IGNORED, STRANGE = range(6)
"""Kinds of fields: watched, the stream's name, a time, read as a text, never watched; one that
makes an event unusual."""

MOST_UNKNOWN = 64  # fields of an event that are none of ours
LONGEST_INTEGER = 18  # digits: of a stream's name that is a number

LAST_RANK = np.iinfo(np.int64).max

COMMA, COLON, OPEN, CLOSE = (ord(c) for c in ",:{}")

Bytes = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Structured = npt.NDArray[np.void]


FIELD = np.dtype(
    [
        ("start", "<i8"),  # of its name, among the names in a row
        ("length", "<i8"),
        ("kind", "<i8"),
        ("place", "<i8"),  # a feature's column, a time's rank, a category's number
        ("seen", "<i8"),  # the last record that had it
    ]
)
"""A field that is ours."""

EVENT = np.dtype(
    [
        ("read", "?"),  # else it is unusual, and nothing else counts
        ("timed", "?"),
        ("stream", "<i8"),  # where its name starts
        ("length", "<i8"),  # and how long it is
        ("time", "<f8"),
        ("rank", "<i8"),  # of the field that the time was taken from
        ("ignored", "<i8"),  # numbers in fields that are not watched, or in texts
    ],
    align=True,
)
"""What is said of a record, beside its values and texts."""


class Wanted(NamedTuple):
    """The fields that are ours, K of them.

    names: their bytes in a row; fields: (K,) of FIELD. growing: whether a number in another field
    is a new feature; strict: whether something else than a number in a feature is an error.
    max_event and max_stream: bytes; max_skew: seconds that an event may be ahead of its record.
    """

    names: Bytes
    fields: Structured
    growing: bool
    strict: bool
    max_event: int
    max_stream: int
    max_skew: float


class Columns(NamedTuple):
    """What is said of n records.

    events: (n,) of EVENT; values: (n, F), NaN where missing; texts: (n, C, 2), where in the data a
    category's text starts and how long it is, -1 where there is none. unknown: (MOST_UNKNOWN, 2),
    room for where the names of one event's fields are that are none of ours.
    """

    events: Structured
    values: F64
    texts: I64
    unknown: I64

    @classmethod
    def of(cls, n: int, features: int, categories: int) -> "Columns":
        return cls(
            events=np.zeros(n, EVENT),
            values=np.full((n, features), np.nan),
            texts=np.full((n, categories, 2), -1, np.int64),
            unknown=np.zeros((MOST_UNKNOWN, 2), np.int64),
        )


@compiled
def scan(
    data: Bytes, keys: I64, bodies: I64, timestamps: F64, wanted: Wanted, columns: Columns
) -> None:
    """Read n records. keys, bodies: (n, 2), start in `data` and length, -1 where there is none;
    timestamps: (n,), stored with the records."""
    names, fields, growing, strict, max_event, max_stream, max_skew = wanted
    for i in range(len(keys)):
        event, values = columns.events[i], columns.values[i]
        event["rank"] = LAST_RANK
        if keys[i, 1] >= 0:
            event["stream"], event["length"] = keys[i, 0], keys[i, 1]
        event["read"] = (
            0 < bodies[i, 1] <= max_event
            and read_fields(
                data, i, bodies[i, 0], bodies[i, 0] + bodies[i, 1], keys[i, 1] >= 0, names, fields,
                growing, strict, columns.unknown, event, values, columns.texts[i],
            )
            and has_number(values)
            and is_name(data, event["stream"], event["length"], max_stream)
            and settle_time(event, timestamps[i], max_skew)
        )  # fmt: skip


@compiled
def read_fields(
    data: Bytes,
    i: int,
    at: int,
    end: int,
    keyed: bool,
    names: Bytes,
    fields: Structured,
    growing: bool,
    strict: bool,
    unknown: I64,
    event: np.void,
    values: F64,
    texts: I64,
) -> bool:
    """The fields of record i, from `at`; False where it is unusual. keyed: whether the record's key
    names the stream."""
    at = after_space(data, at, end)
    if at >= end or data[at] != OPEN:
        return False
    at = after_space(data, at + 1, end)
    strangers, hint = 0, 0
    while at < end and data[at] == QUOTE:
        start, stop, what, number, first, after = member_at(data, at, end)
        at = behind(data, after, end)
        if what == NOTHING or at < 0:
            return False
        k = field_at(data, start, stop - start, names, fields, hint)
        if k < 0:
            strangers = meet(data, start, stop - start, unknown, strangers)
            event["ignored"] += what == NUMBER or (
                what == TEXT and not strict and is_number(data, first, after - 1)
            )
            usual = strangers >= 0 and not (what == NUMBER and growing)
        else:
            field, hint = fields[k], k + 1
            usual = field["seen"] != i  # of a name that stands twice the last counts
            field["seen"] = i
            usual &= keep(
                data, field, keyed, strict, what, number, first, after, event, values, texts
            )
        if not usual:
            return False
    return at < end and data[at] == CLOSE and after_space(data, at + 1, end) == end


@inlined
def member_at(data: Bytes, at: int, end: int) -> tuple[int, int, int, float, int, int]:
    """A name and a value: where the name starts and stops, what the value is, see `value_at`."""
    start, stop = text_at(data, at, end)
    at = after_space(data, stop + 1, end)
    if start < 0 or at >= end or data[at] != COLON:
        return start, stop, NOTHING, math.nan, at, at
    what, number, first, after = value_at(data, after_space(data, at + 1, end), end)
    return start, stop, what, number, first, after


@inlined
def behind(data: Bytes, at: int, end: int) -> int:
    """Where the next member starts, or the object's end; -1 where neither can be."""
    at = after_space(data, at, end)
    if at < end and data[at] == COMMA:
        at = after_space(data, at + 1, end)
        return at if at < end and data[at] == QUOTE else -1
    return at if at < end and data[at] == CLOSE else -1


@compiled
def keep(
    data: Bytes,
    field: np.void,
    keyed: bool,
    strict: bool,
    what: int,
    number: float,
    first: int,
    after: int,
    event: np.void,
    values: F64,
    texts: I64,
) -> bool:
    """The value of a field that is ours; False where it is unusual."""
    kind, place = field["kind"], field["place"]
    if kind == FEATURE:
        if what == NUMBER:
            values[place] = number
        elif what == TEXT and not strict:
            event["ignored"] += is_number(data, first, after - 1)
        return what in (NUMBER, NULL) or not strict
    if kind == TIME:
        return keep_time(data, place, what, number, first, after, event)
    if kind == KEY:
        return keyed or keep_name(data, what, first, after, event)
    if kind == CATEGORY:
        if what == TEXT:
            texts[place, 0], texts[place, 1] = first, after - 1 - first
        return what in (TEXT, NULL)
    event["ignored"] += what == NUMBER
    return bool(kind != STRANGE)


@compiled
def has_number(values: F64) -> bool:
    for value in values:  # noqa: SIM110 - a generator is not compiled
        if not math.isnan(value):
            return True
    return False


@inlined
def field_at(
    data: Bytes, start: int, length: int, names: Bytes, fields: Structured, hint: int
) -> int:
    """Which of our fields has this name, -1 for none; `hint` is the one that is tried first."""
    for n in range(len(fields)):
        k = hint + n
        if k >= len(fields):
            k -= len(fields)
        field = fields[k]
        if field["length"] == length and same(data, start, names, field["start"], length):
            return k
    return -1


@compiled
def meet(data: Bytes, start: int, length: int, unknown: I64, count: int) -> int:
    """One more name that is none of ours; -1 where it stands twice or there are too many."""
    if count == len(unknown):
        return -1
    for k in range(count):
        if unknown[k, 1] == length and same(data, start, data, unknown[k, 0], length):
            return -1
    unknown[count, 0], unknown[count, 1] = start, length
    return count + 1


@compiled
def keep_name(data: Bytes, what: int, first: int, after: int, event: np.void) -> bool:
    """The stream's name, from its field: a text, or an integer as it stands."""
    event["stream"] = first
    event["length"] = after - 1 - first if what == TEXT else after - first
    if what == TEXT:
        return True
    if what != NUMBER or event["length"] > LONGEST_INTEGER:
        return False
    for k in range(first, after):
        if not is_digit(data[k]) and not (k == first and data[k] == MINUS):
            return False
    return True


@compiled
def is_name(data: Bytes, start: int, length: int, longest: int) -> bool:
    """Whether these bytes are the name of a stream."""
    for k in range(start, start + length):
        if data[k] < FIRST_PRINTABLE or data[k] > LAST_PRINTABLE:
            return False
    return 0 < length <= longest


@compiled
def keep_time(
    data: Bytes, rank: int, what: int, number: float, first: int, after: int, event: np.void
) -> bool:
    """The event's time, if no field before has one: a text, or seconds or milliseconds."""
    if what == NULL or rank > event["rank"]:
        return True
    if what == TEXT:
        seconds = seconds_of(data, first, after - 1)
    elif what == NUMBER:
        seconds = number / 1000.0 if abs(number) >= MILLISECONDS_FROM else number
    else:
        return False
    event["time"], event["timed"], event["rank"] = seconds, True, rank
    return EARLIEST <= seconds <= LATEST


@compiled
def settle_time(event: np.void, timestamp: float, max_skew: float) -> bool:
    """The event's time, else the one stored with its record."""
    if event["timed"]:
        return not event["time"] - timestamp > max_skew
    event["time"] = timestamp
    return EARLIEST <= timestamp <= LATEST
