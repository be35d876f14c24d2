import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from model.feedback import SOON, Said, tolerance_of
from model.judge import (
    BOTH,
    CONFIDENT_EVENTS,
    ESCALATION,
    HIGH,
    LOW,
    REFRACTORY_EVENTS,
    SCORE,
    THRESHOLD_HIGH,
    THRESHOLD_LOW,
    TOLERATED,
    WEEK,
    Terms,
    cautious,
    compare,
    decide,
    expect,
    follow_level,
    judge_value,
    threshold_of,
    usual_error,
)
from model.row import FEATURE, HEAD
from model.suppression import BY_NOTHING, rule_table
from model.tails import BLOCK_EVENTS
from model.views import AWAY, LONG, NEAR, VIEW_COUNT, Pools, error_surprise
from tests.model.conftest import F64

GAP, BUDGET = 60.0, 1.0
NO_TAILS: F64 = np.zeros((1, 0))
ALL = np.arange(VIEW_COUNT)
TERMS = Terms(
    joint=True, directions=np.zeros(1, np.int8), rules=rule_table(["value"], {}),
    horizons=np.array([1]), active=ALL, counts=np.ones(VIEW_COUNT, np.bool_), persistence=25.0,
    cautious_events=0.0, error_tails=NO_TAILS, view_tails=NO_TAILS, budget_per_week=1.0,
)  # fmt: skip

Structured = npt.NDArray[np.void]

totals = st.floats(0.0, 20.0)
modest = settings(deadline=None, max_examples=100)


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


class Judged:
    """One stream that is told its events' total surprise."""

    def __init__(self, scored: int = 1000) -> None:
        self.head: Structured = np.zeros(1, HEAD)
        self.head["scored"] = scored

    def tell(
        self,
        total: float,
        gap: float = GAP,
        budget: float = BUDGET,
        level: float = 1.0,
        bound: int = BY_NOTHING,
    ) -> Structured:
        out: Structured = np.zeros(1, SCORE)
        decide(self.head[0], total, level, True, gap, budget, bound, out[0])
        return out

    def alarms(self, totals: list[float]) -> list[int]:
        """Which of the events alarmed."""
        return [k for k, total in enumerate(totals) if self.tell(total)["alarm"][0]]


AT = threshold_of(GAP, BUDGET)


@modest
@given(totals, st.floats(0.01, 1e4), st.floats(1e-3, 1e3))
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
@given(totals, st.integers(0, 2000), st.floats(0.0, 100.0))
def test_the_row_keeps_what_was_told(total: float, scored: int, level: float) -> None:
    """A stream's row shows its last event's score and level."""
    stream = Judged(scored)
    out = stream.tell(total, level=level)
    assert out["level"][0] == level
    for name in ("score", "level"):
        assert stream.head[name][0] == np.float32(out[name][0])


def test_a_calm_stream_raises_no_alarm() -> None:
    """Below the threshold nothing alarms, however long."""
    stream = Judged()
    assert stream.alarms([0.999 * AT] * 300) == []
    assert stream.head["anomalies"][0] == 0


def test_an_episode_notifies_once() -> None:
    """Anomalous events of the same size alarm once in the refractory period, then again."""
    stream = Judged()
    lasting = [1.2 * AT] * (2 * REFRACTORY_EVENTS + 1)
    assert stream.alarms(lasting) == [0, REFRACTORY_EVENTS, 2 * REFRACTORY_EVENTS]
    assert stream.head["alarms"][0] == 3
    assert stream.head["anomalies"][0] == len(lasting)


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


@pytest.mark.parametrize(
    ("apart", "alarms"), [(1, 1), (SOON - 1, 1), (SOON, 0), (REFRACTORY_EVENTS, 1)]
)
def test_what_is_tolerated_alarms_where_it_comes_again_and_again(apart: int, alarms: int) -> None:
    """The third event of a size that was no anomaly alarms, if none is far from the one before."""
    stream = Judged()
    stream.head["tolerance"] = tolerance_of([Said("false", 1.5)])
    known = [2.5 * AT, *[0.1] * (apart - 1)]
    assert stream.alarms(known * 3) == [2 * apart] * alarms


def test_what_is_far_beyond_what_was_tolerated_alarms_at_once() -> None:
    stream = Judged()
    stream.head["tolerance"] = tolerance_of([Said("false", 1.5)])
    assert stream.alarms([2.9 * AT, 3.3 * AT]) == [1]


