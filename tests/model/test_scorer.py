from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.admission import ADMITTED, LATE, REPEATED, REPLAYED
from model.artifact import LARGEST_BATCH, Artifact
from model.judge import HIGH, LOW, SCORE, TOLERATED
from model.row import RowTable
from model.scorer import Scored, Scorer, directions_of, turns
from tests.model.conftest import F64, I64, START_TIME, ticks

NAMES = ("a", "b", "c")
SKEW = 300.0
ORIGIN = 7

modest = settings(deadline=None, max_examples=20)


@dataclass(frozen=True, slots=True)
class Events:
    """n events in arrival order: streams, offsets, times, timed (n,); values (n, F)."""

    streams: I64
    offsets: I64
    times: F64
    timed: np.ndarray[tuple[int], np.dtype[np.bool_]]
    values: F64

    def __len__(self) -> int:
        return len(self.streams)

    def select(self, chosen: I64 | slice) -> "Events":
        return Events(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(slots=True)
class Told:
    """What was told of n events, in their order; zero scores where an event was not admitted."""

    verdicts: np.ndarray[tuple[int], np.dtype[np.uint8]]
    scores: np.ndarray[tuple[int], np.dtype[np.void]]
    features: F64  # (n, 3, F): expected, spread, surprise

    @classmethod
    def of(cls, scored: Scored) -> "Told":
        n, features = len(scored.verdicts), scored.expected.shape[1]
        told = cls(scored.verdicts, np.zeros(n, SCORE), np.zeros((n, 3, features)))
        told.scores[scored.admitted] = scored.scores
        parts = (scored.expected, scored.spread, scored.surprise)
        told.features[scored.admitted] = np.stack(parts, axis=1)
        return told

    @classmethod
    def joined(cls, parts: list["Told"]) -> "Told":
        return cls(
            np.concatenate([part.verdicts for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.features for part in parts]),
        )

    def assert_same_bits(self, other: "Told", chosen: I64 | slice = slice(None)) -> None:
        """That this was told of the `chosen` events of `other`, bit by bit."""
        np.testing.assert_array_equal(self.verdicts, other.verdicts[chosen])
        for name in SCORE.names or ():
            assert self.scores[name].tobytes() == other.scores[chosen][name].tobytes()
        assert self.features.tobytes() == other.features[chosen].tobytes()


def scorer_of(artifact: Artifact, features: int, **declared: int) -> Scorer:
    return Scorer(artifact, directions_of(NAMES[:features], declared), 1.0, SKEW)


def table_of(artifact: Artifact, features: int, rows: int) -> RowTable:
    fresh = artifact.fresh_rows(features)
    return RowTable(artifact.layout(features), np.repeat(fresh, rows, axis=0))


def tell(scorer: Scorer, table: RowTable, events: Events, slots: I64) -> Told:
    """Score one batch."""
    return Told.of(
        scorer.score(
            table, slots, events.offsets, ORIGIN, events.times, events.timed, events.values
        )
    )


def tell_in_batches(
    scorer: Scorer, table: RowTable, events: Events, slots: I64, cuts: list[int]
) -> Told:
    """Score a batch up to each cut."""
    edges = pairwise([0, *cuts, len(events)])
    return Told.joined(
        [tell(scorer, table, events.select(slice(*at)), slots[slice(*at)]) for at in edges]
    )


def some_events(seed: int, lengths: list[int], features: int) -> Events:
    """Streams interleaved at random: missing and wild values, late, repeated, replayed events."""
    random = np.random.default_rng(seed)
    streams = random.permutation(np.repeat(np.arange(len(lengths)), lengths))
    n = len(streams)
    values = random.normal(size=(n, features)).round(1) * [1.0, 50.0, 1e-3][:features]
    values[random.random((n, features)) < 0.15] = np.nan
    values[random.random((n, features)) < 0.03] *= 1e6
    times = START_TIME + np.floor(np.cumsum(random.exponential(20.0, n)))
    times[random.random(n) < 0.05] -= random.choice([100.0, 1000.0])
    if random.random() < 0.5:
        times[random.integers(n)] += 1e6  # a wrong clock
    offsets = np.arange(n)
    for k in np.flatnonzero(random.random(n) < 0.1):
        before = np.flatnonzero(streams[:k] == streams[k])
        if len(before) == 0:
            continue
        times[k], values[k] = times[before[-1]], values[before[-1]]
        if random.random() < 0.5:
            offsets[k] = offsets[before[-1]]
    return Events(streams, offsets, times, random.random(n) < 0.7, values)


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """A seed, the length of each of three streams, and where the events are cut into batches."""
    lengths = draw(st.lists(st.integers(0, 130), min_size=3, max_size=3).filter(any))
    cuts = draw(st.lists(st.integers(0, sum(lengths)), max_size=12))
    return draw(st.integers(0, 2**32 - 1)), lengths, sorted(cuts)


@dataclass(frozen=True, slots=True)
class Served:
    """An artifact that serves streams of so many features."""

    artifact: Artifact
    features: int


@pytest.fixture(scope="module", params=["alone-1", "alone-3", "joint-3"])
def served(request: pytest.FixtureRequest, alone: Artifact, joint: Artifact) -> Iterator[Served]:
    kind, features = request.param.split("-")
    yield Served(alone if kind == "alone" else joint, int(features))


def test_the_events_of_these_tests_are_of_every_kind(alone: Artifact) -> None:
    """Among the events drawn here some are admitted, replayed, late, repeated and incomplete."""
    events = some_events(0, [130, 130, 130], 3)
    told = tell(scorer_of(alone, 3), table_of(alone, 3, 3), events, events.streams)
    assert set(told.verdicts.tolist()) == {ADMITTED, REPLAYED, LATE, REPEATED}
    assert (told.verdicts == ADMITTED).mean() > 0.8
    assert np.isnan(events.values[told.verdicts == ADMITTED]).any()
    assert told.scores["alarm"].any()


@modest
@given(batches())
def test_a_memory_is_a_function_of_its_events(
    served: Served, drawn: tuple[int, list[int], list[int]]
) -> None:
    """Whatever shares the batches and however they are cut, every stream's bits are its own.

    Each stream alone, one event at a time, has the same verdicts, scores, expectations and row as
    among the others, in batches of any size.
    """
    seed, lengths, cuts = drawn
    events = some_events(seed, lengths, served.features)
    scorer = scorer_of(served.artifact, served.features)
    table = table_of(served.artifact, served.features, 3)
    together = tell_in_batches(scorer, table, events, events.streams, cuts)
    for stream in np.unique(events.streams):
        chosen = np.flatnonzero(events.streams == stream)
        own = events.select(chosen)
        row = table_of(served.artifact, served.features, 1)
        singly = list(range(1, len(own)))
        alone = tell_in_batches(scorer, row, own, np.zeros(len(own), np.int64), singly)
        alone.assert_same_bits(together, chosen)
        np.testing.assert_array_equal(table.bytes[stream], row.bytes[0])


@modest
@given(batches(), st.permutations(range(8)))
def test_a_memory_that_moved_goes_on_as_if_it_had_not(
    served: Served, drawn: tuple[int, list[int], list[int]], places: list[int]
) -> None:
    """Rows saved as bytes and put into other slots of another table, mid-way, change no bit."""
    seed, lengths, cuts = drawn
    events = some_events(seed, lengths, served.features)
    middle = cuts[0] if cuts else len(events) // 2
    scorer = scorer_of(served.artifact, served.features)
    stayed = table_of(served.artifact, served.features, 3)
    expected = tell(scorer, stayed, events, events.streams)

    left = table_of(served.artifact, served.features, 3)
    first, second = events.select(slice(0, middle)), events.select(slice(middle, None))
    before = tell(scorer, left, first, first.streams)
    saved = [left.bytes[stream].tobytes() for stream in range(3)]
    slots = np.array(places[:3])
    arrived = RowTable.zeros(left.layout, 8)
    arrived.bytes[:] = 0xA5  # whatever lay there
    for slot, row in zip(slots, saved, strict=True):
        arrived.bytes[slot] = np.frombuffer(row, np.uint8)
    after = tell(scorer, arrived, second, slots[second.streams])

    Told.joined([before, after]).assert_same_bits(expected)
    np.testing.assert_array_equal(arrived.bytes[slots], stayed.bytes)
    untouched = np.delete(arrived.bytes, slots, axis=0)
    assert (untouched == 0xA5).all()


@modest
@given(batches())
def test_events_that_come_again_are_told_nothing(
    served: Served, drawn: tuple[int, list[int], list[int]]
) -> None:
    """After a crash, all events from the start once more: no score, and not one byte changes."""
    seed, lengths, _ = drawn
    events = some_events(seed, lengths, served.features)
    scorer = scorer_of(served.artifact, served.features)
    table = table_of(served.artifact, served.features, 3)
    tell(scorer, table, events, events.streams)
    before = table.bytes.copy()
    again = tell(scorer, table, events, events.streams)
    assert (again.verdicts == REPLAYED).all()
    np.testing.assert_array_equal(table.bytes, before)


def test_a_wave_wider_than_one_call_gives_the_same_bits(served: Served) -> None:
    """More streams at once than one call of the network takes are scored as each one alone."""
    streams = 2 * LARGEST_BATCH // served.features + 5
    events = some_events(1, [3] * streams, served.features)
    scorer = scorer_of(served.artifact, served.features)
    table = table_of(served.artifact, served.features, streams)
    together = tell(scorer, table, events, events.streams)
    for stream in (0, streams // 2, streams - 1):
        chosen = np.flatnonzero(events.streams == stream)
        row = table_of(served.artifact, served.features, 1)
        own = events.select(chosen)
        tell(scorer, row, own, np.zeros(len(own), np.int64)).assert_same_bits(together, chosen)
        np.testing.assert_array_equal(table.bytes[stream], row.bytes[0])


def test_a_long_run_of_one_stream_gives_the_same_bits(served: Served) -> None:
    """Two thousand events of one stream in one go, or in batches of 7, are the same memory."""
    events = some_events(2, [2000], served.features)
    scorer = scorer_of(served.artifact, served.features)
    slots = np.zeros(len(events), np.int64)
    whole = table_of(served.artifact, served.features, 1)
    pieces = table_of(served.artifact, served.features, 1)
    expected = tell(scorer, whole, events, slots)
    cuts = list(range(7, len(events), 7))
    tell_in_batches(scorer, pieces, events, slots, cuts).assert_same_bits(expected)
    np.testing.assert_array_equal(whole.bytes, pieces.bytes)


def test_an_empty_batch_is_scored(served: Served) -> None:
    """No events give no verdicts, no scores, and leave the rows as they were."""
    table = table_of(served.artifact, served.features, 1)
    before = table.bytes.copy()
    events = some_events(0, [1], served.features).select(slice(0, 0))
    told = tell(scorer_of(served.artifact, served.features), table, events, events.streams)
    assert len(told.verdicts) == 0
    np.testing.assert_array_equal(table.bytes, before)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 6), max_size=40))
