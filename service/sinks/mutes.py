"""Mutes, in SQL."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from service.sinks.history import History, equals
from service.sinks.tables import mutes


class MuteTable:
    """The mutes that instances share; Unavailable where the database is."""

    def __init__(self, history: History) -> None:
        self._history = history

    def add(self, mute: Mapping[str, Any]) -> None:
        """Keep a mute; the first of an id stands."""
        with self._history.connected() as connection:
            connection.execute(
                self._history.insert(mutes).values(dict(mute)).on_conflict_do_nothing()
            )

    def listed(self) -> list[dict[str, Any]]:
        """All, the newest first."""
        with self._history.connected() as connection:
            rows = connection.execute(sa.select(mutes).order_by(mutes.c.number.desc()))
            return [dict(row._mapping) for row in rows]

    def remove(self, name: str) -> None:
        """Keep it no more."""
        with self._history.connected() as connection:
            connection.execute(sa.delete(mutes).where(equals(mutes.c.id, name)))
