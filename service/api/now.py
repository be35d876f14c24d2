"""GET /api/v1/now: how this instance is doing, at a glance."""

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from service.api.access import Asking
from service.api.questions import ask
from service.api.schemas.detectors import Now
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.clock import now
from service.detector import Detector
from service.keys import Key
from service.overview import lived
from service.upgrade import streams_of


def now_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/now", responses={503: {"model": Problem}})
    async def get_now(caller: Asking) -> Now:
        """Events, lag, open episodes, and what of the false-alarm budget was used. For a key of
        some streams alone what is counted of streams is of these, or null; events per second and
        lag are the instance's, those of everybody's streams, whoever asks."""
        return Now.model_validate(await present(service, caller.key))

    return router


async def present(service: Service, key: Key) -> dict[str, Any]:
    """How it is doing, as the body of an answer to who has this key."""
    waiting_for = service.pipeline.waiting_for
    # A pipeline that waits for a broker may take long to answer, and has little to say.
    ready = waiting_for is None
    known = ready and not key.prefix  # names are not looked through each second
    said = (
        await ask(service, lambda: _of_memories(service, key)) if known else _of_none(service, key)
    )
    return {
        "time": now(),
        "ready": ready,
        "waiting_for": waiting_for,
        "events_per_second": service.live.events_per_second(),
        "lag_records": service.pipeline.lag_records if ready else None,
        "open_episodes": await run_in_threadpool(
            service.history.open_episodes, key.detector, key.prefix
        ),
        **said,
    }


def _of_none(service: Service, key: Key) -> dict[str, Any]:
    budgets = [_budget(detector, None) for detector in _seen(service, key)]
    return {"streams": None, "event_time": None, "detectors": budgets}


def _seen(service: Service, key: Key) -> list[Detector]:
    """The detectors that a key is for."""
    every = service.pipeline.detectors.values()
    return [one for one in every if key.detector in (None, one.name)]


def _budget(detector: Detector, achieved: float | None) -> dict[str, Any]:
    return {
        "name": detector.name,
        "false_alarms_per_week": detector.scorer.budget_per_week,
        "alarms_per_stream_week": achieved,
    }


def _of_memories(service: Service, key: Key) -> dict[str, Any]:
    """In the pipeline's thread."""
    seen = [(one, service.pipeline.places(one.name)) for one in _seen(service, key)]
    lives = [lived(place[0] for place in places) for _, places in seen]
    times = (life.newest for life in lives)
    return {
        "streams": sum(streams_of(place) for _, places in seen for place in places),
        "event_time": max((time for time in times if time is not None), default=None),
        "detectors": [
            _budget(detector, life.alarms_per_stream_week)
            for (detector, _), life in zip(seen, lives, strict=True)
        ],
    }
