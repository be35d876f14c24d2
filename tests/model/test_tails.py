import math
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.row import HEAD, TAIL, Bytes
from model.tails import (
    BLOCK_EVENTS,
    BYTE_LOW,
    BYTE_STEP,
    GROWTH,
    SETTLED,
    SILENT,
    SURPRISE_KNEE,
    UNSPOKEN,
    YOUNG,
    byte_of,
    combined,
    learn_blocks,
    place_of,
    ranked,
    spoken,
    summarise,
    tail_surprise,
)
from model.views import ABSENT, COARSE_NEAR, DAY, GROUP_COUNT, GROUPS, HELD, NEAR, VIEW_COUNT, WEEK
from tests.model.conftest import F64, I64

Structured = npt.NDArray[np.void]

ALL = np.arange(VIEW_COUNT)
BLOCKS = 80
KIN = [pair for pair in combinations(range(VIEW_COUNT), 2) if GROUPS[pair[0]] == GROUPS[pair[1]]]
STRANGERS = [(v, w) for v, w in combinations(range(VIEW_COUNT), 2) if GROUPS[v] != GROUPS[w]]

histories = st.lists(st.integers(0, 200), min_size=1, max_size=BLOCKS)
surprises = st.one_of(st.floats(0.0, 1e3), st.floats(0.0, 1.0))
modest = settings(deadline=None, max_examples=100)


def surprise_at(history: list[int], x: float, view: int = NEAR) -> float:
    """The tail surprise of x after these block maxima, as bytes."""
    tails = np.zeros(1, TAIL)
    ring = np.zeros(BLOCKS, np.uint8)
    ring[: len(history)] = history
    summarise(tails[0], ring, len(history), view)
    return tail_surprise(tails[0], ring, len(history), x)


@modest
@given(histories, surprises, surprises)
def test_a_larger_value_is_never_less_surprising(history: list[int], x: float, y: float) -> None:
    """Tail surprise rises with the view's value, whatever the history."""
    low, high = sorted((x, y))
    assert surprise_at(history, low) <= surprise_at(history, high)


@modest
@given(histories, st.floats(0.0, 1e100))
def test_surprise_does_not_run_away(history: list[int], x: float) -> None:
    """It is never negative, and far beyond the knee grows by little: sums stay finite."""
    surprise = surprise_at(history, x)
    assert 0.0 <= surprise < 2.0 * SURPRISE_KNEE + 1.0
    assert math.isfinite(10.0**surprise)


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


def test_beyond_the_knee_more_is_still_more() -> None:
    """Ranks stay: of two values beyond the knee the larger surprises more, if only a little."""
    history = list(range(100, 140))
    largest = math.exp(BYTE_LOW + max(history) * BYTE_STEP)
    beyond = [surprise_at(history, factor * largest) for factor in (1e2, 1e3, 1e4)]
    assert SURPRISE_KNEE < beyond[0] < beyond[1] < beyond[2] < beyond[0] + 5.0


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


class Tails:
    """The tails of some views of one stream, with an ordinary history of so many blocks."""

    def __init__(self, active: I64 = ALL, history: int = 40) -> None:
        self.active = active
        self.head: Structured = np.zeros(1, HEAD)
        self.tails: Structured = np.zeros(len(active), TAIL)
        self.maxima: Bytes = np.zeros((len(active), BLOCKS), np.uint8)
        self.head["ring"] = history
        self.tails["surprise"] = ABSENT
        self.tails["maximum"] = SILENT
        for tail, ring, view in zip(self.tails, self.maxima, active, strict=True):
            ring[:history] = np.linspace(110, 150, history)
            summarise(tail, ring, history, view)

    def combine(self, views: dict[int, float]) -> float:
        """The event's surprise from these views; the others are absent."""
        given_views = np.full(VIEW_COUNT, ABSENT)
        for view, value in views.items():
            given_views[view] = value
        used = int(self.head["ring"][0])
        return combined(self.tails, self.maxima, used, self.active, given_views)

    def block(self, views: F64, anomalous: bool = False) -> None:
        """One block of events that all have these views; the first is anomalous or not."""
        for k in range(BLOCK_EVENTS):
            self.head["scored"] += 1
            learn_blocks(
                self.tails, self.maxima, self.head[0], self.active, views, anomalous and k == 0
            )

    def peak(self, x: float, anomalous: bool = False) -> None:
        """One block in which every view reaches x."""
        self.block(np.full(VIEW_COUNT, x), anomalous)

    def top(self) -> float:
        """The largest remembered maximum of the first view."""
        return float(np.exp(self.tails["top"][0]))


