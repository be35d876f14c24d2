"""GET /api/v1/now: how this instance is doing, at a glance."""

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from service.api.questions import ask
from service.api.schemas import Now, Problem
from service.bootstrap import Service
from service.clock import now
from service.detector import Detector
from service.overview import alarms_per_stream_week
from service.upgrade import streams_of


def now_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/now", responses={503: {"model": Problem}})
    async def get_now() -> Now:
        """Events, lag, open episodes, and what of the false-alarm budget was used."""
        return Now.model_validate(await present(service))

    return router


async def present(service: Service) -> dict[str, Any]:
    """How it is doing, as the body of an answer."""
    waiting_for = service.pipeline.waiting_for
    # A pipeline that waits for a broker may take long to answer, and has little to say.
    ready = waiting_for is None
    said = await ask(service, lambda: _of_memories(service)) if ready else _of_none(service)
    return {
        "time": now(),
        "ready": ready,
        "waiting_for": waiting_for,
        "events_per_second": service.live.events_per_second(),
        "lag_records": service.pipeline.lag_records if ready else None,
        "open_episodes": await run_in_threadpool(service.history.open_episodes),
        **said,
    }


def _of_none(service: Service) -> dict[str, Any]:
    budgets = service.pipeline.detectors.values()
    return {"streams": None, "detectors": [_budget(detector, None) for detector in budgets]}


def _budget(detector: Detector, achieved: float | None) -> dict[str, Any]:
    return {
        "name": detector.name,
        "false_alarms_per_week": detector.scorer.budget_per_week,
        "alarms_per_stream_week": achieved,
    }


def _of_memories(service: Service) -> dict[str, Any]:
    """In the pipeline's thread."""
    pipeline = service.pipeline
    return {
        "streams": sum(
            streams_of(place) for n in pipeline.detectors for place in pipeline.places(n)
        ),
        "detectors": [
            _budget(detector, alarms_per_stream_week(place[0] for place in pipeline.places(name)))
            for name, detector in pipeline.detectors.items()
        ],
    }