def test_what_a_row_knows_does_not_depend_on_what_was_said() -> None:
    """What is taken back leaves no trace, but for the alarms that were not raised meanwhile."""
    told, silent = Judged(), Judged()
    told.head["tolerance"] = tolerance_of([Said("false", 1.5)])
    for total in [2.5 * AT, 0.1, 2.5 * AT, 0.1, 0.1]:
        assert told.tell(total)["score"] == silent.tell(total)["score"]
    for name in ("repeats", "apart", "anomalies", "score", "level"):
        assert told.head[name] == silent.head[name]


def test_the_first_events_cannot_prove_much() -> None:
    """The same surprise scores in proportion to how much was seen, until there is enough."""
    for share in (0.25, 0.5, 1.0, 1.5, 10.0):
        row = Judged(int(share * 40) - 1).head[0]
        assert cautious(row, 2.0, 40.0) == pytest.approx(2.0 * min(1.0, share))


def test_a_stream_that_overspends_must_have_something_rarer_to_tell() -> None:
    """Anomalies every few minutes, on a budget of one alarm a week: soon they must be ten times as
    rare; the score says the same as before, and what is rare enough still alarms."""
    stream = Judged()
    calm = [0.1] * REFRACTORY_EVENTS
    weeks = 200 * (REFRACTORY_EVENTS + 1) * GAP / WEEK
    often = stream.alarms([AT + 0.3, *calm] * 200)
    assert TOLERATED < len(often) < weeks * BUDGET + 2 * TOLERATED
    assert stream.tell(AT + 0.3)["score"][0] > 1.0
    assert stream.alarms([*calm, AT + 0.8])


@pytest.mark.parametrize("gap", [0.001, 1.0])
def test_what_was_overspent_is_paid_for_at_any_pace(gap: float) -> None:
    """A thousand events a second pay no less than one a minute does."""
    stream = Judged()
    stream.head["overspent"] = 500.0
    for _ in range(1000):
        stream.tell(0.1, gap)
    paid = 500.0 - stream.head["overspent"][0]
    assert paid == pytest.approx(1000 * BUDGET * gap / WEEK, rel=1e-3)


def test_a_stream_within_its_budget_alarms_at_the_threshold() -> None:
    """What was overspent long ago is forgotten."""
    stream = Judged()
    stream.alarms([AT + 1.0, *[0.1] * REFRACTORY_EVENTS] * 20)
    assert not stream.tell(AT)["alarm"][0]
    for _ in range(25):
        stream.tell(0.1, gap=WEEK)
    assert stream.tell(AT)["alarm"][0]


def test_confidence_grows_to_one() -> None:
    """Confidence rises with the events scored and is full once the history is the stream's own."""
    for share in (0.1, 0.5, 1.0, 10.0):
        out = Judged(int(share * CONFIDENT_EVENTS) - 1).tell(0.1)
        assert out["confidence"][0] == pytest.approx(min(1.0, share))


def error_of(surprise: float) -> float:
    """The error in spreads that surprises so much."""
    return math.sqrt(4.0 * math.expm1(surprise / 2.5))


class Levelled:
    """One stream of one feature that is told its errors' surprises and its distances."""

    def __init__(self) -> None:
        self.head: Structured = np.zeros(1, HEAD)
        for name in ("errors", "usual_errors", "distance", "usual_distance"):
            self.head[name] = 1.0

    def tell(self, error: float | None, distance: float | None) -> float:
        """The level; None where nothing is said."""
        pools = Pools.of(1, 1)
        if error is not None:
            pools.level_errors[0], pools.present[NEAR] = error_of(error), 1
        if distance is not None:
            pools.largest[AWAY, 0], pools.present[AWAY] = distance, 1
        level = follow_level(self.head[0], pools)
        self.head["scored"] += 1
        return float(level)

    def live(self, events: int, factor: float = 1.0, seed: int = 0) -> F64:
        """Levels of so many ordinary events, or of such with `factor` times the surprise."""
        random = np.random.default_rng(seed)
        drawn = factor * (0.5 + random.exponential(0.5, (events, 2)))
        return np.array([self.tell(error, distance) for error, distance in drawn.tolist()])