@modest
@given(st.integers(0, VIEW_COUNT - 1), surprises)
def test_a_view_alone_is_the_events_surprise(view: int, x: float) -> None:
    """With nothing else said, the surprise is that of the view."""
    history = Tails().maxima[0, :40].tolist()
    assert Tails().combine({view: x}) == pytest.approx(surprise_at(history, x), abs=1e-5)


@modest
@given(st.sampled_from(KIN), surprises, surprises)
def test_within_a_group_views_are_averaged(pair: tuple[int, int], x: float, y: float) -> None:
    """Two views of the same kind count as one: their mean."""
    mean = 0.5 * (Tails().combine({pair[0]: x}) + Tails().combine({pair[1]: y}))
    assert Tails().combine({pair[0]: x, pair[1]: y}) == pytest.approx(mean, abs=1e-5)


@modest
@given(st.sampled_from(STRANGERS), surprises, surprises)
def test_across_groups_the_loudest_counts(pair: tuple[int, int], x: float, y: float) -> None:
    """Of views of different kinds the louder one is heard, less what two looks must cost."""
    loudest = max(Tails().combine({pair[0]: x}), Tails().combine({pair[1]: y}))
    together = Tails().combine({pair[0]: x, pair[1]: y})
    assert loudest - math.log10(GROUP_COUNT) <= together <= loudest + 1e-5


def test_nothing_said_surprises_by_nothing() -> None:
    """An event on which no view has a word has surprise 0."""
    assert Tails().combine({}) == 0.0


def test_a_view_that_has_nothing_new_stays_as_surprised_as_it_was() -> None:
    """A held view counts as it did at its last word; an absent one no longer counts."""
    stream = Tails()
    first = stream.combine({0: 50.0})
    assert stream.combine({0: HELD}) == pytest.approx(first, abs=1e-6)
    assert stream.combine({}) == 0.0
    assert stream.combine({0: HELD}) == 0.0


def test_only_active_views_count() -> None:
    """A view that is not among an artifact's is not looked at."""
    stream = Tails(np.array([0, VIEW_COUNT - 1]))
    assert stream.combine({0: 1.0, 1: 1e6}) == stream.combine({0: 1.0})


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, BLOCKS, BLOCKS + 3])
def test_a_streams_own_history_replaces_the_artifacts(count: int) -> None:
    """Each block leaves its maximum: in place of the artifact's, of the first, of the oldest."""
    prior = 4
    stream = Tails(history=prior)
    first = stream.maxima[0, :prior].tolist()
    expected = first + [0] * (BLOCKS - prior)
    for block in range(count):
        stream.peak(0.1 + block)
        expected[place_of(block, BLOCKS)] = byte_of(float(np.float32(0.1 + block)))
    used = max([prior, *(place_of(block, BLOCKS) + 1 for block in range(count))])
    assert stream.head["blocks"][0] == count
    assert stream.head["ring"][0] == used
    assert (stream.maxima == np.array(expected, np.uint8)).all()
    if count:
        top = BYTE_LOW + max(expected[:used]) * BYTE_STEP
        assert stream.tails["top"] == pytest.approx([top] * VIEW_COUNT, rel=1e-5)
        assert (stream.tails["maximum"] == SILENT).all()


@modest
@given(st.integers(0, 1000), st.integers(SETTLED, 200))
def test_the_ring_holds_the_latest_blocks_but_for_the_first(blocks: int, size: int) -> None:
    """Once a stream has settled, nothing is remembered of its first blocks."""
    held: dict[int, int] = {}
    for block in range(blocks):
        held[place_of(block, size)] = block
    assert max(held, default=0) < size
    latest = blocks - size + YOUNG
    if blocks >= SETTLED + YOUNG:
        assert set(held.values()).isdisjoint(range(YOUNG))
        assert len(held) == min(blocks - YOUNG, size)
        assert min(held.values()) >= latest - SETTLED


