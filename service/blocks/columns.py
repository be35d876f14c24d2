"""Scored events as the history keeps them: columns of few bits, finer than an eye sees in a chart.

- Values, and what was expected, are rounded to a 64th of the spread that their stream has at that
  moment, or less.
- Times are kept to the millisecond.
- The spread is kept to 2 %, the score to 2 % of 1 + score downwards: what is kept of a score is at
  least 1 exactly where the score was.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.judge import BAND
from service.memory.names import hash_of
from service.records import Bytes, ScoredBatch

STEPS = 16.0  # an octave of a spread
SCORE_STEPS = 32.0  # an octave of 1 + score
FINEST = 6  # octaves below a spread that values are rounded to
MILLISECONDS = 1000.0  # of a second
LEAST_SPREAD = 1e-9  # of the value: a stream that never moves has none
NO_BAND = -32768  # in place of a spread, where nothing is expected yet

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I16 = npt.NDArray[np.int16]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Columns:
    """n events of F features.

    keys: (n,) hashes of the streams' names; offsets: (n,), which tell one event of a stream from
    another, so that what comes again after a crash is known; times: (n,) Unix seconds; scores: (n,)
    codes; values and expected: (n, F), NaN where there was none; spreads: (n, F) codes.
    """

    keys: U64
    offsets: I64
    times: F64
    scores: U8
    values: F64
    expected: F64
    spreads: I16

    @classmethod
    def empty(cls, capacity: int, features: int) -> "Columns":
        shape = capacity, features
        return cls(
            np.empty(capacity, np.uint64), np.empty(capacity, np.int64), np.empty(capacity),
            np.empty(capacity, np.uint8),
            np.empty(shape), np.empty(shape), np.empty(shape, np.int16),
        )  # fmt: skip

    @classmethod
    def joined(cls, parts: "list[Columns]") -> "Columns":
        columns = zip(*(part.all() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def __len__(self) -> int:
        return len(self.keys)

    def all(self) -> tuple[npt.NDArray[np.generic], ...]:
        return (
            self.keys, self.offsets, self.times, self.scores, self.values, self.expected,
            self.spreads,
        )  # fmt: skip

    def only(self, chosen: "I64 | slice | npt.NDArray[np.bool_]") -> "Columns":
        """Some of the events."""
        return Columns(*(column[chosen] for column in self.all()))  # type: ignore[arg-type]

    def put(self, at: int, batch: ScoredBatch, seed: np.uint64) -> None:
        """Write a batch's events from row `at` on."""
        scores = np.ascontiguousarray(batch.scores["score"])
        self.offsets[at : at + len(batch)] = batch.offsets
        encode(
            batch.streams.data, batch.streams.spans, seed, batch.times, scores, batch.values,
            batch.expected, batch.spread, at, self.keys, self.times, self.scores, self.values,
            self.expected, self.spreads,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Curves:
    """What a stream was like: n events, in the order of their times.

    times (n,) are Unix seconds, scores (n,); actual, expected, low and high are (n, F) in input
    units, NaN where there was no value, or no band yet. `thinned`: not each event is there.
    """

    features: tuple[str, ...]
    times: F64
    scores: F64
    actual: F64
    expected: F64
    low: F64
    high: F64
    thinned: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """n events of a stream, each one of those that came between, in the order in which they came.

    offsets, times (Unix seconds) and scores are (n,); values (n, F), NaN where there was none, each
    to within `rounded` (n, F). What stood still stands still here, too: as its spread changes a
    value is rounded otherwise.
    """

    features: tuple[str, ...]
    offsets: I64
    times: F64
    scores: F64
    values: F64
    rounded: F64

    def __len__(self) -> int:
        return len(self.times)

    def only(self, chosen: "I64 | slice | npt.NDArray[np.bool_]") -> "Kept":
        """Some of the events."""
        return Kept(
            self.features, self.offsets[chosen], self.times[chosen], self.scores[chosen],
            self.values[chosen], self.rounded[chosen],
        )  # fmt: skip

    def columns(self, features: Sequence[str]) -> F64:
        """(n, F), the values of these features, NaN where there are none."""
        values = np.full((len(self), len(features)), np.nan)
        for f, name in enumerate(features):
            if name in self.features:
                values[:, f] = self.values[:, self.features.index(name)]
        return values

    def of(self, feature: str) -> "Kept":
        """With one feature alone."""
        f = self.features.index(feature)
        values, rounded = self.values[:, [f]], self.rounded[:, [f]]
        return Kept((feature,), self.offsets, self.times, self.scores, values, rounded)


def kept_of(features: tuple[str, ...], columns: Columns) -> Kept:
    """What the codes stand for, in the order of offsets: that of a stream's partition."""
    ordered = columns.only(np.argsort(columns.offsets, kind="stable"))
    known = ordered.spreads != NO_BAND
    rounded = np.where(known, np.exp2(np.floor(ordered.spreads / STEPS) - FINEST), 0.0)
    steady(ordered.values, ordered.spreads, rounded)
    return Kept(
        features, ordered.offsets, ordered.times, scores_of(ordered), ordered.values, rounded
    )


def curves_of(features: tuple[str, ...], columns: Columns, thinned: bool) -> Curves:
    """What the codes stand for."""
    known = columns.spreads != NO_BAND
    reach = np.where(known, BAND * np.exp2(columns.spreads / STEPS), np.nan)
    expected = columns.expected
    return Curves(
        features, columns.times, scores_of(columns), columns.values,
        expected, expected - reach, expected + reach, thinned,
    )  # fmt: skip


def scores_of(columns: Columns) -> F64:
    """(n,)"""
    return np.asarray(np.exp2(columns.scores / SCORE_STEPS) - 1.0, np.float64)


@compiled
def encode(
    data: Bytes, spans: I64, seed: np.uint64, times: F64, scores: F64, values: F64, expected: F64,
    spread: F64, at: int, to_keys: U64, to_times: F64, to_scores: U8, to_values: F64,
    to_expected: F64, to_spreads: I16,
) -> None:  # fmt: skip
    """Events (n,) of F features into rows from `at` on."""
    for i in range(len(times)):
        row = at + i
        to_keys[row] = hash_of(data, spans[i, 0], spans[i, 1], seed)
        to_times[row] = np.rint(times[i] * MILLISECONDS) / MILLISECONDS
        to_scores[row] = np.uint8(min(255.0, math.floor(SCORE_STEPS * math.log2(1.0 + scores[i]))))
        for f in range(values.shape[1]):
            value, width = values[i, f], spread[i, f]
            to_values[row, f], to_expected[row, f], to_spreads[row, f] = value, np.nan, NO_BAND
            if not (math.isfinite(value) and math.isfinite(expected[i, f] + width)):
                continue
            width = max(width, LEAST_SPREAD * max(abs(value), LEAST_SPREAD))
            octave = math.log2(width)
            fine = math.ldexp(1.0, math.floor(octave) - FINEST)
            to_values[row, f] = np.rint(value / fine) * fine
            to_expected[row, f] = np.rint(expected[i, f] / fine) * fine
            to_spreads[row, f] = np.int16(np.rint(STEPS * octave))


@compiled
def steady(values: F64, spreads: I16, rounded: F64) -> None:
    """Let each of a stream's values (n, F) be the one before it where they differ by no more than
    that they were rounded otherwise; spreads: (n, F) codes, rounded: (n, F)."""
    for f in range(values.shape[1]):
        code = before = fine = math.nan  # as it was kept, as it is taken, how it was rounded
        for i in range(values.shape[0]):
            value = values[i, f]
            if math.isnan(value):
                continue
            # Where the code is that of a whole octave the spread may have been on either side.
            known = spreads[i, f] % np.int16(STEPS) != 0
            finer = rounded[i, f] if known else math.nan
            if (finer == fine and value == code) or (
                finer != fine and abs(value - before) <= 0.5 * rounded[i, f]
            ):
                values[i, f] = before
            code, before, fine = value, values[i, f], finer


@compiled
def count_streams(keys: U64, places: I64, firsts: I64, counts: I64, streams: I64) -> int:
    """Number the streams of events (n,) as they are met, and count the events of each; returns how
    many there are. `places` is empty, and its length a power of two."""
    mask, many = len(places) - 1, 0
    for i in range(len(keys)):
        place = np.int64(keys[i] & np.uint64(mask))
        while places[place] >= 0 and keys[firsts[places[place]]] != keys[i]:
            place = (place + 1) & mask
        if places[place] < 0:
            places[place], firsts[many] = many, i
            many += 1
        streams[i] = places[place]
        counts[streams[i]] += 1
    return many


@compiled
def gather(streams: I64, starts: I64, order: I64) -> None:
    """Where events (n,) are, by the places where those of their streams begin, which move on."""
    for i in range(len(streams)):
        order[starts[streams[i]]] = i
        starts[streams[i]] += 1


@compiled
def most_surprising(keys: U64, scores: U8, group: int, chosen: npt.NDArray[np.bool_]) -> None:
    """Of each so many events of a stream, in the order of keys, mark the first one and the first
    with the highest score."""
    first = best = 0
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1] or i - first == group:
            if i > 0:
                chosen[best] = True
            first = best = i
            chosen[i] = True
        elif scores[i] > scores[best]:
            best = i
    if len(keys) > 0:
        chosen[best] = True


