"""Anomalies, episodes and dead letters in SQL, to be asked for later."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from service.clock import format_time, now, parse_time
from service.errors import SettingsError, Unavailable
from service.records import DeadLetter, Delivery
from service.sinks.migrations import migrate
from service.sinks.tables import anomalies, audit, dead_letters, episodes, feedback, remarks

WAIT_SECONDS = 30  # for a lock, or a connection
AT_ONCE = 5000  # rows that are deleted together
MAX_KEPT_BYTES = 4096  # of a dead letter's key and value each
MOST_SAID = 10_000  # of a stream, that count

EPISODE_COLUMNS = ("id", "detector", "stream", "state", "severity", "score", "peak", "offset")
OF_THE_PEAK = ("severity", "score", "peak", "features")
TOLD_OF_THE_PEAK = ("why", "features")
NEVER_TOLD_AGAIN = {"number", "id", "began"}
NOT_THE_PEAK = "{}"  # of a change that tells none
PEAK_UNKNOWN = {"why": "its peak is not kept here", "features": []}
"""Of an episode whose peak was told before this database was, or elsewhere."""

INSERTS: dict[str, Callable[[sa.Table], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
CONNECTING: dict[str, dict[str, object]] = {
    "sqlite": {"timeout": WAIT_SECONDS},
    "postgresql": {
        "connect_timeout": WAIT_SECONDS,
        # Of a machine that is gone without a word TCP by itself takes a quarter of an hour to tell
        # what is sent to it, and two hours what is waited for.
        "tcp_user_timeout": WAIT_SECONDS * 1000,
        "keepalives_idle": WAIT_SECONDS,
        "keepalives_interval": 10,
    },
}
AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
NOT_LET = {"42501", "42P01"}  # by PostgreSQL's codes: we lack a right, there is no such table
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}

EPISODE_READ = (
    *(episodes.c[name] for name in ("state", "severity", "score", "peak", "features", "began")),
    episodes.c.body,
    sa.func.coalesce(remarks.c.acknowledged, sa.false()).label("acknowledged"),
    remarks.c.note,
)
WITH_REMARKS = episodes.outerjoin(remarks, remarks.c.episode == episodes.c.id)


def url_of(text: str) -> sa.URL:
    """A database's address, with the driver that is ours; SettingsError where it cannot be used.
    The text may hold a password, and is not repeated."""
    try:
        url = sa.make_url(text)
        url = url.set(drivername=DRIVERS.get(url.drivername, url.drivername))
        backend = url.get_backend_name()
        url.get_dialect().import_dbapi()
    except ImportError as error:
        raise SettingsError(
            f"history.url: {error}; PostgreSQL needs .venv/bin/pip install -e '.[postgres]'"
        ) from None
    except sa.exc.ArgumentError:
        raise SettingsError(
            "history.url: not an address such as postgresql://user:password@host/database"
        ) from None
    if backend not in INSERTS:
        raise SettingsError(f"history.url: {backend} is not supported; {', '.join(INSERTS)} are")
    return url


@dataclass(frozen=True, slots=True)
class AnomalyFilter:
    """Which anomalies are asked for; times are Unix seconds, `before` is a page's cursor."""

    detector: str | None = None
    stream: str | None = None
    severity: str | None = None
    alarm: bool | None = None
    start: float | None = None
    end: float | None = None
    before: int | None = None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class EpisodeFilter:
    """Which episodes are asked for; those that reach into the time from `start` to `end`."""

    detector: str | None = None
    stream: str | None = None
    severity: str | None = None
    state: str | None = None
    acknowledged: bool | None = None
    start: float | None = None
    end: float | None = None
    before: int | None = None
    prefix: str = ""


Page = tuple[list[dict[str, Any]], int | None]
"""Items, newest first, and the cursor of the next page."""


