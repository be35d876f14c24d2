"""What streams were like: to a stated precision, found by name and time, whole after a crash."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.episodes import EPISODE
from model.judge import BAND, SCORE
from service.blocks import block as block_files
from service.blocks import history as histories
from service.blocks import upkeep
from service.blocks.block import Block, Footer
from service.blocks.columns import Curves, thin
from service.blocks.head import Head
from service.blocks.history import DetectorHistory, StreamHistory
from service.blocks.upkeep import Drop, Merge, Thin, next_step
from service.errors import StateError
from service.records import Delivery, Names, RawBatch, ScoredBatch

FOREVER = float("-inf"), float("inf")
SEED = np.uint64(7)
ROOM = 2**30


def scored(
    streams: list[str],
    times: list[float],
    values: list[float],
    scores: list[float] | None = None,
    first: int = 0,
) -> ScoredBatch:
    """Events of one feature, expected one spread of 2.0 higher."""
    n = len(streams)
    told = np.zeros(n, SCORE)
    told["score"] = 0.5 if scores is None else scores
    column = np.array(values, np.float64).reshape(n, 1)
    return ScoredBatch(
        "default", "a", ("t", 0), ("x",), Names.of(streams), np.arange(n), first + np.arange(n),
        np.array(times, np.float64), column, told, column + 2.0, np.full((n, 1), 2.0),
        np.zeros((n, 1)), ("near",), np.zeros(n, EPISODE), np.zeros(n),
    )  # fmt: skip


def at(folder: Path, most_bytes: int = ROOM) -> DetectorHistory:
    return DetectorHistory(folder, most_bytes, 90.0, SEED)


def work(history: DetectorHistory) -> None:
    while history.work():
        """There may be more."""


def all_of(history: DetectorHistory, stream: str, most: int = 10**6) -> Curves:
    curves = history.curves(stream, *FOREVER, most)
    assert curves is not None
    return curves


@contextmanager
def small_heads(events: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(histories, "HEAD_VALUES", events)
        yield


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 50_000), st.floats(-1e6, 1e6)), min_size=1
)  # streams, milliseconds, values


@settings(deadline=None, max_examples=60)
@given(
    batches=st.lists(EVENTS, min_size=1, max_size=12),
    head=st.integers(1, 20),
    restarts=st.sets(st.integers(0, 11)),
    works=st.sets(st.integers(0, 11)),
)
def test_every_event_is_found_once_in_the_order_of_time(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, int, float]]],
    head: int, restarts: set[int], works: set[int],
) -> None:  # fmt: skip
    """However they were cut into batches, heads and blocks, and however often it was started anew:
    what was saved and is delivered again, as after a crash, is there once."""
    folder = tmp_path_factory.mktemp("history")
    with small_heads(head):
        history = at(folder)
        for number, batch in enumerate(batches):
            names, times, values = (list(column) for column in zip(*batch, strict=True))
            events = scored(names, [time / 1000 for time in times], values, first=1000 * number)
            history.put(events)
            history.save()
            if number in works:
                work(history)
            if number in restarts:
                history = at(folder)
                history.put(events)
        told = [
            (stream, time / 1000, float(np.rint(value * 32) / 32))
            for batch in batches
            for stream, time, value in batch
        ]
        for stream in "abc":
            expected = sorted((t, v) for s, t, v in told if s == stream)
            curves = history.curves(stream, *FOREVER, 10**6)
            found = [] if curves is None else zip(curves.times, curves.actual[:, 0], strict=True)
            assert sorted((float(t), float(v)) for t, v in found) == expected
            assert curves is None or (np.diff(curves.times) >= 0).all()


@settings(deadline=None, max_examples=200)
@given(
    value=st.floats(-1e12, 1e12),
    away=st.floats(-1e6, 1e6),
    spread=st.floats(1e-6, 1e6),
    score=st.floats(0, 200),
)
def test_codes_are_as_fine_as_they_say(
    tmp_path_factory: pytest.TempPathFactory, value: float, away: float, spread: float, score: float
) -> None:
    history = at(tmp_path_factory.mktemp("history"))
    events = scored(["a"], [0.0], [value], [score])
    expected = value + away * spread
    events = replace(events, expected=np.array([[expected]]), spread=np.array([[spread]]))
    history.put(events)
    curves = all_of(history, "a")
    width = max(spread, 1e-9 * abs(value))
    assert abs(curves.actual[0, 0] - value) <= width / 64
    assert abs(curves.expected[0, 0] - expected) <= width / 64
    reach = curves.high[0, 0] - curves.low[0, 0]
    assert reach == pytest.approx(2 * BAND * width, rel=0.03)
    assert curves.scores[0] <= score * (1 + 1e-12)
    assert 1 + score <= (1 + curves.scores[0]) * 1.022
    assert (curves.scores[0] >= 1.0) == (score >= 1.0)


def test_what_has_no_value_or_no_band_says_so(tmp_path: Path) -> None:
    history = at(tmp_path)
    events = scored(["a", "a"], [0, 1], [np.nan, 3.0])
    history.put(replace(events, spread=np.array([[np.nan], [np.inf]])))
    curves = all_of(history, "a")
    assert np.isnan(curves.actual[0, 0])
    assert curves.actual[1, 0] == 3.0
    assert np.isnan(curves.expected).all()
    assert np.isnan(curves.low).all()


def test_a_feature_that_comes_later_has_no_values_before(tmp_path: Path) -> None:
    history = at(tmp_path)
    history.put(scored(["a"], [0], [1.0]))
    two = scored(["a"], [1], [2.0])
    values, expected, spread = (
        np.repeat(column, 2, axis=1) for column in (two.values, two.expected, two.spread)
    )
    wide = replace(two, features=("w", "x"), values=values, expected=expected, spread=spread)
    wide = replace(wide, offsets=wide.offsets + 1)
    history.put(wide)
    history.save()
    work(history)
    curves = all_of(history, "a")
    assert curves.features == ("x", "w")
    assert curves.actual[0, 0] == 1.0
    assert np.isnan(curves.actual[0, 1])
    assert curves.actual[1].tolist() == [2.0, 2.0]


def test_a_time_that_is_asked_for_is_told_of_alone(tmp_path: Path) -> None:
    history = at(tmp_path)
    history.put(scored(["a"] * 10, list(range(10)), [1.0] * 10))
    curves = history.curves("a", 3.0, 7.0, 100)
    assert curves is not None
    assert curves.times.tolist() == [3.0, 4.0, 5.0, 6.0]
    assert history.curves("a", 100.0, 200.0, 100) is None
    assert history.curves("b", *FOREVER, 100) is None


def test_of_too_many_events_the_most_surprising_ones_are_told(tmp_path: Path) -> None:
    history = at(tmp_path)
    scores = [0.1] * 1000
    scores[437] = 3.0
    history.put(scored(["a"] * 1000, list(range(1000)), [1.0] * 1000, scores))
    curves = all_of(history, "a", most=100)
    assert len(curves.times) <= 100
    assert curves.thinned
    assert 437.0 in curves.times.tolist()


def test_half_a_part_of_a_head_is_as_none(tmp_path: Path) -> None:
    """A crash came while it was written: its events are delivered again."""
    history = at(tmp_path)
    history.put(scored(["a"], [0], [1.0]))
    history.save()
    history.put(scored(["a"], [1], [2.0], first=1))
    history.save()
    (file,) = tmp_path.glob("*.head")
    file.write_bytes(file.read_bytes()[:-3])
    assert all_of(at(tmp_path), "a").times.tolist() == [0.0]


def test_a_block_that_is_damaged_is_put_aside(tmp_path: Path) -> None:
    with small_heads(1):
        history = at(tmp_path)
        history.put(scored(["a", "a"], [0, 1], [1.0, 2.0]))
        history.save()
        history.put(scored(["a"], [2], [3.0], first=2))
        history.save()
        work(history)
        first, _ = sorted(tmp_path.glob("*.block"))
        first.write_bytes(first.read_bytes()[:-1])
        again = at(tmp_path)
    assert all_of(again, "a").times.tolist() == [1.0, 2.0]
    assert first.with_suffix(".damaged").exists()


def test_room_is_kept_to_and_the_newest_events_stay_whole(tmp_path: Path) -> None:
    most, total = 200_000, 400_000
    rng = np.random.default_rng(0)
    with small_heads(10_000):
        history = at(tmp_path, most)
        for start in range(0, total, 5000):
            values = rng.normal(size=5000).tolist()
            times = [float(time) for time in range(start, start + 5000)]
            history.put(scored(["a"] * 5000, times, values, first=start))
            history.save()
            work(history)
    assert sum(file.stat().st_size for file in tmp_path.glob("*.block")) <= most
    kept = all_of(history, "a").times
    assert kept[-1] == total - 1
    gaps = np.diff(kept)
    assert (gaps[-10_000:] == 1.0).all()
    assert gaps[0] > gaps[-1]


def test_what_was_merged_is_not_there_twice_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crash came when the new block was there and the old ones still were."""
    with small_heads(10):
        history = at(tmp_path)
        history.put(scored(["a"] * 100, list(range(100)), [float(k) for k in range(100)]))
        history.save()
        monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
        work(history)
        monkeypatch.undo()
        again = at(tmp_path)
    assert all_of(again, "a").times.tolist() == list(range(100))