def test_a_wild_start_is_forgotten() -> None:
    """While its scales are guesses a stream says what it never says again."""
    stream = Tails(history=1)
    stream.peak(500.0)
    for _ in range(SETTLED + YOUNG):
        stream.peak(1.0)
    assert stream.top() == pytest.approx(1.0, rel=0.06)


def test_a_view_that_begins_late_is_held_against_what_it_said_alone() -> None:
    """A profile of the week speaks in the second week: blocks before it are no entries."""
    late, early = Tails(history=1), Tails(history=1)
    for stream in (late, early):
        stream.maxima[:, 0] = UNSPOKEN
    for _ in range(40):
        late.block(np.full(VIEW_COUNT, ABSENT))
    assert late.combine({0: 50.0}) < 0.5
    for _ in range(30):
        late.peak(1.0)
    for _ in range(30 + YOUNG):
        early.peak(1.0)
    assert late.combine({0: 3.0}) == pytest.approx(early.combine({0: 3.0}), abs=1e-6)
    assert late.combine({0: 3.0}) > 2.0


@modest
@given(st.lists(st.integers(0, 255), min_size=1, max_size=BLOCKS), st.data())
def test_ranks_are_those_of_a_sort(ring: list[int], data: st.DataObject) -> None:
    """The byte of a rank among those that spoke, ties and all, is where a sort would put it."""
    ordered = sorted((byte for byte in ring if byte != UNSPOKEN), reverse=True)
    remembered = np.array(ring + [7] * (BLOCKS - len(ring)), np.uint8)
    assert spoken(remembered, len(ring)) == len(ordered)
    if ordered:
        rank = data.draw(st.integers(0, len(ordered) - 1))
        assert ranked(remembered, len(ring), rank) == ordered[rank]


def test_of_few_blocks_little_can_be_told() -> None:
    """The same step above the largest maximum is the rarer, the more blocks there were."""
    surprises_ = [surprise_at([120] * blocks, 2.0) for blocks in (1, 5, 20, BLOCKS)]
    assert surprises_ == sorted(surprises_)
    assert surprises_[-1] > surprises_[0] + 2.0


def test_a_blocks_maximum_is_that_of_its_events() -> None:
    """One large event in a block is what is remembered of it, wherever it is."""
    for place in (0, 7, BLOCK_EVENTS - 1):
        stream = Tails(history=1)
        for k in range(BLOCK_EVENTS):
            stream.head["scored"] += 1
            views = np.full(VIEW_COUNT, 20.0 if k == place else 0.05)
            learn_blocks(stream.tails, stream.maxima, stream.head[0], ALL, views, False)
        assert (stream.maxima[:, 0] == byte_of(20.0)).all()


def test_one_anomalous_block_in_twenty_is_left_out() -> None:
    """After a calm while an anomaly is not learned from: the tails stay as they were."""
    stream = Tails(history=4)
    for _ in range(25):
        stream.peak(1.0)
    top, blocks = stream.top(), int(stream.head["blocks"][0])
    stream.peak(500.0, anomalous=True)
    assert stream.top() == top
    assert stream.head["blocks"][0] == blocks
    assert (stream.tails["maximum"] == SILENT).all()
    for _ in range(25):
        stream.peak(1.0)
    stream.peak(500.0, anomalous=True)
    assert stream.top() == top


def test_a_change_that_lasts_is_learned() -> None:
    """What keeps happening is the stream's own way: soon it surprises no longer."""
    stream = Tails(history=BLOCKS)
    for _ in range(25):
        stream.peak(1.0)
    before = stream.combine({0: 100.0})
    for _ in range(20):
        stream.peak(100.0, anomalous=True)
    assert stream.top() == pytest.approx(100.0, rel=0.03)
    assert before > 3.0
    assert stream.combine({0: 100.0}) < 1.5


def after_two_incidents() -> tuple[Tails, float]:
    """A settled stream behind two anomalous blocks in a row, and its largest maximum before."""
    stream = Tails(history=BLOCKS)
    for _ in range(25):
        stream.peak(1.0)
    before = stream.top()
    for _ in range(2):
        stream.peak(500.0, anomalous=True)
    return stream, before