def test_turns_count_the_earlier_events_of_the_same_stream(slots: list[int]) -> None:
    """An event's turn is how many events of its stream came before it in the batch."""
    counted = [slots[:k].count(slot) for k, slot in enumerate(slots)]
    assert turns(np.array(slots, np.int64)).tolist() == counted


def regular(values: F64, start: int = 0) -> Events:
    """Events of one stream, five minutes apart."""
    n = len(values)
    streams, offsets = np.zeros(n, np.int64), np.arange(start, start + n)
    times = ticks(n, 300.0, START_TIME + 300.0 * start)
    return Events(streams, offsets, times, np.ones(n, np.bool_), values)


def noisy_sine(seed: int, n: int) -> F64:
    """(n, 1): period 48, amplitude 3, noise of standard deviation 0.3."""
    noise = np.random.default_rng(seed).normal(0.0, 0.3, n)
    return (10.0 + 3.0 * np.sin(2.0 * np.pi * np.arange(n) / 48.0) + noise)[:, None]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sigmas", [20.0, -20.0])
def test_a_spike_is_anomalous_and_calm_events_are_not(
    base: Artifact, seed: int, sigmas: float
) -> None:
    """A spike of 20 sigma after 500 events of a noisy sine scores at least 1; calm ones below."""
    values = noisy_sine(seed, 1000)
    calm = tell(scorer_of(base, 1), table_of(base, 1, 1), regular(values), np.zeros(1000, np.int64))
    assert (calm.scores["score"] < 1.0).mean() >= 0.97
    values[500] += sigmas * 0.3
    told = tell(scorer_of(base, 1), table_of(base, 1, 1), regular(values), np.zeros(1000, np.int64))
    assert told.scores["score"][500] >= 1.0
    # Who raised an alarm before must have something rarer to tell.
    assert told.scores["alarm"][500] or 0 < told.scores["alarm"][:500].sum() < TOLERATED
    others = np.delete(told.scores["score"], 500)
    assert (others < 1.0).mean() >= 0.97


