"""POST /api/v1/streams/{id}/reset: forget what a stream has done."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from service.api.access import Asking
from service.api.audit import audited
from service.api.elsewhere import Elsewhere
from service.api.problems import ProblemError
from service.api.questions import ask, find_detector, unknown
from service.api.schemas.problem import Problem
from service.api.schemas.streams import ResetBody
from service.api.streams import memory_of
from service.bootstrap import Service
from service.errors import Unsaved
from service.upgrade import Known

NOTHING = b""


def reset_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])
    elsewhere = Elsewhere(service)

    @router.post(
        "/streams/{stream:path}/reset",
        responses={404: {"model": Problem}, 503: {"model": Problem}},
    )
    async def reset(
        request: Request, stream: str, caller: Asking, detector: str | None = None
    ) -> ResetBody:
        """Let a stream begin anew, as one that was never seen: for one that means something else
        from now on, as after a repair. What was told of it stays. Saved before the answer."""
        name = find_detector(service, detector).name

        def change() -> Known | None:
            before = memory_of(service, name, stream)
            if before is None:
                return None
            try:
                if service.pipeline.reset(name, stream):
                    note(before)
            except Unsaved:
                note(before)
                raise
            return before

        def note(before: Known) -> None:
            audited(service, caller, "reset", f"{name} {stream}", before[1], None)

        try:
            before = await ask(service, change)
        except Unsaved as error:
            raise ProblemError(503, f"reset here, not saved yet: {error}; ask again") from None
        if before is not None:
            return ResetBody(stream=stream, detector=name)
        known = await run_in_threadpool(elsewhere.find, request, stream, NOTHING, detector=detector)
        if known is None:
            raise unknown(service, name, stream)
        return ResetBody.model_validate(known)

    return router
