"""What receivers are to be told, in SQL: written with what is told of, sent by threads of its own.

A row stays for a while after it was sent: what is read again after a crash does not make it anew.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from service.clock import format_time, now
from service.records import SEVERITIES, Delivery
from service.sinks.history import History, Page
from service.sinks.tables import notifications

WAITING, SENT, DEAD = "waiting", "sent", "dead"
CLAIM_SECONDS = 60.0  # for which a row is one sender's; instances may share the table


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver, and of what it is told: detectors and streams by pattern; severities from the
    least on; whether also of an end."""

    name: str
    detectors: frozenset[str]
    streams: Any  # a compiled pattern
    least_severity: str
    closed: bool

    def wants(self, change: Mapping[str, Any]) -> bool:
        if change["change"] == "closed" and not self.closed:
            return False
        if change["change"] == "continued" and not change["alarm"]:
            return False
        if self.detectors and change["detector"] not in self.detectors:
            return False
        enough = SEVERITIES[change["severity"]] >= SEVERITIES[self.least_severity]
        return enough and self.streams.fullmatch(change["stream"]) is not None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that is ours to send."""

    number: int
    id: str
    change: Mapping[str, Any]
    made: float
    attempts: int


class Outbox:
    """A sink for the pipeline, and what senders take from; Unavailable where the database is."""

    def __init__(self, history: History, targets: Sequence[Target]) -> None:
        self._history = history
        self._targets = tuple(targets)

    def deliver(self, delivery: Delivery) -> None:
        rows = [
            _row(target, change)
            for change in delivery.episodes
            for target in self._targets
            if target.wants(change)
        ]
        if rows:
            insert = self._history.insert(notifications).on_conflict_do_nothing()
            with self._history.connected() as connection:
                connection.execute(insert, rows)

    def flush(self, wait: bool = True) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """The database is the history's."""

    def claim(self, target: str) -> Waiting | None:
        """The oldest row that nobody sends just now, for a while ours."""
        t, present = notifications.c, now()
        free = sa.and_(t.target == target, t.state == WAITING, t.claimed < present)
        oldest = sa.select(sa.func.min(t.number)).where(free).scalar_subquery()
        update = (
            sa.update(notifications)
            .where(t.number == oldest, t.claimed < present)
            .values(claimed=present + CLAIM_SECONDS, attempts=t.attempts + 1)
            .returning(t.number, t.id, t.body, t.made, t.attempts)
        )
        with self._history.connected() as connection:
            row = connection.execute(update).first()
        if row is None:
            return None
        return Waiting(row.number, row.id, msgspec.json.decode(row.body), row.made, row.attempts)

    def settle(self, waiting: Waiting, state: str, said: str | None = None) -> None:
        """How it went: SENT, DEAD, or WAITING, to be tried again."""
        values: dict[str, Any] = {"state": state, "said": said, "claimed": 0.0}
        with self._history.connected() as connection:
            one = notifications.c.number == waiting.number
            connection.execute(sa.update(notifications).where(one).values(values))

    def again(self, number: int, sees: Callable[[str, str], bool]) -> dict[str, Any] | None:
        """Have one sent once more that was sent or is dead, and whose detector and stream somebody
        sees; None where there is none."""
        t = notifications.c
        values = {"state": WAITING, "claimed": 0.0, "attempts": 0, "made": now()}
        one = sa.and_(t.number == number, t.state != WAITING)
        with self._history.connected() as connection:
            row = connection.execute(sa.select(notifications).where(one)).first()
            if row is None or not sees(*_of(row.body)):
                return None
            connection.execute(sa.update(notifications).where(one).values(values))
        return {**_body(row._mapping), "state": WAITING, "attempts": 0}

    def counted(self) -> dict[tuple[str, str], int]:
        """How many rows there are of each target in each state."""
        t = notifications.c
        query = sa.select(t.target, t.state, sa.func.count()).group_by(t.target, t.state)
        with self._history.connected() as connection:
            return {(row[0], row[1]): int(row[2]) for row in connection.execute(query)}

    def listed(self, target: str | None, state: str | None, before: int | None, limit: int) -> Page:
        """The newest first."""
        query: sa.Select[Any] = sa.select(notifications)
        for column, value in ((notifications.c.target, target), (notifications.c.state, state)):
            if value is not None:
                query = query.where(column == value)
        rows, cursor = self._history.page(query, notifications, before, limit)
        return [_body(row._mapping) for row in rows], cursor

    def trim(self, before: float) -> None:
        """Forget what was sent, or could not be, and was made before then (Unix seconds)."""
        t = notifications.c
        old = sa.and_(t.state != WAITING, t.made < before)
        with self._history.connected() as connection:
            connection.execute(sa.delete(notifications).where(old))


def _row(target: Target, change: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{target.name}:{change['id']}:{change['offset']}",
        "target": target.name,
        "episode": change["id"],
        "body": msgspec.json.encode(change).decode(),
        "state": WAITING,
        "attempts": 0,
        "claimed": 0.0,
        "made": now(),
    }


def _of(body: str) -> tuple[str, str]:
    change = msgspec.json.decode(body)
    return change["detector"], change["stream"]


def _body(row: Mapping[Any, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in ("target", "episode", "state", "attempts", "said")}
    change = msgspec.json.decode(row["body"])
    names = ("detector", "stream", "change", "severity")
    return {
        **told, **{name: change[name] for name in names}, "id": str(row["number"]),
        "made": format_time(row["made"]),
    }  # fmt: skip