@pytest.mark.parametrize("gap", [60.0, 600.0, 3600.0])
@pytest.mark.parametrize("value", [0.0, 21.5, -1e12, 1e-9])
def test_what_stands_still_is_never_anomalous(base: Artifact, value: float, gap: float) -> None:
    """However long: the network's own small error is not held against itself."""
    events = regular(np.full((3000, 1), value))
    events = replace(events, times=ticks(3000, gap))
    told = tell(scorer_of(base, 1), table_of(base, 1, 1), events, np.zeros(3000, np.int64))
    assert told.scores["score"].max() < 1.0


def test_counts_do_not_wrap(base: Artifact) -> None:
    """Of a stream of a thousand events a second they are full after fifty days: it goes on."""
    values = noisy_sine(0, 400)
    once, often = table_of(base, 1, 1), table_of(base, 1, 1)
    for table in (once, often):
        tell(scorer_of(base, 1), table, regular(values[:300]), np.zeros(300, np.int64))
    for count in ("count", "judged", "jumps"):
        # By a multiple of the horizons, so that what waits is found.
        often.features[count] += np.uint32((2**32 - 320) * (once.features[count] > 0))
    last = regular(values[300:], start=300)
    told = [
        tell(scorer_of(base, 1), table, last, np.zeros(100, np.int64)) for table in (once, often)
    ]
    for field in (0, 1):  # expected, spread
        few, many = (one.features[:, field] for one in told)
        np.testing.assert_allclose(few, many, rtol=0.3)


