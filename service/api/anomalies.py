"""GET /api/v1/anomalies and /api/v1/dead-letters: what the history keeps."""

from fastapi import APIRouter

from service.api.access import Asking
from service.api.paging import End, Limit, Start, as_stored, cursor_of, number_of, time_of
from service.api.problems import ProblemError
from service.api.schemas import Anomaly, AnomalyPage, DeadLetterPage, Problem, Severity
from service.bootstrap import Service
from service.sinks.history import AnomalyFilter


def anomalies_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["anomalies"])
    history = service.history

    @router.get("/anomalies", responses={400: {"model": Problem}})
    def list_anomalies(
        caller: Asking,
        stream: str | None = None,
        detector: str | None = None,
        severity: Severity | None = None,
        alarm: bool | None = None,
        start: Start = None,
        end: End = None,
        cursor: str | None = None,
        limit: Limit = 100,
    ) -> AnomalyPage:
        """Anomalous events, the newest first."""
        between = time_of("start", start), time_of("end", end)
        wanted = AnomalyFilter(
            caller.detector(detector), stream, severity, alarm, *between, number_of(cursor),
            prefix=caller.key.prefix,
        )  # fmt: skip
        items, following = history.anomalies(wanted, limit)
        return AnomalyPage.model_validate({"items": items, "next_cursor": cursor_of(following)})

    @router.get("/anomalies/{name:path}", responses={404: {"model": Problem}})
    def get_anomaly(name: str, caller: Asking) -> Anomaly:
        """One anomaly: each feature's share, its value and what was expected."""
        body = history.anomaly(name) or history.anomaly(as_stored(name))
        if body is None or not caller.sees(body["detector"], body["stream"]):
            raise ProblemError(404, f"no anomaly {name!r}")
        return Anomaly.model_validate(body)

    @router.get("/dead-letters", responses={400: {"model": Problem}})
    def list_dead_letters(
        caller: Asking, reason: str | None = None, cursor: str | None = None, limit: Limit = 100
    ) -> DeadLetterPage:
        """Records that were not scored, why, and their context, the newest first."""
        items, following = history.dead_letters(
            reason, number_of(cursor), limit, caller.key.detector
        )
        return DeadLetterPage.model_validate({"items": items, "next_cursor": cursor_of(following)})

    return router
