import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model.row import BLOCKS, HEAD, TAIL, Bytes
from model.surprise import (
    BLOCK_EVENTS,
    BOTH,
    BYTE_LOW,
    BYTE_STEP,
    CAUTIOUS_EVENTS,
    CONFIDENT_EVENTS,
    ESCALATION,
    HIGH,
    LEARNED_GROWTH,
    LOW,
    PRIOR_BLOCKS,
    REFRACTORY_EVENTS,
    SCORE,
    SURPRISE_LIMIT,
    THRESHOLD_HIGH,
    THRESHOLD_LOW,
    VIEW_COUNT,
    WEEK,
    byte_of,
    decide,
    error_surprise,
    insert_largest,
    learn_blocks,
    summarise,
    tail_surprise,
    threshold_of,
)

GAP, BUDGET = 60.0, 1.0

histories = st.lists(st.integers(0, 200), min_size=1, max_size=BLOCKS)
surprises = st.one_of(st.floats(0.0, 1e3), st.floats(0.0, 1.0))
modest = settings(deadline=None, max_examples=100)


def surprise_at(history: list[int], x: float) -> float:
    """The tail surprise of x after these block maxima, as bytes."""
    tails = np.zeros(1, TAIL)
    ring = np.zeros(BLOCKS, np.uint8)
    ring[: len(history)] = history
    summarise(tails[0], ring, len(history))
    return tail_surprise(tails[0], ring, len(history), x)


@modest
@given(histories, surprises, surprises)
def test_a_larger_error_is_never_less_surprising(history: list[int], x: float, y: float) -> None:
    """Tail surprise rises with the view's value, whatever the history."""
    low, high = sorted((x, y))
    assert surprise_at(history, low) <= surprise_at(history, high)


@modest
@given(histories, st.floats(0.0, 1e100))
def test_surprise_is_bounded(history: list[int], x: float) -> None:
    """No history and no value give a negative surprise or one above the limit."""
    assert 0.0 <= surprise_at(history, x) <= SURPRISE_LIMIT


@modest
@given(histories, st.floats(0.0, 900.0), st.integers(1, 54))
def test_a_history_of_larger_errors_makes_a_value_less_surprising(
    history: list[int], x: float, more: int
) -> None:
    """Every past maximum larger by the same factor: the same value surprises no more."""
    larger = [byte + more for byte in history]
    assert surprise_at(larger, x) <= surprise_at(history, x) + 1e-6


@modest
@given(histories, surprises, st.integers(1, 54))
def test_a_history_with_a_wilder_moment_makes_a_value_less_surprising(
    history: list[int], x: float, more: int
) -> None:
    """A larger largest maximum makes the same value surprise no more."""
    largest = history.index(max(history))
    wilder = [*history[:largest], history[largest] + more, *history[largest + 1 :]]
    assert surprise_at(wilder, x) <= surprise_at(history, x) + 1e-6


def test_an_error_beyond_every_earlier_one_surprises_by_how_far() -> None:
    """Past the largest remembered maximum, surprise goes on rising with the excess."""
    history = list(range(100, 140))
    largest = math.exp(BYTE_LOW + max(history) * BYTE_STEP)
    beyond = [surprise_at(history, factor * largest) for factor in (0.99, 1.5, 2.0)]
    assert beyond[0] < beyond[1] - 0.5 < beyond[2] - 1.0


@modest
@given(st.floats(1.001e-3, 999.0))
def test_a_byte_holds_a_maximum_within_a_few_percent(x: float) -> None:
    """A remembered maximum is within 3 % of what it was."""
    assert math.exp(BYTE_LOW + byte_of(x) * BYTE_STEP) == pytest.approx(x, rel=0.03)


@modest
@given(st.floats(0.0, 1e100), st.floats(0.0, 1e100))
def test_bytes_keep_the_order_of_maxima(x: float, y: float) -> None:
    """A larger maximum never gets a smaller byte, and every one fits its byte."""
    low, high = sorted((x, y))
    assert 0 <= byte_of(low) <= byte_of(high) <= 254


@modest
@given(st.floats(0.01, 1e4), st.floats(THRESHOLD_LOW + 1.0, THRESHOLD_HIGH))
def test_ten_times_the_budget_lowers_the_threshold_by_one(gap: float, threshold: float) -> None:
    """The threshold is the surprise that normal blocks reach at the budget's rate."""
    budget = WEEK / (BLOCK_EVENTS * gap) / 10.0**threshold
    assert threshold_of(gap, budget) == pytest.approx(threshold, abs=1e-9)
    assert threshold_of(gap, 10.0 * budget) == pytest.approx(threshold - 1.0, abs=1e-9)


@modest
@given(st.floats(0.0, 1e9), st.floats(1e-9, 1e9))
def test_a_threshold_stays_within_its_limits(gap: float, budget: float) -> None:
    """No budget and no pace of events asks for more or less than the tail can tell."""
    assert THRESHOLD_LOW <= threshold_of(gap, budget) <= THRESHOLD_HIGH