class History:
    """The SQL history: a sink for the pipeline, and what the API reads.

    In a SQLite file, or in a PostgreSQL database that several instances share. Every method raises
    Unavailable where it does not answer.
    """

    def __init__(self, url: sa.URL) -> None:
        self._engine = sa.create_engine(
            url,
            connect_args=CONNECTING[url.get_backend_name()],
            pool_pre_ping=True,
            pool_timeout=WAIT_SECONDS,
            hide_parameters=True,  # an error that nobody thought of is logged, and holds events
        )
        self.insert: Callable[[sa.Table], Any] = INSERTS[self._engine.dialect.name]
        self._made = False
        self._making = Lock()

    @property
    def made(self) -> bool:
        """Whether there is anything: the tables are made with the first thing that is told."""
        with self._answering():
            return sa.inspect(self._engine).has_table(anomalies.name)

    @property
    def clock(self) -> sa.ColumnElement[float]:
        """Unix seconds, by the one clock that all who share the database have."""
        if self._engine.dialect.name == "sqlite":
            return sa.literal(now())
        return sa.cast(sa.extract("epoch", sa.func.now()), sa.Float)

    @classmethod
    def of_file(cls, file: Path) -> "History":
        return cls(sa.URL.create("sqlite", database=str(file)))

    def deliver(self, delivery: Delivery) -> None:
        if not (delivery.anomalies or delivery.episodes or delivery.dead_letters):
            return
        with self.connected() as connection:
            if rows := [_anomaly_row(anomaly) for anomaly in delivery.anomalies]:
                connection.execute(self.insert(anomalies).on_conflict_do_nothing(), rows)
            if rows := _episode_rows(delivery.episodes):
                connection.execute(self._newer(), rows)
            for change in delivery.episodes:
                if change["change"] == "opened":
                    connection.execute(_ends_others(change))
            if rows := [_dead_letter_row(letter) for letter in delivery.dead_letters]:
                connection.execute(self.insert(dead_letters).on_conflict_do_nothing(), rows)

    def _newer(self) -> Any:
        """An insert of episodes that replaces what was told of them before, and nothing newer."""
        insert = self.insert(episodes)
        told = insert.excluded
        known = episodes.c
        names = (column.name for column in known)
        changed = {name: told[name] for name in names if name not in NEVER_TOLD_AGAIN}
        # Another artifact may go on under the same name, with a lower peak of its own.
        higher = told.score > known.score
        for name in OF_THE_PEAK:
            changed[name] = sa.case((higher, told[name]), else_=known[name])
        return insert.on_conflict_do_update(
            index_elements=[episodes.c.id], set_=changed, where=told.offset > episodes.c.offset
        )

    @contextmanager
    def connected(self) -> Iterator[sa.Connection]:
        """A transaction, in a database that has the tables."""
        with self._answering():
            with self._making:  # by one thread: two that find no tables would both make them
                if not self._made:
                    self._make()
            with self._engine.begin() as connection:
                yield connection

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Unavailable where the database does not answer, or does not let us."""
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            self._made = False  # what comes back may be an empty one
            if (trouble := _trouble_of(error)) is None:
                raise
            raise Unavailable(f"history: {trouble}") from error

    def _make(self) -> None:
        """The tables, as this version has them; another instance may be making them as well."""
        try:
            with self._engine.begin() as connection:
                migrate(connection)
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError) as error:
            raise Unavailable(f"history: {error.orig}; may we make tables?") from error
        self._made = True

    def trim(self, before: float, going_on: Callable[[], bool] = lambda: True) -> int:
        """Forget what is kept since before then (Unix seconds); how much. Open episodes stay, and
        feedback that counts; all that is left does once `going_on` says no."""
        gone = 0
        for table, old in (
            (anomalies, anomalies.c.kept < before),
            (episodes, sa.and_(episodes.c.kept < before, episodes.c.state != "open")),
            (dead_letters, dead_letters.c.kept < before),
            (audit, audit.c.time < before),
            (feedback, sa.and_(feedback.c.said < before, _counts_no_more())),
        ):
            while going_on() and (more := self._forget(table, old)):
                gone += more
        with self.connected() as connection:
            known = sa.select(episodes.c.id)
            connection.execute(sa.delete(remarks).where(remarks.c.episode.not_in(known)))
        return gone

    def _forget(self, table: sa.Table, old: sa.ColumnElement[bool]) -> int:
        """Some rows at a time, so that nobody waits long."""
        some = sa.select(table.c.number).where(old).limit(AT_ONCE).scalar_subquery()
        with self.connected() as connection:
            return connection.execute(sa.delete(table).where(table.c.number.in_(some))).rowcount

    def flush(self, wait: bool = True) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        self._engine.dispose()

    def anomaly(self, name: str) -> dict[str, Any] | None:
        """One anomaly by its id."""
        query = sa.select(anomalies.c.body).where(equals(anomalies.c.id, name))
        with self.connected() as connection:
            body = connection.execute(query).scalar()
        return None if body is None else msgspec.json.decode(body)

    def anomalies(self, wanted: AnomalyFilter, limit: int) -> Page:
        query: sa.Select[Any] = sa.select(anomalies.c.number, anomalies.c.body)
        for name in ("detector", "stream", "severity", "alarm"):
            query = where(query, anomalies.c[name], getattr(wanted, name))
        query = beginning(query, anomalies.c.stream, wanted.prefix)
        if wanted.start is not None:
            query = query.where(anomalies.c.time >= wanted.start)
        if wanted.end is not None:
            query = query.where(anomalies.c.time < wanted.end)
        rows, cursor = self.page(query, anomalies, wanted.before, limit)
        return [msgspec.json.decode(row.body) for row in rows], cursor

    def episode(self, name: str) -> dict[str, Any] | None:
        """One episode by its id."""
        query = (
            sa.select(*EPISODE_READ).select_from(WITH_REMARKS).where(equals(episodes.c.id, name))
        )
        with self.connected() as connection:
            row = connection.execute(query).first()
        return None if row is None else _episode_body(row)

    def episodes(self, wanted: EpisodeFilter, limit: int) -> Page:
        query = sa.select(episodes.c.number, *EPISODE_READ).select_from(WITH_REMARKS)
        for name in ("detector", "stream", "severity", "state"):
            query = where(query, episodes.c[name], getattr(wanted, name))
        query = beginning(query, episodes.c.stream, wanted.prefix)
        if wanted.acknowledged is not None:
            seen = sa.func.coalesce(remarks.c.acknowledged, sa.false())
            query = query.where(seen if wanted.acknowledged else sa.not_(seen))
        if wanted.start is not None:
            going_on = sa.or_(episodes.c.end >= wanted.start, episodes.c.state == "open")
            query = query.where(going_on)
        if wanted.end is not None:
            query = query.where(episodes.c.start < wanted.end)
        rows, cursor = self.page(query, episodes, wanted.before, limit)
        return [_episode_body(row) for row in rows], cursor

    def remark(self, episode: str, acknowledged: bool | None, note: str | None) -> None:
        """Note what a person says of an episode; what is None stays as it was."""
        given = {"acknowledged": acknowledged, "note": note}
        changed = {name: value for name, value in given.items() if value is not None}
        if not changed:
            return
        row = {"episode": episode, "acknowledged": False, **changed}
        insert = self.insert(remarks).values(row)
        with self.connected() as connection:
            connection.execute(
                insert.on_conflict_do_update(index_elements=[remarks.c.episode], set_=changed)
            )

    def open_episodes(self, detector: str | None = None, prefix: str = "") -> int:
        """How many there are, of one detector or of all, and of names that begin so."""
        query = sa.select(sa.func.count()).where(episodes.c.state == "open")
        query = where(query, episodes.c.detector, detector)
        query = beginning(query, episodes.c.stream, prefix)
        with self.connected() as connection:
            return int(connection.execute(query).scalar_one())

    def dead_letters(
        self, reason: str | None, before: int | None, limit: int, detector: str | None = None
    ) -> Page:
        query: sa.Select[Any] = sa.select(dead_letters)
        query = where(query, dead_letters.c.detector, detector)
        query = where(query, dead_letters.c.reason, reason)
        rows, cursor = self.page(query, dead_letters, before, limit)
        return [_dead_letter_body(row._mapping) for row in rows], cursor

    def page(
        self, query: sa.Select[Any], table: sa.Table, before: int | None, limit: int
    ) -> tuple[list[sa.Row[Any]], int | None]:
        """Rows of a query on a table, the newest first, and the cursor of the next page."""
        if before is not None:
            query = query.where(table.c.number < before)
        query = query.order_by(table.c.number.desc()).limit(limit + 1)
        with self.connected() as connection:
            rows = list(connection.execute(query))
        more = len(rows) > limit
        return rows[:limit], int(rows[limit - 1].number) if more else None


def _counts_no_more() -> sa.ColumnElement[bool]:
    """Feedback that was taken back, or is behind the newest of its stream that count."""
    table = feedback.c
    place = sa.func.row_number().over(
        partition_by=(table.detector, table.stream), order_by=table.number.desc()
    )
    placed = sa.select(table.number, place.label("place")).subquery()
    behind = sa.select(placed.c.number).where(placed.c.place > MOST_SAID)
    return sa.or_(table.undone, table.number.in_(behind))


def _ends_others(opened: Mapping[str, Any]) -> sa.Update:
    """A stream is in one episode at a time. A memory closes its own; one that was open when another
    artifact's memory began to speak has nobody else to close it. Of one partition alone: another
    one's offsets say nothing, and its stream of the same name is another stream."""
    same = episodes.c.detector == opened["detector"], episodes.c.stream == opened["stream"]
    place = f"{opened['id'].rpartition(':')[0]}:"  # all but the offset of its first event
    there = sa.func.substr(episodes.c.id, 1, len(place)) == place
    older = episodes.c.offset < opened["offset"], episodes.c.id != opened["id"]
    others = episodes.update().where(*same, there, *older, episodes.c.state == "open")
    return others.values(state="closed")