def test_a_block_that_is_damaged_inside_is_put_aside_when_it_is_read(tmp_path: Path) -> None:
    """Its footer is whole: it is met when blocks are merged; the others go on."""
    with small_heads(1):
        history = at(tmp_path)
        for n in range(upkeep.FAN + 1):
            history.put(scored(["a"], [n], [float(n)], first=n))
            history.save()
        while history.waiting:
            history.work()
        file = tmp_path / "1-1-0.block"
        file.write_bytes(b"\0" * 40 + file.read_bytes()[40:])
        with pytest.raises(StateError, match="damaged"):
            work(history)
        assert file.with_suffix(".damaged").exists()
        work(history)
    assert all_of(history, "a").times.tolist() == [float(n) for n in range(1, upkeep.FAN + 1)]


def test_a_disk_that_is_full_keeps_nothing_but_the_history_from_going_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(histories, "PATIENCE_SECONDS", 0.01)
    with small_heads(2), closing(StreamHistory(tmp_path, ["default"], ROOM, 90.0)) as history:
        monkeypatch.setattr(Head, "save", full)
        monkeypatch.setattr(block_files, "write", full)
        for n in range(40):
            history.deliver(delivery(scored(["a"], [n], [1.0], first=n)))
            history.flush()
        curves = history.curves("default", "a", *FOREVER, 100)
        assert curves is not None
        assert curves.times[-1] == 39.0
        assert len(curves.times) <= 2 * (histories.MOST_WAITING + 1)


