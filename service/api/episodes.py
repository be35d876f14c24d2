"""GET /api/v1/episodes: what a person is told of."""

from typing import Any

from fastapi import APIRouter

from service.api.access import Asking, Caller
from service.api.audit import audited
from service.api.paging import End, Limit, Start, as_stored, cursor_of, number_of, time_of
from service.api.problems import ProblemError
from service.api.schemas.anomalies import Severity
from service.api.schemas.episodes import Episode, EpisodePage, EpisodeState, Remark
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.sinks.history import EpisodeFilter, as_text

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
        """Acknowledge an episode, or note something, or take it back; who listens is told."""
        before = found(name, caller)
        episode = before["id"]
        history.remark(episode, *_given(remark))
        body = found(episode, caller)
        told = ({field: one[field] for field in SAID} for one in (before, body))
        audited(service, caller, "remark", episode, *told)
        service.live.tell([("episode", body)])
        return Episode.model_validate(body)

    return router


def _given(remark: Remark) -> tuple[bool | None, str | None]:
    """What is said of it; None where nothing is."""
    given = remark.model_dump(exclude_unset=True)
    acknowledged = bool(given["acknowledged"]) if "acknowledged" in given else None
    note = as_text(given["note"] or "") if "note" in given else None
    return acknowledged, note
