"""GET /api/v1/anomalies and /api/v1/dead-letters: what the history keeps."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

from service.api.access import Asking, Caller
from service.api.elsewhere import FORWARDED, Elsewhere
from service.api.paging import End, Limit, Start, as_stored, cursor_of, number_of, time_of
from service.api.problems import ProblemError
from service.api.schemas.anomalies import Anomaly, AnomalyPage, DeadLetterPage, Severity, Why
from service.api.schemas.problem import Problem
from service.api.turns import Turns
from service.blocks.columns import Kept
from service.bootstrap import Service
from service.clock import parse_time
from service.detector import Configured
from service.sinks.history import AnomalyFilter
from service.why import MOST_EVENTS, past_of, why_of

TICK = 0.001  # seconds, to which times are kept
MOST_WAITING = 3  # requests


def anomalies_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["anomalies"])
    history = service.history
    elsewhere = Elsewhere(service)
    turns = Turns("working out what would have been normal", MOST_WAITING)

    def found(name: str, caller: Caller) -> dict[str, Any]:
        body = history.anomaly(name) or history.anomaly(as_stored(name))
        if body is None or not caller.sees(body["detector"], body["stream"]):
            raise ProblemError(404, f"no anomaly {name!r}")
        return body

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

    @router.get(
        "/anomalies/{name:path}/why", responses={code: {"model": Problem} for code in (404, 503)}
    )
    def get_why(request: Request, name: str, caller: Asking) -> Why:
        """What would have been normal in place of an anomaly, and when its stream was like this
        before: from the stream's values as they are kept."""
        anomaly = found(name, caller)
        past = _past(service, anomaly)
        if past is None:  # an instance that had the stream then has its values
            if FORWARDED in request.headers:
                raise ProblemError(404, f"the event of {name!r} is not kept here")
            body = elsewhere.find(request, anomaly["stream"])
            if body is not None:
                return Why.model_validate(body)
        with turns.turn():
            return Why.model_validate(why_of(anomaly, past, _told_by(service, anomaly)))

    @router.get("/anomalies/{name:path}", responses={404: {"model": Problem}})
    def get_anomaly(name: str, caller: Asking) -> Anomaly:
        """One anomaly: each feature's share, its value and what was expected."""
        return Anomaly.model_validate(found(name, caller))

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


def _past(service: Service, anomaly: Mapping[str, Any]) -> Kept | None:
    """What this instance keeps of the stream's past, with the anomaly; None where that is not."""
    name = anomaly["detector"]
    if name not in service.pipeline.detectors:
        return None
    end = parse_time(anomaly["time"]) + TICK
    kept = service.curves.kept(name, anomaly["stream"], end, MOST_EVENTS)
    return None if kept is None else past_of(kept, anomaly)


def _told_by(service: Service, anomaly: Mapping[str, Any]) -> Configured | None:
    """The detector that told of an anomaly, if it is configured still."""
    detectors = service.pipeline.artifacts(anomaly["detector"])
    return next(
        (
            one.configured
            for one in detectors
            if one.artifact.fingerprint_text == anomaly["artifact"]
        ),
        None,
    )