def where(query: sa.Select[Any], column: sa.Column[Any], value: object) -> sa.Select[Any]:
    """Only what has this value; everything where none is asked for."""
    return query if value is None else query.where(equals(column, value))


def beginning(query: sa.Select[Any], column: sa.Column[Any], prefix: str) -> sa.Select[Any]:
    """Only what begins so."""
    if not prefix:
        return query
    return query.where(equals(sa.func.substr(column, 1, len(prefix)), prefix))


def equals(column: "sa.ColumnElement[Any]", value: object) -> sa.ColumnElement[bool]:
    """No text in PostgreSQL has a NUL, and asking for one is an error there; half a character is
    one everywhere."""
    return column == value if not isinstance(value, str) or _is_text(value) else sa.false()


def as_text(value: str) -> str:
    """As every database holds it: no text in PostgreSQL has a NUL."""
    return value.replace("\0", "\\0")


def _is_text(value: str) -> bool:
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _trouble_of(error: sa.exc.SQLAlchemyError) -> str | None:
    """What the database has, and what to look at; None where the fault is ours."""
    if isinstance(error, sa.exc.TimeoutError):
        return f"no connection was free in {WAIT_SECONDS} s; is the database slow, or locked?"
    if isinstance(error, AWAY):
        return f"{error.orig}; is the database up, with room, and neither locked nor read-only?"
    if isinstance(error, sa.exc.DBAPIError) and getattr(error.orig, "sqlstate", None) in NOT_LET:
        return f"{error.orig}; are the tables there, and ours to read and write?"
    return None


