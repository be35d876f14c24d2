"""What routes that list things have in common."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Query

from service.api.problems import ProblemError
from service.clock import parse_time

Limit = Annotated[int, Query(ge=1, le=1000)]
Start = Annotated[str | None, Query(description="Event time, RFC 3339 or Unix; included.")]
End = Annotated[str | None, Query(description="Event time; not included.")]
LARGEST_CURSOR = 2**63 - 1


def time_of(name: str, text: str | None) -> float | None:
    """Unix seconds of a query's parameter; ProblemError where it is no time."""
    if text is None:
        return None
    try:
        return parse_time(float(text) if text.replace(".", "", 1).isdigit() else text)
    except (ValueError, OverflowError) as error:
        raise ProblemError(400, f"{name}: {error}") from None


def number_of(cursor: str | None) -> int | None:
    """Where a page goes on; ProblemError where that came from no page."""
    if cursor is None:
        return None
    if not (
        cursor.isascii() and cursor.isdigit() and len(cursor) < 20 and int(cursor) <= LARGEST_CURSOR
    ):
        raise ProblemError(400, "cursor: take it from a page's next_cursor")
    return int(cursor)


def cursor_of(number: int | None) -> str | None:
    return None if number is None else str(number)


def as_stored(name: str) -> str:
    """An id as it is stored, where the client's path was unquoted on the way."""
    return quote(name, safe=":", errors="replace")
