"""One artifact after another: who tells of which event, and what becomes of memories."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.artifact import Artifact, folder_of
from service.api.streams import memory_of
from service.bootstrap import build_detectors, build_service
from service.errors import SettingsError, StateError
from service.memory.sqlite import SqliteStore
from service.memory.store import InMemoryStore, StateStore, memories, memory_name
from service.pipeline import Pipeline
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from service.settings.loading import load_settings
from tests.base import FINGERPRINT, MEMORIES
from tests.service.parts import Collected, events, make_pipeline, raw_batch, wave

COMPACT = Artifact(folder_of(Path("compact"))).fingerprint_text
OF_COMPACT = memory_name("default", COMPACT)
OLD = DetectorSettings()
UPGRADE = DetectorSettings(artifact=Path("compact"), replaces=Path("base"), warm_up_hours=5.0)
WAY_BACK = DetectorSettings(artifact=Path("base"), replaces=Path("compact"), warm_up_hours=5.0)
NEW = DetectorSettings(artifact=Path("compact"))

CHANGED = 300
"""The records that the old artifact has scored before the new one comes."""


def moved(record: bytes, minutes: int) -> bytes:
    body = json.loads(record)
    return json.dumps({**body, "time": body["time"] + 60.0 * minutes}).encode()


def records() -> list[bytes]:
    """Minutes of a stream with spikes, some of which are late, of one that begins after the change,
    and some to reject."""
    first, second = wave(900, "s", spikes=[250, 600, 850]), wave(300, "t", spikes=[280])
    for n in range(320, 600, 7):  # three hours late
        first[n] = moved(first[n], -180)
    mixed = [record for pair in zip(first[600:], second, strict=True) for record in pair]
    return [*first[:400], b"{", *first[400:600], *mixed, b'{"stream": "s", "value": "?"}']


RECORDS = records()


def run(
    store: StateStore, configured: DetectorSettings, start: int, cuts: Sequence[int]
) -> tuple[Pipeline, Collected]:
    """Score the records from `start` to the last of `cuts`, cut there."""
    edges = [start, *sorted({cut for cut in cuts if cut > start})]
    parts = [raw_batch(RECORDS[a:b], a) for a, b in pairwise(edges)]
    pipeline, collected = make_pipeline(parts, store, configured)
    pipeline.run()
    return pipeline, collected


def tellers(collected: Collected) -> dict[tuple[str, int], tuple[str, float, bool]]:
    """By stream and offset: which artifact told of it, the score and whether it is an alarm."""
    found = {}
    for delivery in collected.deliveries:
        scored = delivery.scored
        for i, stream in enumerate(scored.streams):
            key = (stream, int(scored.offsets[i]))
            assert key not in found, "told twice"
            row = scored.scores[i]
            found[key] = (scored.artifact, float(row["score"]), bool(row["alarm"]))
    return found


def upgraded(cuts: Sequence[int] = (), restart: int | None = None) -> tuple[StateStore, Collected]:
    """The old artifact first, then the new one in its shadow; the service may stop between."""
    store, collected = InMemoryStore(), Collected()
    run(store, OLD, 0, [CHANGED])
    start = CHANGED
    for end in (restart or len(RECORDS), len(RECORDS)):
        _, part = run(store, UPGRADE, start, [*(cut for cut in cuts if cut < end), end])
        collected.deliveries += part.deliveries
        start = end
    return store, collected


def test_every_record_after_the_change_is_told_of_once() -> None:
    _, collected = upgraded()
    assert collected.scored_offsets | collected.rejected_offsets == set(
        range(CHANGED, len(RECORDS))
    )
    assert not collected.scored_offsets & collected.rejected_offsets
    assert len(collected.reasons) == len(collected.rejected_offsets) == 2
    assert len(tellers(collected)) == collected.scored


def test_a_stream_changes_over_once_when_the_new_memory_is_warm() -> None:
    _, collected = upgraded()
    told = tellers(collected)
    by = [artifact for (stream, _), (artifact, *_) in sorted(told.items()) if stream == "s"]
    change = by.index(COMPACT)
    assert by == [FINGERPRINT] * change + [COMPACT] * (len(by) - change)
    assert change == 300  # minutes, of which 5 hours have as many; confident it is before


def test_without_hours_a_memory_that_is_nearly_as_confident_speaks() -> None:
    store = InMemoryStore()
    run(store, OLD, 0, [CHANGED])
    at_once = UPGRADE.model_copy(update={"warm_up_hours": 0.0})
    _, collected = run(store, at_once, CHANGED, [590])
    by = [artifact for (_, _), (artifact, *_) in sorted(tellers(collected).items())]
    assert by.index(COMPACT) == 179  # of 200 events


def test_a_stream_that_began_after_the_change_is_told_of_by_the_new_artifact() -> None:
    _, collected = upgraded()
    assert {a for (stream, _), (a, *_) in tellers(collected).items() if stream == "t"} == {COMPACT}


def test_what_each_tells_is_what_it_would_tell_alone() -> None:
    _, collected = upgraded()
    alone = {}
    for artifact, configured, start in ((FINGERPRINT, OLD, 0), (COMPACT, NEW, CHANGED)):
        _, of_one = run(InMemoryStore(), configured, start, [len(RECORDS)])
        alone[artifact] = tellers(of_one)
    told = tellers(collected)
    assert told == {key: alone[artifact][key] for key, (artifact, *_) in told.items()}
    assert any(alarm for *_, alarm in told.values())


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(CHANGED + 1, len(RECORDS)), max_size=8),
    restart=st.integers(CHANGED + 1, len(RECORDS) - 1),
)
def test_who_tells_does_not_depend_on_polls_or_on_a_restart(cuts: list[int], restart: int) -> None:
    expected_store, expected = upgraded()
    store, collected = upgraded(cuts, restart)
    assert tellers(collected) == tellers(expected)
    for name in (MEMORIES, OF_COMPACT):
        assert memories(store, name) == memories(expected_store, name)


def test_the_way_back_finds_the_old_memories_warm() -> None:
    store = InMemoryStore()
    run(store, OLD, 0, [CHANGED])
    run(store, UPGRADE, CHANGED, [700])
    _, collected = run(store, WAY_BACK, 700, [len(RECORDS)])
    assert {artifact for artifact, *_ in tellers(collected).values()} == {FINGERPRINT}
    whole = InMemoryStore()
    run(whole, OLD, 0, [len(RECORDS)])
    assert memories(store, MEMORIES) == memories(whole, MEMORIES)


def test_a_clock_that_is_turned_back_makes_no_difference_to_polls() -> None:
    records = wave(560, "s")
    records[300:312] = [moved(record, -60 * 24 * 20) for record in records[300:312]]
    found = []
    for cuts in (range(0), range(301, 560)):
        store = InMemoryStore()
        for configured, first, last in ((OLD, 0, 60), (UPGRADE, 60, 560)):
            edges = [first, *(cut for cut in cuts if first < cut < last), last]
            parts = [raw_batch(records[a:b], a) for a, b in pairwise(edges)]
            pipeline, collected = make_pipeline(parts, store, configured)
            pipeline.run()
        found.append(tellers(collected))
    assert found[0] == found[1]


def test_what_one_artifact_refuses_is_refused_while_it_speaks(tmp_path: Path) -> None:
    """The old one watches a and b, the new one, which is given less, a alone."""
    both, one = {"features": ["a", "b"]}, {"features": ["a"], "artifact": Path("compact")}
    rows = [{"stream": "s", "time": 1.7e9 + 60.0 * n, "a": n % 7, "b": n % 5} for n in range(600)]
    rows[100] = {**rows[100], "b": "broken"}
    del rows[500]["a"]
    records = events(rows)
    store = InMemoryStore()
    for settings_, first, last in (
        (DetectorSettings(**both), 0, 60),
        (DetectorSettings(**one, replaces=Path("base"), warm_up_hours=0.0), 60, 600),
    ):
        pipeline, collected = make_pipeline(
            [raw_batch(records[first:last], first)], store, settings_
        )
        pipeline.run()
    assert collected.rejected_offsets == {100, 500}
    assert collected.reasons == ["bad_value", "no_features"]
    (new, old) = pipeline.memories()
    assert (new.features, old.features) == (("a",), ("a", "b"))


def test_what_is_not_configured_any_longer_stays_until_it_is_dropped(tmp_path: Path) -> None:
    file = tmp_path / "wakeful.db"
    for configured, start, stop in ((OLD, 0, 300), (UPGRADE, 300, 700), (NEW, 700, 900)):
        store = SqliteStore(file)
        run(store, configured, start, [stop])
        kept = memories(store, MEMORIES)
        store.close()
    assert len(kept) == 2
    store = SqliteStore(file)
    store.drop(MEMORIES)
    assert not store.knows(MEMORIES)
    assert {path.name.split(".")[0] for path in tmp_path.glob("*.rows")} == {OF_COMPACT}
    with pytest.raises(StateError, match=f"made by artifact {COMPACT}.*detectors.default.replaces"):
        run(store, OLD, 900, [len(RECORDS)])
    assert len(memories(store, OF_COMPACT)) == 2
    store.close()


def test_a_stream_is_shown_as_the_one_that_tells_of_it_knows_it(tmp_path: Path) -> None:
    for configured, records, shown in (
        (OLD, RECORDS[:300], FINGERPRINT),
        (UPGRADE, RECORDS[300:450], FINGERPRINT),
        (UPGRADE, RECORDS[450:], COMPACT),
    ):
        flags = {"data_dir": tmp_path, "detectors": {"default": configured.model_dump()}}
        service = build_service(load_settings(None, flags))
        assert service.log is not None
        service.log.append("default", records)
        service.pipeline.restore()
        service.pipeline.run_once()
        service.pipeline.checkpoint()
        known = memory_of(service, "default", "s")
        service.close()
        assert known is not None
        assert known[1]["artifact"] == shown


def test_an_artifact_does_not_replace_itself() -> None:
    same = DetectorSettings(artifact=Path("base"), replaces=Path("base"))
    with pytest.raises(SettingsError, match="replaces: is the artifact itself"):
        build_detectors({"default": same}, LimitSettings())


def test_a_folder_that_is_not_there_is_named() -> None:
    gone = DetectorSettings(replaces=Path("gone"))
    with pytest.raises(SettingsError, match=r"detectors\.default\.replaces: .*gone"):
        build_detectors({"default": gone}, LimitSettings())