def _anomaly_row(anomaly: Mapping[str, Any]) -> dict[str, Any]:
    row = {
        name: anomaly[name] for name in ("id", "detector", "stream", "score", "severity", "alarm")
    }
    return {
        **row,
        "time": parse_time(anomaly["time"]),
        "kept": now(),
        "body": msgspec.json.encode(anomaly).decode(),
    }


def _episode_rows(changes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a batch leaves episodes as, with the features of the newest peak in it."""
    rows: dict[str, dict[str, Any]] = {}
    for change in changes:
        began = change["why"] and as_text(change["why"])
        before = rows.get(change["id"], {"features": NOT_THE_PEAK, "began": began})
        told = {name: change[name] for name in TOLD_OF_THE_PEAK}
        rows[change["id"]] = {
            **{name: change[name] for name in EPISODE_COLUMNS},
            "start": parse_time(change["start"]),
            "end": parse_time(change["end"]),
            "kept": now(),
            "body": msgspec.json.encode({**change, **dict.fromkeys(TOLD_OF_THE_PEAK)}).decode(),
            "features": (
                before["features"] if change["why"] is None else msgspec.json.encode(told).decode()
            ),
            "began": before["began"],
        }
    return list(rows.values())


def _episode_body(row: Any) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(row.body)
    body |= {name: getattr(row, name) for name in ("state", "severity", "score", "peak")}
    body |= {"acknowledged": bool(row.acknowledged), "note": row.note or None, "began": row.began}
    return {**body, **PEAK_UNKNOWN, **msgspec.json.decode(row.features)}


def _dead_letter_row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "detector": letter.detector,
        "topic": letter.partition[0],
        "partition": letter.partition[1],
        "offset": letter.offset,
        "timestamp": letter.timestamp,
        "reason": letter.reason,
        "detail": as_text(letter.detail),
        "key": letter.key and letter.key[:MAX_KEPT_BYTES],
        "value": letter.value and letter.value[:MAX_KEPT_BYTES],
        "value_bytes": len(letter.value or b""),
        "kept": now(),
    }


def _dead_letter_body(row: Mapping[Any, Any]) -> dict[str, Any]:
    body = {name: value for name, value in row.items() if name not in ("number", "kept")}
    body["timestamp"] = format_time(body["timestamp"])
    for name in ("key", "value"):
        if body[name] is not None:
            body[name] = body[name].decode("utf-8", "backslashreplace")
    return body
