"""GET /api/v1/episodes: what a person is told of."""

from fastapi import APIRouter

from service.api.paging import End, Limit, Start, as_stored, cursor_of, number_of, time_of
from service.api.problems import ProblemError
from service.api.schemas import Episode, EpisodePage, EpisodeState, Problem, Severity
from service.bootstrap import Service
from service.sinks.history import EpisodeFilter


def episodes_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["episodes"])
    history = service.history

    @router.get("/episodes", responses={400: {"model": Problem}})
    def list_episodes(
        stream: str | None = None,
        detector: str | None = None,
        severity: Severity | None = None,
        state: EpisodeState | None = None,
        start: Start = None,
        end: End = None,
        cursor: str | None = None,
        limit: Limit = 100,
    ) -> EpisodePage:
        """Episodes, the newest first; with `start` and `end` those that reach into that time."""
        between = time_of("start", start), time_of("end", end)
        wanted = EpisodeFilter(detector, stream, severity, state, *between, number_of(cursor))
        items, following = history.episodes(wanted, limit)
        return EpisodePage.model_validate({"items": items, "next_cursor": cursor_of(following)})

    @router.get("/episodes/{name:path}", responses={404: {"model": Problem}})
    def get_episode(name: str) -> Episode:
        """One episode: since when, how severe, and the features to blame."""
        body = history.episode(name) or history.episode(as_stored(name))
        if body is None:
            raise ProblemError(404, f"no episode {name!r}")
        return Episode.model_validate(body)

    return router