def test_a_usual_stream_has_level_one() -> None:
    """1 is usual: a stream that goes on as it always did hovers about it."""
    levels = Levelled().live(4000)
    assert levels[200:].mean() == pytest.approx(1.0, abs=0.05)
    assert np.abs(levels[200:] - 1.0).max() < 0.6


@pytest.mark.parametrize("factor", [0.3, 3.0, 5.0])
def test_the_level_is_how_many_times_its_usual_a_stream_is(factor: float) -> None:
    """Within some dozens of events of a new state the level is its ratio to the usual, and back."""
    stream = Levelled()
    before = stream.live(4000)[-1]
    once = stream.live(1, factor, seed=1)[0]
    lasting = stream.live(80, factor, seed=2)
    calm = stream.live(80, seed=3)
    assert abs(once - before) < 0.5 * abs(factor - 1.0)
    assert lasting[30:].mean() == pytest.approx(factor, rel=0.15)
    assert calm[40:].mean() == pytest.approx(1.0, abs=0.15)


def test_what_lasts_becomes_usual() -> None:
    """Long after a stream changed for good its level is 1 again."""
    stream = Levelled()
    stream.live(4000)
    stream.live(15_000, 4.0, seed=1)
    assert stream.live(500, 4.0, seed=2).mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_the_level_knows_no_unit(factor: float) -> None:
    """A network that is always surprised ten times as much gives the same levels, later on."""
    levels = Levelled().live(20_000, factor)[-100:]
    np.testing.assert_allclose(levels, Levelled().live(20_000)[-100:], rtol=0.05)


def test_a_stream_that_says_nothing_keeps_its_level() -> None:
    """Before anything is known the level is 1; an event without a value leaves it as it was."""
    stream = Levelled()
    assert stream.tell(None, None) == 1.0
    last = stream.live(200)[-1]
    assert stream.tell(None, None) == last


def test_a_lucky_first_guess_is_not_what_is_usual() -> None:
    """A first error of nearly 0 does not make the ordinary ones after it look enormous."""
    stream = Levelled()
    stream.tell(1e-4, 1e-4)
    assert stream.live(60).max() < 10.0


def valued(
    feature: Structured, error: float, direction: int = BOTH, width: float = 1.0
) -> tuple[F64, float, F64]:
    """(views' largest, the near error's surprise for the level, what is told): one value, 10, and
    an error of one horizon."""
    pools, told = Pools.of(1, 1), np.full(4, np.nan)
    pools.errors[0], pools.widths[0] = error, width
    judge_value(feature[0], 0, 10.0, 1.0, direction, TERMS, NO_TAILS[0], pools, told)
    return pools.largest[:, 0], error_surprise(pools.level_errors[0]), told


def test_a_networks_spread_is_taken_at_its_word_at_first() -> None:
    """Before any error an error of one spread is one of one spread."""
    assert usual_error(np.zeros(1, FEATURE)[0]) == 1.0


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_what_is_usual_of_errors_is_followed(factor: float) -> None:
    """Where errors are always `factor` spreads, that is usual, and surprises as one spread does."""
    feature = np.zeros(1, FEATURE)
    for k in range(25_000):
        valued(feature, factor * (-1.0) ** k)
    assert usual_error(feature[0]) == pytest.approx(factor, rel=0.02)
    largest, near, _ = valued(feature, factor)
    assert largest[NEAR] == pytest.approx(1.0, rel=0.03)
    assert near == pytest.approx(error_surprise(1.0), rel=0.05)


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_a_young_streams_usual_error_is_found_soon(factor: float) -> None:
    """Its scales are guesses: two thousand events tell how far off."""
    feature = np.zeros(1, FEATURE)
    for k in range(2000):
        valued(feature, factor * (-1.0) ** k)
        feature["judged"] += 1
    assert 0.5 < usual_error(feature[0]) / factor < 2.0


@modest
@given(st.floats(10.0, 1e30))
def test_one_wild_error_is_not_usual(error: float) -> None:
    """However wild, it moves the usual error by a percent or so, and counts little in the level."""
    feature = np.zeros(1, FEATURE)
    feature["judged"] = 10_000
    valued(feature, 1.0)
    _, near, _ = valued(feature, error)
    assert 1.0 < usual_error(feature[0]) < 1.02
    assert error_surprise(1.0) < near < 10.0