def test_many_young_streams_are_not_many_false_alarms(base: Artifact) -> None:
    """Of 300 streams whose first 200 events are a slow swing and noise one in a hundred alarms at
    most: a few blocks are little to be held against."""
    streams, n = 300, 200
    slots = np.tile(np.arange(streams), n)
    turns = np.repeat(np.arange(n), streams)
    noise = np.random.default_rng(0).normal(size=streams * n)
    values = (100.0 + 2.0 * np.sin(turns / 300.0) + noise)[:, None]
    times = np.asarray(START_TIME + 10.0 * turns, np.float64)
    events = Events(slots, np.arange(streams * n), times, slots >= 0, values)
    told = tell(scorer_of(base, 1), table_of(base, 1, streams), events, slots)
    assert told.scores["alarm"].sum() <= streams / 100


@pytest.mark.parametrize(("direction", "sigmas"), [(LOW, 20.0), (HIGH, -20.0)])
def test_a_spike_to_the_ignored_side_is_not_anomalous(
    base: Artifact, direction: int, sigmas: float
) -> None:
    """A feature declared LOW may rise, one declared HIGH may fall, without a word."""
    values = noisy_sine(0, 501)
    values[500] += sigmas * 0.3
    slots = np.zeros(501, np.int64)
    ignoring, heeding = scorer_of(base, 1, a=direction), scorer_of(base, 1, a=-direction)
    events = regular(values)
    assert tell(ignoring, table_of(base, 1, 1), events, slots).scores["score"][500] < 1.0
    assert tell(heeding, table_of(base, 1, 1), events, slots).scores["score"][500] >= 1.0


def test_the_feature_to_blame_is_the_one_that_moved(base: Artifact) -> None:
    """Of three features the one that leaves its band has by far the largest surprise."""
    values = np.concatenate([noisy_sine(seed, 501) for seed in range(3)], axis=1)
    values[500, 1] += 6.0
    told = tell(scorer_of(base, 3), table_of(base, 3, 1), regular(values), np.zeros(501, np.int64))
    surprise = told.features[500, 2]
    assert surprise.argmax() == 1
    assert surprise[1] > 3.0 * max(surprise[0], surprise[2])