deviations = st.floats(1e-3, 1e9)


@modest
@given(st.floats(-1e6, 1e6), deviations, st.floats(1e-3, 1e3))
def test_a_direction_ignores_the_other_side(at: float, deviation: float, width: float) -> None:
    """LOW is not surprised by high values, nor HIGH by low ones; each judges its own as BOTH."""
    high, low = at + deviation, at - deviation
    assert error_surprise(high, at, width, LOW) == 0.0
    assert error_surprise(low, at, width, HIGH) == 0.0
    assert error_surprise(high, at, width, HIGH) == error_surprise(high, at, width, BOTH) > 0.0
    assert error_surprise(low, at, width, LOW) == error_surprise(low, at, width, BOTH) > 0.0


@modest
@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100), st.floats(1e-30, 1e100))
def test_an_errors_surprise_is_finite_and_even(x: float, at: float, width: float) -> None:
    """As far above as below surprises as much; nothing surprises infinitely; a hit not at all."""
    surprise = error_surprise(x, at, width, BOTH)
    assert math.isfinite(surprise)
    assert surprise == error_surprise(at, x, width, BOTH) >= 0.0
    assert error_surprise(at, at, width, BOTH) == 0.0


@modest
@given(st.lists(st.floats(0.0, 1e6), max_size=12))
def test_the_largest_features_are_pooled(values: list[float]) -> None:
    """Of any values in any order the three largest are kept."""
    largest = np.zeros(3)
    for value in values:
        insert_largest(largest, value)
    assert largest.tolist() == sorted([*values, 0.0, 0.0, 0.0], reverse=True)[:3]


class Judged:
    """One stream that is told its events' total surprise."""

    def __init__(self, scored: int = 1000) -> None:
        self.head = np.zeros(1, HEAD)
        self.head["scored"] = scored

    def tell(self, total: float, gap: float = GAP, budget: float = BUDGET) -> npt.NDArray[np.void]:
        out = np.zeros(1, SCORE)
        decide(self.head[0], total, gap, budget, out[0])
        return out

    def alarms(self, totals: list[float]) -> list[int]:
        """Which of the events alarmed."""
        return [k for k, total in enumerate(totals) if self.tell(total)["alarm"][0]]


AT = threshold_of(GAP, BUDGET)


@modest
@given(st.floats(0.0, SURPRISE_LIMIT), st.floats(0.01, 1e4), st.floats(1e-3, 1e3))
def test_score_and_tail_probability_say_the_same(total: float, gap: float, budget: float) -> None:
    """The score is at least 1 exactly where the tail probability is at most the threshold."""
    out = Judged().tell(total, gap, budget)
    assume(abs(out["score"][0] - 1.0) > 1e-12)
    assert (out["score"] >= 1.0) == (out["tail_probability"] <= out["threshold"])
    assert 0.0 < out["tail_probability"][0] <= 1.0
    assert out["threshold"][0] == pytest.approx(10.0 ** -threshold_of(gap, budget))


@modest
@given(st.floats(0.01, 1e4), st.floats(1e-3, 1e3))
def test_the_score_is_one_at_the_threshold(gap: float, budget: float) -> None:
    """A surprise equal to the threshold scores 1.0 exactly, and counts as anomalous."""
    stream = Judged()
    out = stream.tell(threshold_of(gap, budget), gap, budget)
    assert out["score"][0] == 1.0
    assert out["tail_probability"][0] == out["threshold"][0]
    assert stream.head["anomalies"][0] == 1


@modest
@given(st.floats(0.0, SURPRISE_LIMIT), st.integers(0, 2000))
def test_the_row_keeps_what_was_told(total: float, scored: int) -> None:
    """A stream's row shows its last event's score, level, threshold, tail and confidence."""
    stream = Judged(scored)
    out = stream.tell(total)
    for name in ("score", "level", "threshold", "tail_probability", "confidence"):
        assert stream.head[name][0] == np.float32(out[name][0])


def test_a_calm_stream_raises_no_alarm() -> None:
    """Below the threshold nothing alarms, however long."""
    stream = Judged()
    assert stream.alarms([0.999 * AT] * 300) == []
    assert stream.head["anomalies"][0] == 0


def test_an_episode_notifies_once() -> None:
    """Anomalous events of the same size alarm once in the refractory period, then again."""
    stream = Judged()
    totals = [1.2 * AT] * (2 * REFRACTORY_EVENTS + 1)
    assert stream.alarms(totals) == [0, REFRACTORY_EVENTS, 2 * REFRACTORY_EVENTS]
    assert stream.head["alarms"][0] == 3
    assert stream.head["anomalies"][0] == len(totals)


def test_calm_events_count_towards_the_refractory_period() -> None:
    """The next alarm may come REFRACTORY_EVENTS events after the last, calm or not."""
    calm = [0.1] * (REFRACTORY_EVENTS - 2)
    anomalous = 1.2 * AT
    assert Judged().alarms([anomalous, *calm, anomalous, anomalous]) == [0, REFRACTORY_EVENTS]


