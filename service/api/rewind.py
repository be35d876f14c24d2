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
from service.api.schemas.problem import Problem
from service.api.schemas.streams import RewindBody, RewindTo
from service.api.streams import memory_of
from service.api.turns import Turns
from service.bootstrap import Service
from service.detector import Detector
from service.errors import StateError, Unsaved
from service.memory.store import owner_of
from service.mutes import Mutes
from service.records import Partition
from service.rewind import Asked, Before, memory_before
from service.upgrade import Known

LONGEST_SECONDS = 60.0  # that reading what is retained may take
RETRY_SECONDS = 10  # for who comes while another one is under way


def rewind_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])
    elsewhere = Elsewhere(service, 2.0 * LONGEST_SECONDS)
    turns = Turns("a rewind", retry_seconds=RETRY_SECONDS)

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
        name, start = find_detector(service, detector).name, time_of("time", to.time)
        holder = ask_in_thread(service, lambda: _holder(service, name, stream))
        if holder is None:
            given = to.model_dump_json().encode()
            body = elsewhere.find(request, stream, given, detector=detector)
        else:
            asked = Asked(stream, name, start, partition=_partition(service, holder))
            with turns.turn():
                then = _before(service, asked)
            told = _go_back(service, caller, asked, then)
            body = told and {**told, "whole": then.whole}
        if body is None:
            raise unknown(service, name, stream)
        return RewindBody.model_validate(body)

    return router


def _holder(service: Service, name: str, stream: str) -> Detector | None:
    """Whose memory of the stream goes back, None where it is not here: the one that tells of it,
    else one that was reset; from the pipeline's thread."""
    known = memory_of(service, name, stream)
    reset = (one for one in service.pipeline.memories(name) if one.remembers(stream))
    return next(reset, None) if known is None else known[0]


def _partition(service: Service, detector: Detector) -> Partition | None:
    """Whose memories these are, None where they do not move with one."""
    return None if service.pipeline.assignment is None else owner_of(detector.memory)[2]


def _before(service: Service, asked: Asked) -> Before:
    """The memory of then, rebuilt in this thread."""
    ends = time.monotonic() + LONGEST_SECONDS
    mutes = Mutes(service.mutes.listed)
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
        try:
            if not service.pipeline.rewind(name, then.memories, asked.partition):
                return None
        except Unsaved:
            note(before)
            raise
        after = note(before)
        return None if after is None else {**after[1], "detector": name}

    def note(before: Known | None) -> Known | None:
        """What it is now."""
        after = memory_of(service, name, stream)
        told = (None if known is None else known[1] for known in (before, after))
        audited(service, caller, "rewind", f"{name} {stream}", *told)
        return after

    try:
        return ask_in_thread(service, change)
    except Unsaved as error:
        raise ProblemError(503, f"rewound here, not saved yet: {error}; ask again") from None
