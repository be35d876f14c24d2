"""POST /api/v1/streams/{id}/reset: forget what a stream has done."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from service.api.elsewhere import Elsewhere
from service.api.events import find_detector
from service.api.problems import ProblemError
from service.api.questions import ask, unknown
from service.api.schemas import Problem, ResetBody
from service.bootstrap import Service
from service.errors import Unavailable

NOTHING = b""


def reset_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])
    elsewhere = Elsewhere(service)

    @router.post(
        "/streams/{stream:path}/reset",
        responses={404: {"model": Problem}, 503: {"model": Problem}},
    )
    async def reset(request: Request, stream: str, detector: str | None = None) -> ResetBody:
        """Let a stream begin anew, as one that was never seen: for one that means something else
        from now on, as after a repair. What was told of it stays. Saved before the answer."""
        name = find_detector(service, detector).name
        try:
            found = await ask(service, lambda: service.pipeline.reset(name, stream))
        except Unavailable as error:
            raise ProblemError(503, f"reset here, not saved yet: {error}; ask again") from None
        if found:
            return ResetBody(stream=stream, detector=name)
        known = await run_in_threadpool(elsewhere.find, request, stream, NOTHING, detector=detector)
        if known is None:
            raise unknown(service, name, stream)
        return ResetBody.model_validate(known)

    return router
