"""POST /api/v1/streams/{id}/rewind: forget what came last."""

import time
from typing import Any

from fastapi import APIRouter, Request

from service.api.access import Asking, Caller
from service.api.audit import audited
from service.api.elsewhere import Elsewhere
from service.api.paging import time_of
from service.api.problems import ProblemError
from service.api.questions import ask_in_thread, find_detector, unknown
from service.api.schemas import Problem, RewindBody, RewindTo
from service.api.streams import memory_of
from service.bootstrap import Service
from service.errors import StateError, Unavailable
from service.mutes import Mutes
from service.rewind import Asked, Before, memory_before

LONGEST_SECONDS = 60.0  # that reading what is retained may take


def rewind_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])
    elsewhere = Elsewhere(service, 2.0 * LONGEST_SECONDS)

    @router.post(
        "/streams/{stream:path}/rewind",
        responses={code: {"model": Problem} for code in (400, 404, 503)},
    )
    def rewind(
        request: Request,
        stream: str,
        to: RewindTo,
        caller: Asking,
        detector: str | None = None,
    ) -> RewindBody:
        """Let a stream go on from what it was remembered by before `time`, as if nothing had come
        since: after a fault that lasted so long that the memory took it for normal. Rebuilt from
        all records before then that Kafka, or the embedded log, still has: a reset in between is
        as if it had not been. What was told stays, and what was
        read is not read again. Saved before the answer."""
        name = find_detector(service, detector).name
        asked = Asked(stream, name, start=time_of("time", to.time))
        if _known(service, asked) is None:
            given = to.model_dump_json().encode()
            body = elsewhere.find(request, stream, given, detector=detector)
        else:
            then = _before(service, asked)
            known = _go_back(service, caller, asked, then)
            body = known and {**known, "whole": then.whole}
        if body is None:
            raise unknown(service, name, stream)
        return RewindBody.model_validate(body)

    return router


def _known(service: Service, asked: Asked) -> dict[str, Any] | None:
    """What is told of the stream, None where its memory is not here."""
    known = ask_in_thread(service, lambda: memory_of(service, asked.detector, asked.stream))
    if known is None:
        return None
    return {"stream": asked.stream, "detector": asked.detector, "time": known[1]["time"]}


def _before(service: Service, asked: Asked) -> Before:
    """The memory of then, rebuilt in this thread."""
    ends = time.monotonic() + LONGEST_SECONDS
    mutes = Mutes(service.history.mutes)
    mutes.load()
    try:
        return memory_before(service.settings, asked, mutes, lambda: time.monotonic() < ends)
    except StateError as error:
        raise ProblemError(404, str(error)) from None


def _go_back(service: Service, caller: Caller, asked: Asked, then: Before) -> dict[str, Any] | None:
    """What is told of the stream then, None where it has just moved elsewhere."""
    name, stream = asked.detector, asked.stream

    def change() -> dict[str, Any] | None:
        before = memory_of(service, name, stream)
        if before is None or not service.pipeline.rewind(name, then.memories):
            return None
        after = memory_of(service, name, stream)
        told = (None if known is None else known[1] for known in (before, after))
        audited(service, caller, "rewind", f"{name} {stream}", *told)
        return None if after is None else {**after[1], "detector": name}

    try:
        return ask_in_thread(service, change)
    except Unavailable as error:
        raise ProblemError(503, f"rewound here, not saved yet: {error}; ask again") from None