def test_what_is_missing_is_neither_expected_nor_surprising(base: Artifact) -> None:
    """Expectation, spread and surprise are NaN for a missing value, and numbers otherwise."""
    values = np.concatenate([noisy_sine(seed, 200) for seed in range(3)], axis=1)
    random = np.random.default_rng(0)
    values[random.random(values.shape) < 0.3] = np.nan
    told = tell(scorer_of(base, 3), table_of(base, 3, 1), regular(values), np.zeros(200, np.int64))
    known = np.isfinite(told.features)  # (n, 3, F)
    present = np.broadcast_to(~np.isnan(values)[:, None, :], known.shape)
    np.testing.assert_array_equal(known[20:], present[20:])
    assert not known[~present].any()
    assert np.isfinite(told.scores["score"]).all()


def test_a_missing_feature_remembers_as_if_time_stood_still(base: Artifact) -> None:
    """Feature by feature, the network's state of a missing one stays; the present ones move on."""
    values = np.concatenate([noisy_sine(seed, 30) for seed in range(3)], axis=1)
    scorer, table = scorer_of(base, 3), table_of(base, 3, 1)
    tell(scorer, table, regular(values), np.zeros(30, np.int64))
    before = table.states.copy()
    tell(scorer, table, regular(np.array([[9.0, np.nan, 11.0]]), 30), np.zeros(1, np.int64))
    moved = (table.states != before).any(axis=(0, 1, 3))
    assert moved.tolist() == [True, False, True]


def test_a_coarse_memory_moves_when_a_step_ends(alone: Artifact) -> None:
    """Each resolution has states of its own: the coarse ones stand between the steps' ends."""
    fine, coarse = alone.config.resolutions
    scorer, table = scorer_of(alone, 1), table_of(alone, 1, 1)
    for k, value in enumerate(noisy_sine(0, 6 * coarse)):
        before = table.states.copy()
        tell(scorer, table, regular(value[:, None], k), np.zeros(1, np.int64))
        moved = (table.states != before).any(axis=(0, 2, 3))
        assert moved.tolist() == [(k + 1) % fine == 0, (k + 1) % coarse == 0]


def test_events_without_any_value_are_scored(alone: Artifact, joint: Artifact) -> None:
    """A stream that says nothing for a while has scores still, and no expectation."""
    for artifact in (alone, joint):
        values = np.concatenate([noisy_sine(seed, 100) for seed in range(3)], axis=1)
        values[40:70] = np.nan
        slots = np.zeros(100, np.int64)
        told = tell(scorer_of(artifact, 3), table_of(artifact, 3, 1), regular(values), slots)
        for name in ("score", "level", "tail_probability", "confidence"):
            assert np.isfinite(told.scores[name]).all()
        assert np.isnan(told.features[40:70]).all()
        assert np.isfinite(told.features[75:]).all()


def test_the_next_value_is_expected_before_it_comes(base: Artifact) -> None:
    """An event's own value has no part in what was expected of it."""
    values = noisy_sine(0, 300)
    other = values.copy()
    other[299] += 1000.0
    slots = np.zeros(300, np.int64)
    scorer = scorer_of(base, 1)
    told = tell(scorer, table_of(base, 1, 1), regular(values), slots).features[299]
    surprised = tell(scorer, table_of(base, 1, 1), regular(other), slots).features[299]
    np.testing.assert_allclose(told[:2], surprised[:2], rtol=1e-9)
    assert surprised[2, 0] > told[2, 0]
    assert abs(told[0, 0] - values[299, 0]) < 1.5


def test_the_wildest_value_does_not_change_what_was_expected_of_it(alone: Artifact) -> None:
    """What is told to have been expected of 1e30 is what was expected, not 0."""
    values = noisy_sine(0, 100)
    other = values.copy()
    other[99] = 1e30
    slots, scorer = np.zeros(100, np.int64), scorer_of(alone, 1)
    told, wild = (
        tell(scorer, table_of(alone, 1, 1), regular(each), slots).features[99, 0]
        for each in (values, other)
    )
    np.testing.assert_allclose(told, wild, rtol=1e-6)
