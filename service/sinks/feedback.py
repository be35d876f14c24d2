"""What people said of events, in SQL."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from service.clock import format_time
from service.sinks.history import History, Page, beginning, equals, where
from service.sinks.tables import feedback


class FeedbackTable:
    """Feedback on streams; Unavailable where the database is."""

    def __init__(self, history: History) -> None:
        self._history = history

    def say(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Note feedback, as the last that was said. The same of the same event is one: it counts
        as it is said now, also if it was taken back."""
        table = feedback.c
        same = [table[name] == said[name] for name in ("detector", "stream", "kind", "time")]
        row = {**said, "undone": False}
        with self._history.connected() as connection:
            connection.execute(sa.delete(feedback).where(*same))
            number = connection.execute(sa.insert(feedback).values(row)).inserted_primary_key
        return _feedback_body({**row, "number": None if number is None else number[0]})

    def undo(self, detector: str, stream: str, number: int) -> dict[str, Any] | None:
        """Take feedback on a stream back; None where there is none."""
        table = feedback.c
        one = (
            table.number == number,
            equals(table.detector, detector),
            equals(table.stream, stream),
        )
        with self._history.connected() as connection:
            connection.execute(sa.update(feedback).where(*one).values(undone=True))
            row = connection.execute(sa.select(feedback).where(*one)).first()
        return None if row is None else _feedback_body(row._mapping)

    def listed(
        self,
        detector: str | None,
        stream: str | None,
        before: int | None,
        limit: int,
        prefix: str = "",
    ) -> Page:
        """What was said, the newest first, also what was taken back."""
        query: sa.Select[Any] = sa.select(feedback)
        query = where(query, feedback.c.detector, detector)
        query = where(query, feedback.c.stream, stream)
        query = beginning(query, feedback.c.stream, prefix)
        rows, cursor = self._history.page(query, feedback, before, limit)
        return [_feedback_body(row._mapping) for row in rows], cursor


def _feedback_body(row: Mapping[Any, Any]) -> dict[str, Any]:
    body = {str(name): value for name, value in row.items()}
    times = {name: format_time(body[name]) for name in ("time", "said")}
    return {**body, **times, "id": str(body.pop("number"))}
