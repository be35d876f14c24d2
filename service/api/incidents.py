"""GET /api/v1/incidents: episodes that belong together."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.access import Asking
from service.api.paging import End, Start, time_of
from service.api.schemas.episodes import IncidentPage
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.incidents import incidents_of
from service.sinks.history import EpisodeFilter

MOST_GROUPED = 1000  # episodes
WITHIN_SECONDS = 300.0


def incidents_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["episodes"])

    @router.get("/incidents", responses={400: {"model": Problem}})
    def list_incidents(
        caller: Asking,
        detector: str | None = None,
        start: Start = None,
        end: End = None,
        within_seconds: Annotated[
            float,
            Query(ge=0, le=1e9, description="Between the end of one episode and the next one."),
        ] = WITHIN_SECONDS,
    ) -> IncidentPage:
        """Episodes that overlap, as one, the newest first."""
        between = time_of("start", start), time_of("end", end)
        wanted = EpisodeFilter(
            caller.detector(detector), None, None, None, None, *between, prefix=caller.key.prefix
        )
        found, more = service.history.episodes(wanted, MOST_GROUPED)
        items = incidents_of(found, within_seconds)
        return IncidentPage.model_validate({"items": items, "truncated": more is not None})

    return router
