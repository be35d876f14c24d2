"""What is kept of anomalies and dead letters."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.api.schemas.episodes import Episode
from service.bench.broker import free_port
from service.clock import parse_time
from service.errors import SettingsError, Unavailable
from service.incidents import incidents_of
from service.records import Delivery
from service.sinks.history import (
    MAX_KEPT_BYTES,
    WAIT_SECONDS,
    AnomalyFilter,
    EpisodeFilter,
    History,
    url_of,
)
from service.sinks.migrations import migrate
from service.sinks.tables import remarks
from tests.postgres import HOW_TO_POSTGRES, programs, running_postgres
from tests.service.parts import make_pipeline, raw_batch, wave

BATCH = raw_batch(
    wave(400, "a", spikes=[200, 300, 350])
    + wave(400, "b", spikes=[250, 390])
    + [b"{", b"x" * 10_000]
)
PARTS = list(BATCH.cut(7))
on_postgres = pytest.mark.parametrize("url", ["postgresql"], indirect=True)
UNSEEN = {"acknowledged": False, "note": None}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bin_ = programs()
    if bin_ is None:
        pytest.skip(f"no PostgreSQL: {HOW_TO_POSTGRES}")
    with running_postgres(bin_, tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.URL]:
    """An empty database."""
    if request.param == "sqlite":
        yield sa.URL.create("sqlite", database=str(tmp_path / "wakeful.db"))
        return
    made = url_of(request.getfixturevalue("postgres"))
    yield made
    engine = sa.create_engine(made)
    with engine.begin() as connection:
        migrate(connection, "base")
    engine.dispose()


@pytest.fixture
def history(url: sa.URL) -> Iterator[History]:
    made = History(url)
    pipeline, _ = make_pipeline(PARTS)
    pipeline.sinks = [made]
    pipeline.run()
    yield made
    made.close()


def test_what_is_written_twice_is_there_once(history: History) -> None:
    before = history.anomalies(AnomalyFilter(), 1000)
    pipeline, _ = make_pipeline(PARTS)
    pipeline.sinks = [history]
    pipeline.run()
    assert history.anomalies(AnomalyFilter(), 1000) == before
    assert len(history.dead_letters(None, None, 10)[0]) == 2


def test_pages_follow_one_another_without_gap_or_repeat(history: History) -> None:
    whole, end = history.anomalies(AnomalyFilter(), 1000)
    assert end is None
    assert len(whole) > 2  # more than a page
    paged, cursor = history.anomalies(AnomalyFilter(), 2)
    while cursor is not None:
        more, cursor = history.anomalies(AnomalyFilter(before=cursor), 2)
        paged += more
    assert paged == whole
    assert [a["offset"] for a in whole] == sorted((a["offset"] for a in whole), reverse=True)


def test_filters_choose_by_stream_severity_alarm_and_time(history: History) -> None:
    whole, _ = history.anomalies(AnomalyFilter(), 1000)
    cases: list[tuple[AnomalyFilter, Callable[[dict[str, Any]], bool]]] = [
        (AnomalyFilter(stream="a"), lambda a: a["stream"] == "a"),
        (AnomalyFilter(severity="minor"), lambda a: a["severity"] == "minor"),
        (AnomalyFilter(alarm=True), lambda a: a["alarm"]),
        (AnomalyFilter(detector="none"), lambda _: False),
        (AnomalyFilter(end=1.7e9 + 60 * 300), lambda a: a["time"] < "2023-11-15T03:13:20Z"),
        (AnomalyFilter(start=1.7e9 + 60 * 300), lambda a: a["time"] >= "2023-11-15T03:13:20Z"),
    ]
    for wanted, keep in cases:
        assert history.anomalies(wanted, 1000)[0] == [a for a in whole if keep(a)]


def test_episodes_are_kept_as_they_were_told_last(history: History) -> None:
    """Each once, with the features of its peak; told again from an earlier event on, as after a
    crash, they stay as they are."""
    pipeline, collected = make_pipeline(PARTS)
    pipeline.run()
    changes = [episode for delivery in collected.deliveries for episode in delivery.episodes]
    last = {episode["id"]: episode for episode in changes}
    told = ("why", "features")
    peaks = {e["id"]: {name: e[name] for name in told} for e in changes if e["why"] is not None}
    began = {e["id"]: e["why"] for e in changes if e["change"] == "opened"}
    expected = {
        name: {**one, **UNSEEN, **peaks[name], "began": began[name]} for name, one in last.items()
    }
    found, _ = history.episodes(EpisodeFilter(), 1000)
    assert {episode["id"]: episode for episode in found} == expected
    assert len(found) == len(expected) > 2
    assert {episode["state"] for episode in found} == {"open", "closed"}
    assert all(history.anomaly(e["id"]) and history.anomaly(e["peak"]) for e in found)
    assert all(history.episode(e["id"]) == e for e in found)
    assert history.episode("nothing") is None
    for delivery in collected.deliveries:  # the same again, one by one
        for change in delivery.episodes:
            history.deliver(replace(delivery, anomalies=[], episodes=[change], dead_letters=[]))
            assert history.episodes(EpisodeFilter(), 1000)[0] == found


def test_what_a_person_says_of_an_episode_stays(history: History) -> None:
    (first, second, *_), _ = history.episodes(EpisodeFilter(), 10)
    history.remark(first["id"], True, None)
    history.remark(first["id"], None, "known")
    history.remark(second["id"], None, "odd")
    said = {"acknowledged": True, "note": "known"}
    assert history.episode(first["id"]) == {**first, **said}
    assert history.episode(second["id"]) == {**second, "note": "odd"}
    seen, _ = history.episodes(EpisodeFilter(acknowledged=True), 10)
    assert [one["id"] for one in seen] == [first["id"]]
    unseen, _ = history.episodes(EpisodeFilter(acknowledged=False), 10)
    assert second["id"] in {one["id"] for one in unseen}


def test_a_lower_peak_of_another_artifact_does_not_replace_a_higher_one(history: History) -> None:
    """Its memory may have opened the same episode, and goes on with it."""
    (known, *_), _ = history.episodes(EpisodeFilter(), 1)
    told = {
        **known, "offset": known["offset"] + 1, "change": "continued", "state": "open",
        "artifact": "new", "peak": "lower", "score": 1.1, "severity": "minor", "features": None,
    }  # fmt: skip
    deliver(history, told)
    now = history.episode(known["id"])
    assert now is not None
    for name in ("peak", "score", "severity", "features"):
        assert now[name] == known[name]
    assert (now["state"], now["artifact"]) == ("open", "new")


@pytest.mark.parametrize("kind", ["continued", "closed"])
def test_an_episode_whose_peak_was_told_elsewhere_is_told_without_it(
    url: sa.URL, kind: str
) -> None:
    """As by a worker that died in the middle of it, which had a database of its own."""
    pipeline, collected = make_pipeline(PARTS)
    pipeline.run()
    changes = [dict(one) for delivery in collected.deliveries for one in delivery.episodes]
    last = next(one for one in changes if one["change"] == "closed")
    change = {**last, "change": kind, "state": "closed" if kind == "closed" else "open"}
    history = History(url)
    for higher in (0.0, 1.0):  # then with another peak, not told either
        score = last["score"] + higher
        change |= {"score": score, "offset": change["offset"] + 1}
        deliver(history, change)
        (found,), _ = history.episodes(EpisodeFilter(), 10)
        assert (found["why"], found["features"]) == ("its peak is not kept here", [])
        assert Episode.model_validate(found).score == score
        (incident,) = incidents_of([found], 0.0)
        assert incident["features"] == []
    peak = next(one for one in changes if one["id"] == last["id"] and one["why"] is not None)
    deliver(history, {**change, "score": 9.0, "offset": change["offset"] + 1,
                      "why": peak["why"], "features": peak["features"]})  # fmt: skip
    (found,), _ = history.episodes(EpisodeFilter(), 10)
    assert (found["why"], found["features"]) == (peak["why"], peak["features"])
    history.close()


def deliver(history: History, *changes: dict[str, Any]) -> None:
    history.deliver(Delivery(BATCH, None, [], [*changes], [], 0))  # type: ignore[arg-type]


def test_an_episode_of_another_partition_ends_none(url: sa.URL) -> None:
    """A stream may be in several, and their offsets have nothing to do with each other."""
    pipeline, collected = make_pipeline(PARTS)
    pipeline.run()
    change = next(dict(e) for one in collected.deliveries for e in one.episodes)
    history = History(url)
    names = {"default:cpu:0:1000": 1000, "default:mem:0:5000": 5000, "default:mem:0:6000": 6000}
    for name, offset in names.items():
        deliver(history, {**change, "id": name, "offset": offset})
    open_ones, _ = history.episodes(EpisodeFilter(state="open"), 10)
    assert {one["id"] for one in open_ones} == {"default:cpu:0:1000", "default:mem:0:6000"}
    history.close()


def test_episodes_are_chosen_by_stream_state_severity_and_time(history: History) -> None:
    whole, _ = history.episodes(EpisodeFilter(), 1000)
    middle = whole[0]["start"]
    cases: list[tuple[EpisodeFilter, Callable[[dict[str, Any]], bool]]] = [
        (EpisodeFilter(stream="a"), lambda e: e["stream"] == "a"),
        (EpisodeFilter(state="open"), lambda e: e["state"] == "open"),
        (EpisodeFilter(severity="major"), lambda e: e["severity"] == "major"),
        (EpisodeFilter(detector="none"), lambda _: False),
        (EpisodeFilter(end=parse_time(middle)), lambda e: e["start"] < middle),
        (
            EpisodeFilter(start=parse_time(middle)),
            lambda e: e["end"] >= middle or e["state"] == "open",
        ),
    ]
    for wanted, keep in cases:
        assert history.episodes(wanted, 1000)[0] == [e for e in whole if keep(e)]
    paged, cursor = history.episodes(EpisodeFilter(), 1)
    while cursor is not None:
        more, cursor = history.episodes(EpisodeFilter(before=cursor), 1)
        paged += more
    assert paged == whole


def test_one_anomaly_is_found_by_its_id_with_its_features(history: History) -> None:
    (newest, *_), _ = history.anomalies(AnomalyFilter(), 1)
    assert history.anomaly(newest["id"]) == newest
    value = newest["features"]["value"]
    assert value["share"] == 1.0
    assert value["low"] <= value["expected"] <= value["high"]
    assert history.anomaly("nothing") is None


def test_dead_letters_keep_their_context_and_a_bounded_part_of_the_record(history: History) -> None:
    (large, broken), _ = history.dead_letters("malformed_json", None, 10)
    assert (broken["offset"], broken["topic"], broken["value"]) == (800, "events", "{")
    assert len(large["value"]) == MAX_KEPT_BYTES
    assert large["value_bytes"] == 10_000


def test_an_episode_that_nobody_closes_ends_with_the_next_one(history: History) -> None:
    """As one of an artifact that was replaced in the middle of it."""
    (open_one, *_), _ = history.episodes(EpisodeFilter(state="open"), 10)
    pipeline, collected = make_pipeline(PARTS)
    pipeline.run()
    delivery = collected.deliveries[0]
    of_it = next(
        e for one in collected.deliveries for e in one.episodes if e["id"] == open_one["id"]
    )
    another, offset = "default:events:0:9000", of_it["offset"] + 1000
    later = {**of_it, "id": another, "artifact": "new", "offset": offset}
    history.deliver(replace(delivery, anomalies=[], episodes=[later], dead_letters=[]))
    left = history.episode(open_one["id"])
    assert left is not None
    assert left["state"] == "closed"
    assert [e["id"] for e in history.episodes(EpisodeFilter(state="open"), 10)[0]] == [another]


def test_nothing_has_a_name_that_no_database_could_hold(history: History) -> None:
    assert history.anomaly("\0") is history.episode("\0") is None
    assert history.anomalies(AnomalyFilter(stream="a\0"), 10) == ([], None)
    assert history.episodes(EpisodeFilter(stream="a\0"), 10) == ([], None)
    assert history.dead_letters("\0", None, 10) == ([], None)


def test_a_reason_that_no_database_could_hold_is_told(url: sa.URL) -> None:
    """As one that names a feature of an artifact's by a text that JSON may have."""
    pipeline, collected = make_pipeline([raw_batch(wave(400, spikes=[350]))])
    pipeline.run()
    (told,) = (one for one in collected.deliveries if one.episodes)
    changes: list[Mapping[str, Any]] = [
        {**change, "why": f"a\0b {change['why']}"} for change in told.episodes
    ]
    history = History(url)
    history.deliver(replace(told, episodes=changes))
    (found,), _ = history.episodes(EpisodeFilter(), 10)
    history.close()
    assert found["began"].startswith("a\\0b value ")