@modest
@given(st.floats(0.1, 1e6))
def test_an_error_to_the_ignored_side_surprises_nobody(error: float) -> None:
    """LOW hears only of values below what was expected, HIGH only of values above."""
    feature = np.zeros(1, FEATURE)
    for direction in (LOW, HIGH):
        ignored, _, _ = valued(feature.copy(), -direction * error, direction)
        heeded, _, _ = valued(feature.copy(), direction * error, direction)
        assert ignored[NEAR] == 0.0
        assert heeded[NEAR] == valued(feature.copy(), error)[0][NEAR] > 0.0


def test_what_is_told_of_a_value_is_in_its_own_units() -> None:
    """What was expected, in which spread, and how much the error surprises; NaN if nothing was."""
    feature = np.zeros(1, FEATURE)
    feature["error"] = 4.0
    assert np.isnan(valued(feature, math.nan, width=0.0)[2]).all()
    told = valued(feature.copy(), 3.0, width=0.5)[2]
    assert told[:3].tolist() == pytest.approx([10.0, 1.0, error_surprise(3.0)])
    assert valued(feature, 3.0, LOW, width=0.5)[2][2] == 0.0


@pytest.mark.parametrize("horizons", [1, 3])
def test_the_perplexity_is_one_over_the_mean_likelihood(horizons: int) -> None:
    """Errors of no surprise, in a spread of two scales: the network knows half as much."""
    pools, told = Pools.of(1, horizons), np.full(4, np.nan)
    pools.widths[:] = 2.0
    judge_value(np.zeros(1, FEATURE)[0], 0, 0.0, 1.0, BOTH, TERMS, NO_TAILS[0], pools, told)
    assert pools.largest[LONG, 0] == pytest.approx(2.0)


@modest
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True).map(sorted),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_a_reconstruction_meets_the_value_that_it_was_made_for(
    horizons: list[int], n: int, seed: int
) -> None:
    """What was said of a value h steps before it came is what it is compared with, for each h."""
    random = np.random.default_rng(seed)
    values, units = random.normal(size=n), random.uniform(0.5, 2.0, n)
    given_outputs = random.normal(size=(n, 2 + 2 * len(horizons))).astype(np.float32)
    feature = np.zeros(1, FEATURE)
    waits, reach = np.zeros(sum(horizons)), np.zeros(sum(horizons), np.float32)
    h, unsure, pools = np.array(horizons), np.ones(n), Pools.of(1, len(horizons))
    for t in range(n):
        compare(feature[0], values[t], waits, reach, h, pools)
        for j, steps in enumerate(horizons):
            made = t - steps
            if made < 0:
                assert math.isnan(pools.errors[j])
                continue
            said = values[made] + units[made] * given_outputs[made, 2 + 2 * j]
            spread = units[made] * math.exp(given_outputs[made, 3 + 2 * j]) * unsure[made]
            assert pools.errors[j] == pytest.approx(values[t] - said, rel=1e-6, abs=1e-9)
            assert pools.widths[j] == pytest.approx(spread, rel=1e-6)
        expect(feature[0], values[t], units[t], given_outputs[t], pools.places, waits, reach)
        unsure[t] = math.sqrt(1.0 + feature["doubt"][0])
    assert feature["judged"][0] == n


@pytest.mark.parametrize("start", [0.0, 4.0])
def test_a_level_is_known_the_better_the_more_values_it_is_a_mean_of(start: float) -> None:
    """The variance of a mean of n values is one n-th of theirs, whatever the first guess was."""
    feature, place = np.zeros(1, FEATURE), np.zeros(1, np.int64)
    feature["doubt"] = start
    waits, reach = np.zeros(1), np.zeros(1, np.float32)
    for n in range(1, 200):
        expect(feature[0], 0.0, 1.0, np.zeros(4, np.float32), place, waits, reach)
        assert feature["doubt"][0] == pytest.approx(1.0 / n, rel=1e-4)


def test_nothing_is_expected_where_the_unit_is_not_known() -> None:
    """A unit of 0, as while too few values were seen: nothing waits for the next value."""
    feature, pools = np.zeros(1, FEATURE), Pools.of(1, 1)
    waits, reach = np.zeros(1), np.zeros(1, np.float32)
    expect(feature[0], 5.0, 0.0, np.ones(4, np.float32), pools.places, waits, reach)
    compare(feature[0], 6.0, waits, reach, np.array([1]), pools)
    assert math.isnan(pools.errors[0])
