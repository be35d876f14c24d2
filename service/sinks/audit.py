"""Who changed what, in SQL."""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from service.clock import format_time
from service.sinks.history import History, Page, as_text
from service.sinks.tables import audit


class AuditTable:
    """Changes that somebody made; Unavailable where the database is."""

    def __init__(self, history: History) -> None:
        self._history = history

    def note(self, change: Mapping[str, Any]) -> None:
        """Note a change that somebody made."""
        told = {name: _text(change[name]) for name in ("before", "after")}
        names = {name: as_text(change[name]) for name in ("who", "what", "of")}
        with self._history.connected() as connection:
            connection.execute(sa.insert(audit).values({"time": change["time"], **names, **told}))

    def listed(self, before: int | None, limit: int) -> Page:
        """Changes, the newest first."""
        query: sa.Select[Any] = sa.select(audit)
        rows, cursor = self._history.page(query, audit, before, limit)
        return [_audit_body(row._mapping) for row in rows], cursor


def _text(body: Mapping[str, Any] | None) -> str | None:
    return None if body is None else msgspec.json.encode(body).decode()


def _audit_body(row: Mapping[Any, Any]) -> dict[str, Any]:
    body = {str(name): value for name, value in row.items()}
    told = {name: body[name] and msgspec.json.decode(body[name]) for name in ("before", "after")}
    return {**body, **told, "time": format_time(body["time"]), "id": str(body.pop("number"))}