def test_instances_share_a_database(url: sa.URL) -> None:
    """What one writes the other one finds; written by both, it is there once."""
    both = [History(url), History(url)]
    for history in both:
        pipeline, collected = make_pipeline(PARTS)
        pipeline.sinks = [history, collected]
        pipeline.run()
    found = [history.anomalies(AnomalyFilter(), 1000) for history in both]
    assert found[0] == found[1]
    assert len(found[0][0]) == len(collected.anomalies)
    for history in both:
        history.close()


def test_a_database_that_is_away_is_waited_for() -> None:
    history = History(url_of(f"postgresql://nobody@127.0.0.1:{free_port()}/none"))
    with pytest.raises(Unavailable, match="is the database up"):
        history.anomalies(AnomalyFilter(), 1)
    history.close()


def test_connections_that_are_all_taken_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sinks.history.WAIT_SECONDS", 0.01)
    history = History.of_file(tmp_path / "wakeful.db")
    with ExitStack() as taken, pytest.raises(Unavailable, match="no connection was free"):
        for _ in range(100):
            taken.enter_context(history.connected())
    assert history.open_episodes() == 0
    history.close()


@on_postgres
def test_a_database_that_is_read_only_is_waited_for(url: sa.URL) -> None:
    """As one that has become another's stand-by; what is there can be read meanwhile."""
    options = {"options": "-c default_transaction_read_only=on"}
    writing, history = History(url), History(url.update_query_dict(options))
    writing.remark("e", True, None)
    with pytest.raises(Unavailable, match=r"read-only transaction.*nor read-only"):
        history.remark("e", True, None)
    assert history.open_episodes() == 0
    for one in (writing, history):
        one.close()