def delivery(batch: ScoredBatch) -> Delivery:
    raw = RawBatch.of(batch.partition, batch.offsets, batch.times, [None], [None])
    return Delivery(raw, batch, [], [], [], 0)


def test_blocks_stay_few_whatever_their_sizes() -> None:
    """At one a minute for a day; each event is written again a few times at most."""
    rng = np.random.default_rng(0)
    bursts = np.where(np.arange(1440) % 8 == 0, 5000, 10)
    for sizes in (np.full(1440, 60), rng.poisson(64, 1440), rng.integers(1, 5000, 1440), bursts):
        blocks: list[Block] = []
        written = 0
        for number, events in enumerate(sizes.tolist()):
            blocks.append(made(number, events=events))
            while isinstance(step := next_step(blocks, ROOM, 0.0), Merge):
                at = blocks.index(step.blocks[0])
                total = sum(block.footer.events for block in step.blocks)
                written += total
                blocks[at : at + len(step.blocks)] = [made(number, events=total)]
        assert len(blocks) <= 60
        assert written <= 6 * sizes.sum()


def made(
    number: int, size: int = 10, thinned: int = 0, written: float = 100.0, events: int = 8
) -> Block:
    footer = Footer(("x",), events, 0.0, 1.0, written, (number, number), thinned, [], 1, 0)
    return Block(Path(str(number)), size, footer)


def test_upkeep_does_first_what_makes_room() -> None:
    blocks = [made(n) for n in range(4)]
    assert next_step(blocks, 1000, 0.0) is None
    assert next_step(blocks, 1000, 200.0) == Drop(blocks[0])
    assert next_step(blocks, 45, 0.0) == Thin(blocks[0])
    thin = [made(n, thinned=2) for n in range(4)]
    assert next_step(thin, 35, 0.0) == Drop(thin[0])
    many = [made(n) for n in range(upkeep.FAN + 1)]
    assert next_step(many, 1000, 0.0) == Merge(many[: upkeep.FAN])


def test_what_is_kept_is_whole_up_to_what_was_thinned(tmp_path: Path) -> None:
    """Also where times go back: in the order of offsets."""
    history = at(tmp_path)
    times = [float(i - 3 * (i % 50 == 0)) for i in range(500)]
    with small_heads(100):
        for first in range(0, 500, 100):
            part = slice(first, first + 100)
            history.put(scored(["a", "b"] * 50, times[part], times[part], first=first))
        work(history)
    whole = history.kept("a", 480.0, 1000)
    assert whole is not None
    assert whole.offsets.tolist() == [i for i in range(0, 500, 2) if times[i] < 480.0]
    assert (np.abs(whole.values - whole.times[:, None]) <= whole.rounded).all()
    few = history.kept("a", 480.0, 20)
    assert few is not None
    assert few.offsets.tolist() == whole.offsets[-20:].tolist()
    oldest = history._blocks[0]
    thinned = history._written(
        [oldest], ("x",), thin(block_files.everything(oldest), upkeep.GROUP), 1
    )
    history._replace([oldest], thinned)
    newer = history.kept("a", 480.0, 1000)
    assert newer is not None
    assert newer.offsets.tolist() == [n for n in whole.offsets if n > oldest.footer.end]
    assert history.kept("c", 480.0, 10) is None


def test_what_stood_still_stands_still_however_it_was_rounded(tmp_path: Path) -> None:
    history = at(tmp_path)
    values = [0.1] * 40 + [0.3] * 40
    spreads = np.repeat(2.0 ** np.linspace(-3.2, 3.2, 20), 4)[:, None]
    history.put(replace(scored(["a"] * 80, list(range(80)), values), spread=spreads))
    kept = history.kept("a", 100.0, 100)
    assert kept is not None
    assert len(np.unique(kept.values[:40])) == 1
    assert len(np.unique(kept.values[40:60])) == 1
    assert (np.abs(kept.values[:, 0] - values) <= kept.rounded[:, 0]).all()
