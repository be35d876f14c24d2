"""GET /api/v1/anomalies and /api/v1/dead-letters: what the history keeps."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query

from service.api.problems import ProblemError
from service.api.schemas import Anomaly, AnomalyPage, DeadLetterPage, Problem, Severity
from service.bootstrap import Service
from service.clock import parse_time
from service.sinks.history import AnomalyFilter

Limit = Annotated[int, Query(ge=1, le=1000)]
LARGEST_CURSOR = 2**63 - 1


def anomalies_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["anomalies"])
    history = service.history

    @router.get("/anomalies", responses={400: {"model": Problem}})
    def list_anomalies(
        stream: str | None = None,
        detector: str | None = None,
        severity: Severity | None = None,
        alarm: bool | None = None,
        start: Annotated[
            str | None, Query(description="Event time, RFC 3339 or Unix; included.")
        ] = None,
        end: Annotated[str | None, Query(description="Event time; not included.")] = None,
        cursor: str | None = None,
        limit: Limit = 100,
    ) -> AnomalyPage:
        """Anomalous events, the newest first."""
        wanted = AnomalyFilter(
            detector,
            stream,
            severity,
            alarm,
            _time("start", start),
            _time("end", end),
            _number(cursor),
        )
        items, following = history.anomalies(wanted, limit)
        return AnomalyPage.model_validate({"items": items, "next_cursor": _cursor(following)})

    @router.get("/anomalies/{name:path}", responses={404: {"model": Problem}})
    def get_anomaly(name: str) -> Anomaly:
        """One anomaly: each feature's share, its value and what was expected."""
        body = history.anomaly(name) or history.anomaly(_quoted(name))
        if body is None:
            raise ProblemError(404, f"no anomaly {name!r}")
        return Anomaly.model_validate(body)

    @router.get("/dead-letters", responses={400: {"model": Problem}})
    def list_dead_letters(
        reason: str | None = None, cursor: str | None = None, limit: Limit = 100
    ) -> DeadLetterPage:
        """Records that were not scored, why, and their context, the newest first."""
        items, following = history.dead_letters(reason, _number(cursor), limit)
        return DeadLetterPage.model_validate({"items": items, "next_cursor": _cursor(following)})

    return router


def _time(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_time(float(text) if text.replace(".", "", 1).isdigit() else text)
    except (ValueError, OverflowError) as error:
        raise ProblemError(400, f"{name}: {error}") from None


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (
        cursor.isascii() and cursor.isdigit() and len(cursor) < 20 and int(cursor) <= LARGEST_CURSOR
    ):
        raise ProblemError(400, "cursor: take it from a page's next_cursor")
    return int(cursor)


def _cursor(number: int | None) -> str | None:
    return None if number is None else str(number)


def _quoted(name: str) -> str:
    """An id as stored, where the client's path was unquoted on the way."""
    return quote(name, safe=":")