@pytest.mark.parametrize(
    ("factor", "alarms"), [(ESCALATION * 1.001, [0, 3]), (ESCALATION * 0.999, [0])]
)
def test_a_marked_escalation_alarms_at_once(factor: float, alarms: list[int]) -> None:
    """Within the refractory period only a score ESCALATION times the last alarm's notifies."""
    first = 1.2 * AT
    assert Judged().alarms([first, first, first, factor * first, first]) == alarms


def test_escalations_are_measured_from_the_last_alarm() -> None:
    """After an escalation, as much again does not alarm; ESCALATION times it does."""
    stream = Judged()
    second = 1.001 * ESCALATION * AT
    assert stream.alarms([AT, second, second, 1.001 * ESCALATION * second]) == [0, 1, 3]


def test_the_first_events_cannot_prove_much() -> None:
    """The same surprise scores in proportion to how much was seen, until CAUTIOUS_EVENTS."""
    for share in (0.25, 0.5, 1.0, 1.5, 10.0):
        out = Judged(int(share * CAUTIOUS_EVENTS) - 1).tell(2.0 * AT)
        assert out["score"][0] == pytest.approx(2.0 * min(1.0, share))


def test_confidence_grows_to_one() -> None:
    """Confidence rises with the events scored and is full once the history is the stream's own."""
    for share in (0.1, 0.5, 1.0, 10.0):
        out = Judged(int(share * CONFIDENT_EVENTS) - 1).tell(0.1)
        assert out["confidence"][0] == pytest.approx(min(1.0, share))


def test_the_level_stays_up_through_a_long_anomaly() -> None:
    """The level nears a lasting score, is hardly moved by one event, and comes down after."""
    stream = Judged()
    once = stream.tell(3.0 * AT)["level"][0]
    assert once < 0.3
    lasting = [stream.tell(3.0 * AT)["level"][0] for _ in range(60)]
    assert lasting == sorted(lasting)
    assert lasting[-1] == pytest.approx(3.0, rel=0.02)
    calm = [stream.tell(0.0)["level"][0] for _ in range(60)]
    assert calm == sorted(calm, reverse=True)
    assert calm[-1] < 0.05


def blocks_told(count: int) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void], Bytes]:
    """Head, tails and maxima after `count` blocks; block b's views peak at 0.1 + b."""
    head, tails = np.zeros(1, HEAD), np.zeros((1, VIEW_COUNT), TAIL)
    maxima = np.zeros((1, VIEW_COUNT, BLOCKS), np.uint8)
    head["ring"] = PRIOR_BLOCKS
    maxima[:, :, :PRIOR_BLOCKS] = 200
    for block in range(count):
        for k in range(BLOCK_EVENTS):
            peak = 0.1 + block if k == block % BLOCK_EVENTS else 0.05
            head["scored"] += 1
            learn_blocks(tails[0], maxima[0], head[0], np.full(VIEW_COUNT, peak), False)
    return head, tails, maxima


@pytest.mark.parametrize("count", [0, 1, PRIOR_BLOCKS, PRIOR_BLOCKS + 1, BLOCKS, BLOCKS + 3])
def test_a_streams_own_history_replaces_the_artifacts(count: int) -> None:
    """Each block leaves its maximum: first in place of the artifact's, at last of the oldest."""
    head, tails, maxima = blocks_told(count)
    expected = [200] * PRIOR_BLOCKS + [0] * (BLOCKS - PRIOR_BLOCKS)
    for block in range(count):
        expected[block % BLOCKS] = byte_of(float(np.float32(0.1 + block)))
    used = min(max(count, PRIOR_BLOCKS), BLOCKS)
    assert head["blocks"][0] == count
    assert head["ring"][0] == used
    for v in range(VIEW_COUNT):
        assert maxima[0, v].tolist() == expected
    if count:
        top = BYTE_LOW + max(expected[:used]) * BYTE_STEP
        assert tails["top"][0] == pytest.approx([top] * VIEW_COUNT, rel=1e-5)
        assert not tails["maximum"].any()


def test_one_wild_event_moves_the_tail_little_and_a_lasting_change_moves_it() -> None:
    """An anomaly is not learned from; a run of such blocks is."""
    head, tails, maxima = blocks_told(BLOCKS)
    top = float(np.exp(tails["top"][0, 0]))

    def block(peak: float) -> float:
        for k in range(BLOCK_EVENTS):
            head["scored"] += 1
            views = np.full(VIEW_COUNT, peak if k == 0 else 0.05)
            learn_blocks(tails[0], maxima[0], head[0], views, k == 0)
        return float(np.exp(tails["top"][0, 0]))

    assert block(4 * top) <= LEARNED_GROWTH * top * 1.06  # a byte's step of rounding
    grown = top
    for _ in range(40):
        grown = block(4 * top)
    assert grown > 3.5 * top