def test_one_incident_after_another_does_not_make_a_settled_stream_deaf() -> None:
    """The second is learned from, but raises the largest maximum by a bounded factor; a young
    stream, whose scales are guesses, takes what comes, and one that stood still soon moves."""
    stream, before = after_two_incidents()
    assert before < stream.top() <= before * GROWTH * 1.03
    still = Tails(history=BLOCKS)
    for _ in range(25):
        still.peak(1e-3)
    for _ in range(7):
        still.peak(500.0, anomalous=True)
    assert still.top() == pytest.approx(500.0, rel=0.03)
    young = Tails()
    young.peak(1.0)
    young.peak(500.0)
    assert young.top() == pytest.approx(500.0, rel=0.03)


def test_the_second_of_two_incidents_is_forgotten_once_there_is_credit_for_it() -> None:
    """Until then it is learned from; what calm blocks said stays, and no block counts twice."""
    stream, before = after_two_incidents()
    for _ in range(18):
        stream.peak(1.0)
        assert stream.top() > before
    for _ in range(2):
        stream.peak(1.0)
    assert stream.top() == before
    assert (stream.maxima == UNSPOKEN).sum() == len(stream.maxima)
    assert stream.head["learned"][0] == 0


def test_what_is_larger_than_a_byte_tells_is_learned_too() -> None:
    """A maximum of 1e3 stands for all above: what is always huge is no surprise."""
    stream = Tails(history=BLOCKS)
    before = stream.combine({0: 6e4})
    for _ in range(25):
        stream.peak(6e4, anomalous=True)
    assert before > 3.0
    assert stream.combine({0: 6e4}) < 1.5
    assert stream.combine({0: 9e4}) < 1.5


@pytest.mark.parametrize(("blocks", "fewer"), [(1, True), (2, True), (BLOCKS, False)])
def test_a_few_blocks_prove_less_where_a_value_stands_for_many_events(
    blocks: int, fewer: bool
) -> None:
    """The same excess over a few blocks is less surprising in a coarse view, over many as much."""
    near, coarse = (surprise_at([120] * blocks, 20.0, view) for view in (NEAR, COARSE_NEAR))
    assert (coarse < 0.9 * near) == fewer
    assert coarse == near or fewer


def test_a_profile_without_a_past_says_nothing_beside_the_one_that_has_one() -> None:
    """That of the week begins on the eighth day: it does not halve what the day says."""
    alone, both = Tails(), Tails()
    both.maxima[WEEK] = UNSPOKEN
    summarise(both.tails[WEEK], both.maxima[WEEK], 40, WEEK)
    assert both.combine({DAY: 9.0, WEEK: 9.0}) == alone.combine({DAY: 9.0})


def test_calm_blocks_are_always_learned() -> None:
    """However much credit there is, a block without an anomaly is remembered."""
    stream = Tails()
    for count in range(1, 60):
        stream.peak(1.0)
        assert stream.head["blocks"][0] == count


@pytest.mark.parametrize("silence", [ABSENT, HELD])
def test_a_view_that_begins_to_speak_is_no_anomaly(silence: float) -> None:
    """The profile of the day has its first word after a day, a coarse horizon after hours.

    What a view then says is held against what it said before, or the artifact's, not its silence.
    """
    stream = Tails(history=4)
    views = np.full(VIEW_COUNT, 0.5)
    views[0] = silence
    for _ in range(30):
        stream.block(views)
    assert stream.combine({0: 1.0}) < 2.0


@pytest.mark.parametrize("silence", [ABSENT, HELD])
@pytest.mark.parametrize(("begins", "blocks"), [(BLOCK_EVENTS // 2 - 1, 3), (BLOCK_EVENTS - 2, 2)])
def test_the_end_of_a_block_does_not_stand_for_one(
    silence: float, begins: int, blocks: int
) -> None:
    """A view's first words, where they are few: what ordinary events say would be beyond them."""
    stream = Tails(history=1)
    stream.maxima[:, 0] = UNSPOKEN
    summarise(stream.tails[0], stream.maxima[0], 1, 0)
    for k in range(3 * BLOCK_EVENTS):
        stream.head["scored"] += 1
        views = np.full(VIEW_COUNT, 1.0 if k % 4 == begins % 4 and k >= begins else silence)
        learn_blocks(stream.tails, stream.maxima, stream.head[0], ALL, views, False)
    assert spoken(stream.maxima[0], int(stream.head["ring"][0])) == blocks