def test_tables_that_are_gone_are_made_again(url: sa.URL) -> None:
    """By whoever restored an empty database: the next try finds it."""
    history, engine = History(url), sa.create_engine(url)
    history.remark("e", True, None)
    with engine.begin() as connection:
        migrate(connection, "base")
    with pytest.raises(Unavailable, match="remarks"):
        history.remark("e", True, None)
    history.remark("e", True, None)
    engine.dispose()
    history.close()


@on_postgres
def test_tables_that_may_not_be_written_are_waited_for(url: sa.URL) -> None:
    owner = sa.create_engine(url)
    with owner.begin() as connection:
        migrate(connection)
        connection.execute(sa.text("CREATE ROLE reader LOGIN"))
        connection.execute(sa.text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
    history = History(url.set(username="reader"))
    assert history.open_episodes() == 0
    with pytest.raises(Unavailable, match=r"permission denied(.|\n)*ours to read and write"):
        history.remark("e", True, None)
    history.close()
    owner.dispose()


@on_postgres
def test_a_database_that_is_gone_without_a_word_is_not_waited_for_long(url: sa.URL) -> None:
    history = History(url)
    with history.connected() as connection:
        raw: Any = connection.connection.dbapi_connection
        with socket.socket(fileno=os.dup(raw.fileno())) as line:
            told = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            idle = line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    assert (told, idle) == (WAIT_SECONDS * 1000, WAIT_SECONDS)
    history.close()


def test_an_error_that_nobody_thought_of_says_nothing_of_events(tmp_path: Path) -> None:
    history = History.of_file(tmp_path / "wakeful.db")
    with pytest.raises(sa.exc.IntegrityError) as raised, history.connected() as connection:
        connection.execute(sa.insert(remarks).values(episode="secret", acknowledged=None))
    assert "secret" not in str(raised.value)
    history.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [("secret", "not an address"), ("mysql+nothing://secret@h/d", "history.url")],
)
def test_an_address_that_cannot_be_used_is_said_without_its_secret(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as raised:
        url_of(text)
    assert "secret" not in str(raised.value)