def in_order(columns: Columns) -> Columns:
    """By stream, time and offset, each event once: after a crash some come again."""
    ordered = columns.only(_by_stream(columns))
    same = ordered.keys[1:] == ordered.keys[:-1]
    steps, after = np.diff(ordered.times), np.diff(ordered.offsets)
    if not (same & ((steps < 0.0) | ((steps == 0.0) & (after <= 0)))).any():
        return ordered
    ordered = columns.only(np.lexsort((columns.offsets, columns.times, columns.keys)))
    again = ordered.keys[1:] == ordered.keys[:-1]
    again &= ordered.times[1:] == ordered.times[:-1]
    again &= ordered.offsets[1:] == ordered.offsets[:-1]
    return ordered.only(np.r_[True, ~again])


def _by_stream(columns: Columns) -> I64:
    """Where the events are, stream by stream, in the order in which they came. Faster than to sort
    by keys, of which there are few that differ."""
    n = len(columns)
    places = np.full(1 << (2 * n + 1).bit_length(), -1, np.int64)
    firsts, counts, streams = np.empty(n, np.int64), np.zeros(n, np.int64), np.empty(n, np.int64)
    many = count_streams(columns.keys, places, firsts, counts, streams)
    keyed = np.argsort(columns.keys[firsts[:many]])
    starts = np.empty(many, np.int64)
    starts[keyed] = np.cumsum(counts[keyed]) - counts[keyed]
    order = np.empty(n, np.int64)
    gather(streams, starts, order)
    return order


