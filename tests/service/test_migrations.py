"""The history's tables go from version to version, up and down, and none is made another way."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.clock import format_time
from service.errors import Unavailable
from service.sinks import history as module
from service.sinks.audit import AuditTable
from service.sinks.feedback import FeedbackTable
from service.sinks.history import AnomalyFilter, EpisodeFilter, History
from service.sinks.migrations import NEWEST, migrate
from service.sinks.tables import metadata
from tests.service.parts import make_pipeline
from tests.service.test_history import BATCH, postgres, url  # noqa: F401 - fixtures


def differences(engine: sa.Engine) -> list[object]:
    """Between the tables that are there and those that the code has."""
    with engine.connect() as connection:
        found: list[object] = compare_metadata(MigrationContext.configure(connection), metadata)
        return found


def tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}


def to(engine: sa.Engine, version: str) -> None:
    with engine.begin() as connection:
        migrate(connection, version)


def test_up_and_down_and_up_again(url: sa.URL) -> None:  # noqa: F811
    engine = sa.create_engine(url)
    to(engine, NEWEST)
    assert differences(engine) == []
    to(engine, "base")
    assert tables(engine) == set()
    to(engine, NEWEST)
    assert differences(engine) == []
    to(engine, NEWEST)
    engine.dispose()


def test_what_was_left_half_way_is_made_whole(url: sa.URL) -> None:  # noqa: F811
    engine = sa.create_engine(url)
    metadata.tables["episodes"].create(engine)
    to(engine, NEWEST)
    assert differences(engine) == []
    engine.dispose()


def test_tables_of_before_there_were_versions_are_completed(url: sa.URL) -> None:  # noqa: F811
    """With what was in them."""
    engine = sa.create_engine(url)
    old = sa.MetaData()
    for table in metadata.tables.values():
        if table.name not in ("audit", "mutes", "notifications"):
            columns = [c._copy() for c in table.columns if c.name != "kept"]
            sa.Table(table.name, old, *columns)
    old.create_all(engine)
    with engine.begin() as connection:
        body = {"id": "a", "detector": "d", "stream": "s", "time": 0.0, "score": 1.0,
                "severity": "minor", "alarm": False, "body": '{"id": "a"}'}  # fmt: skip
        connection.execute(sa.insert(old.tables["anomalies"]).values(body))
    history = History(url)
    assert history.anomalies(AnomalyFilter(), 10)[0] == [{"id": "a"}]
    assert history.trim(before=1e9) == 0, "it is kept from now on"
    history.close()
    engine.dispose()


def test_instances_that_start_together_make_them_once(url: sa.URL) -> None:  # noqa: F811
    if url.get_backend_name() == "sqlite":
        pytest.skip("a file is one process's")
    histories = [History(url) for _ in range(6)]
    with ThreadPoolExecutor(6) as many:
        asked = [many.submit(one.anomalies, AnomalyFilter(), 1) for one in histories]
        assert [one.result() for one in asked] == [([], None)] * 6
    for one in histories:
        one.close()


def test_a_newer_database_is_not_touched(url: sa.URL) -> None:  # noqa: F811
    engine = sa.create_engine(url)
    to(engine, NEWEST)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    history = History(url)
    with pytest.raises(Unavailable, match="9999"):
        history.anomalies(AnomalyFilter(), 1)
    history.close()
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{NEWEST}'"))  # noqa: S608
    engine.dispose()


def test_what_is_old_is_forgotten_and_what_is_open_is_not(url: sa.URL) -> None:  # noqa: F811
    history = History(url)
    pipeline, _ = make_pipeline([BATCH])
    pipeline.sinks = [history]
    pipeline.run()
    anomalies, _ = history.anomalies(AnomalyFilter(), 1000)
    assert anomalies
    assert history.trim(before=1.0) == 0
    assert history.trim(before=9e9, going_on=lambda: False) == 0
    with history.connected() as connection:
        connection.execute(sa.text("UPDATE episodes SET state = 'open' WHERE number = 1"))
    states = {one["id"]: one["state"] for one in history.episodes(EpisodeFilter(), 1000)[0]}
    assert set(states.values()) == {"open", "closed"}
    for one in states:
        history.remark(one, True, None)
    history.trim(before=9e9)
    assert history.anomalies(AnomalyFilter(), 1000) == ([], None)
    assert history.dead_letters(None, None, 1000) == ([], None)
    left, _ = history.episodes(EpisodeFilter(), 1000)
    assert {one["id"] for one in left} == {one for one, state in states.items() if state == "open"}
    with history.connected() as connection:
        remarks = connection.execute(sa.text("SELECT count(*) FROM remarks")).scalar()
    assert remarks == len(left)
    history.close()


def test_what_changed_is_forgotten_and_feedback_that_counts_is_not(
    url: sa.URL,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_SAID", 3)
    history = History(url)
    feedback, changes = FeedbackTable(history), AuditTable(history)
    said = {"detector": "d", "kind": "false", "score": 1.0, "episode": None, "said": 5.0}
    for n in range(5):
        feedback.say({**said, "stream": "many", "time": float(n)})
    back = feedback.say({**said, "stream": "few", "time": 1.0})
    feedback.say({**said, "stream": "few", "time": 2.0})
    feedback.undo("d", "few", int(back["id"]))
    for time in (4.0, 6.0):
        change = {"time": time, "who": "w", "what": "reset", "of": "s"}
        changes.note({**change, "before": None, "after": None})
    assert history.trim(before=5.0) == 1
    assert [one["time"] for one in changes.listed(None, 10)[0]] == [format_time(6.0)]
    assert len(feedback.listed(None, None, None, 10)[0]) == 7
    assert history.trim(before=6.0) == 3, "one was taken back, two are behind the newest"
    left = [(one["stream"], one["time"]) for one in feedback.listed(None, None, None, 10)[0]]
    newest = [("few", 2.0), ("many", 4.0), ("many", 3.0), ("many", 2.0)]
    assert left == [(stream, format_time(time)) for stream, time in newest]
    history.close()
