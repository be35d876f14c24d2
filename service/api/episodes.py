"""GET /api/v1/episodes and /api/v1/incidents: what a person is told of."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from service.api.access import Asking, Caller
from service.api.audit import audited
from service.api.paging import End, Limit, Start, as_stored, cursor_of, number_of, time_of
from service.api.problems import ProblemError
from service.api.schemas import (
    Episode,
    EpisodePage,
    EpisodeState,
    IncidentPage,
    Problem,
    Remark,
    Severity,
)
from service.bootstrap import Service
from service.incidents import incidents_of
from service.sinks.history import EpisodeFilter

MOST_GROUPED = 1000  # episodes
WITHIN_SECONDS = 300.0
SAID = ("acknowledged", "note")


def episodes_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["episodes"])
    history = service.history

    def found(name: str, caller: Caller) -> dict[str, Any]:
        body = history.episode(name) or history.episode(as_stored(name))
        if body is None or not caller.sees(body["detector"], body["stream"]):
            raise ProblemError(404, f"no episode {name!r}")
        return body

    @router.get("/episodes", responses={400: {"model": Problem}})
    def list_episodes(
        caller: Asking,
        stream: str | None = None,
        detector: str | None = None,
        severity: Severity | None = None,
        state: EpisodeState | None = None,
        acknowledged: bool | None = None,
        start: Start = None,
        end: End = None,
        cursor: str | None = None,
        limit: Limit = 100,
    ) -> EpisodePage:
        """Episodes, the newest first; with `start` and `end` those that reach into that time."""
        between = time_of("start", start), time_of("end", end)
        wanted = EpisodeFilter(
            caller.detector(detector), stream, severity, state, acknowledged, *between,
            number_of(cursor), caller.key.prefix,
        )  # fmt: skip
        items, following = history.episodes(wanted, limit)
        return EpisodePage.model_validate({"items": items, "next_cursor": cursor_of(following)})

    @router.get("/episodes/{name:path}", responses={404: {"model": Problem}})
    def get_episode(name: str, caller: Asking) -> Episode:
        """One episode: since when, how severe, and the features to blame."""
        return Episode.model_validate(found(name, caller))

    @router.patch("/episodes/{name:path}", responses={404: {"model": Problem}})
    def remark(name: str, remark: Remark, caller: Asking) -> Episode:
        """Acknowledge an episode, or note something; who listens is told."""
        before = found(name, caller)
        episode = before["id"]
        note = None if remark.note is None else remark.note.replace("\0", "\\0")
        history.remark(episode, remark.acknowledged, note)
        body = found(episode, caller)
        told = ({field: one[field] for field in SAID} for one in (before, body))
        audited(service, caller, "remark", episode, *told)
        service.live.tell([("episode", body)])
        return Episode.model_validate(body)

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
        found, more = history.episodes(wanted, MOST_GROUPED)
        items = incidents_of(found, within_seconds)
        return IncidentPage.model_validate({"items": items, "truncated": more is not None})

    return router
