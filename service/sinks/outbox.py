"""What receivers are to be told, in SQL: written with what is told of, sent by threads of its own.

A row stays for a while after it was sent: what is read again after a crash does not make it anew.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from service.clock import format_time, now
from service.records import SEVERITIES, Delivery
from service.sinks.history import History, Page, as_text, beginning, where
from service.sinks.tables import episodes, notifications

WAITING, SENT, DEAD = "waiting", "sent", "dead"
CLAIM_SECONDS = 60.0  # for which a row is one sender's; instances may share the table
GIVE_UP_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Target:
    """A receiver, and of what it is told: detectors and streams by pattern; severities from the
    least on; whether also of an end."""

    name: str
    detectors: frozenset[str]
    streams: re.Pattern[str]
    least_severity: str
    closed: bool

    def name_of(self, change: Mapping[str, Any]) -> str | None:
        """What this change is told as, None where it is not.

        An episode is told as it opens or opens again, with each further alarm, with the first
        event that makes it as severe as it is, and at its end.
        """
        enough = SEVERITIES[change["severity"]] >= SEVERITIES[self.least_severity]
        theirs = not self.detectors or change["detector"] in self.detectors
        if not enough or not theirs or self.streams.fullmatch(change["stream"]) is None:
            return None
        if change["change"] == "closed" and not self.closed:
            return None
        if change["change"] == "continued" and not change["alarm"] and change["why"] is None:
            return None  # no new peak
        by_severity = change["change"] == "opened" or (
            change["change"] == "continued" and not change["alarm"]
        )
        told = change["severity"] if by_severity else change["offset"]
        return f"{self.name}:{change['id']}:{told}"


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
            _row(target, change, name)
            for change in delivery.episodes
            for target in self._targets
            if (name := target.name_of(change)) is not None
        ]
        if rows:
            insert = self._history.insert(notifications).on_conflict_do_nothing()
            with self._history.connected() as connection:
                for row, ends in rows:
                    if not ends or connection.execute(_told(row)).first() is not None:
                        connection.execute(insert, row)

    def flush(self, wait: bool = True) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """The database is the history's."""

    def claim(self, target: str) -> Waiting | None:
        """The oldest row that is due, for a while ours; of an episode one after the other."""
        t, present = notifications.c, self._history.clock
        before = notifications.alias()
        first = ~sa.exists().where(
            before.c.target == target, before.c.episode == t.episode, before.c.state == WAITING,
            before.c.number < t.number,
        )  # fmt: skip
        due = sa.and_(t.target == target, t.state == WAITING, t.claimed < present)
        oldest = sa.select(sa.func.min(t.number)).where(due, first).scalar_subquery()
        with self._history.connected() as connection:
            number = connection.execute(sa.select(oldest)).scalar()
            if number is None:
                return None
            update = sa.update(notifications).where(t.number == number, due)
            update = update.values(claimed=present + CLAIM_SECONDS, attempts=t.attempts + 1)
            row = connection.execute(
                update.returning(t.number, t.id, t.body, t.made, t.attempts)
            ).first()
        if row is None:  # another instance was faster
            return None
        return Waiting(row.number, row.id, msgspec.json.decode(row.body), row.made, row.attempts)

    def settle(
        self, waiting: Waiting, state: str, said: str | None = None, seconds: float = 0.0
    ) -> None:
        """How it went: SENT, DEAD, or WAITING, to be tried again after so many seconds."""
        values: dict[str, Any] = {"state": state, "said": said and as_text(said)}
        values["claimed"] = self._history.clock + seconds
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
            if row is None or not sees(row.detector, row.stream):
                return None
            connection.execute(sa.update(notifications).where(one).values(values))
        return {**_body(row._mapping), "state": WAITING, "attempts": 0}

    def waiting(self, target: str) -> int:
        """How many rows a receiver is still to be told."""
        t = notifications.c
        query = sa.select(sa.func.count()).where(t.target == target, t.state == WAITING)
        with self._history.connected() as connection:
            return int(connection.execute(query).scalar_one())

    def listed(
        self,
        target: str | None,
        state: str | None,
        before: int | None,
        limit: int,
        detector: str | None = None,
        prefix: str = "",
    ) -> Page:
        """The newest first; of a detector, and of streams whose names begin so."""
        query: sa.Select[Any] = sa.select(notifications)
        wanted = {"target": target, "state": state, "detector": detector}
        for name, value in wanted.items():
            query = where(query, notifications.c[name], value)
        query = beginning(query, notifications.c.stream, prefix)
        rows, cursor = self._history.page(query, notifications, before, limit)
        return [_body(row._mapping) for row in rows], cursor

    def give_up(self) -> Counter[str]:
        """What has waited for a day is dead, whoever it is for: a receiver that is not configured
        any more has no sender, and one that hangs is not tried fast enough; how much of each."""
        t, present = notifications.c, self._history.clock
        old = sa.and_(t.state == WAITING, t.made < present - GIVE_UP_SECONDS, t.claimed < present)
        update = sa.update(notifications).where(old)
        why = "given up after a day: " + sa.func.coalesce(t.said, "nobody sends to this receiver")
        with self._history.connected() as connection:
            dead = connection.execute(update.values(state=DEAD, said=why).returning(t.target))
            return Counter(dead.scalars())

    def trim(self, before: float) -> None:
        """Forget what was sent, or could not be, and was made before then (Unix seconds), once the
        history has forgotten its episode: of one that is open the end is still to be told, to those
        who heard of it."""
        t = notifications.c
        known = sa.select(episodes.c.id)
        old = sa.and_(t.state != WAITING, t.made < before, t.episode.not_in(known))
        with self._history.connected() as connection:
            connection.execute(sa.delete(notifications).where(old))


def _row(target: Target, change: Mapping[str, Any], name: str) -> tuple[dict[str, Any], bool]:
    """And whether it tells of an end."""
    row = {
        "id": name,
        "target": target.name,
        "episode": change["id"],
        "detector": change["detector"],
        "stream": change["stream"],
        "body": msgspec.json.encode(change).decode(),
        "state": WAITING,
        "attempts": 0,
        "claimed": 0.0,
        "made": now(),
    }
    return row, change["change"] == "closed"


def _told(row: Mapping[str, Any]) -> sa.Select[Any]:
    """What the same receiver was told of the same episode: who heard of none hears of no end."""
    t = notifications.c
    same = t.target == row["target"], t.episode == row["episode"]
    return sa.select(t.number).where(*same).limit(1)


def _body(row: Mapping[Any, Any]) -> dict[str, Any]:
    told = {name: row[name] for name in ("target", "episode", "state", "attempts", "said")}
    told |= {name: row[name] for name in ("detector", "stream")}
    change = msgspec.json.decode(row["body"])
    names = ("change", "severity")
    return {
        **told, **{name: change[name] for name in names}, "id": str(row["number"]),
        "made": format_time(row["made"]),
    }  # fmt: skip