def thin(columns: Columns, group: int) -> Columns:
    """Of each so many events of a stream the first one and the most surprising one."""
    chosen = np.zeros(len(columns), np.bool_)
    most_surprising(columns.keys, columns.scores, group, chosen)
    return columns.only(chosen)


def fewer(columns: Columns, most: int) -> Columns:
    """About so many events of one stream, the most surprising ones and the last one among them."""
    some = thin(columns, -(-2 * len(columns) // most))
    last = columns.only(slice(len(columns) - 1, len(columns)))
    return some if some.offsets[-1] == last.offsets[0] else Columns.joined([some, last])


def with_features(columns: Columns, has: tuple[str, ...], wanted: tuple[str, ...]) -> Columns:
    """The same events with other features: those that were not watched had no values."""
    if has == wanted:
        return columns
    other = Columns.empty(len(columns), len(wanted))
    *alike, values, expected, spreads = other.all()
    for new, old in zip(alike, columns.all(), strict=False):
        new[:] = old
    values[:], expected[:], spreads[:] = np.nan, np.nan, NO_BAND
    places = [wanted.index(name) for name in has if name in wanted]
    kept = [f for f, name in enumerate(has) if name in wanted]
    for new, old in zip((values, expected, spreads), columns.all()[-3:], strict=True):
        new[:, places] = old[:, kept]
    return other


def merged(parts: Sequence[tuple[tuple[str, ...], Columns]]) -> tuple[tuple[str, ...], Columns]:
    """All of several, in order, with all their features."""
    features = tuple(dict.fromkeys(name for has, _ in parts for name in has))
    alike = [with_features(columns, has, features) for has, columns in parts]
    return features, in_order(Columns.joined(alike))
