"""/api/v1/mutes: whose anomalies alarm nobody, and when."""

import math
import re
import uuid
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from service.api.access import Asking, Caller
from service.api.audit import audited
from service.api.elsewhere import Elsewhere
from service.api.paging import time_of
from service.api.problems import ProblemError
from service.api.questions import ask, find_detector
from service.api.schemas.mutes import MuteChange, MuteList, NewMute
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.clock import format_time, now
from service.mutes import PERIODS, Mute

MOST = 1000
REFUSALS: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (400, 404, 503)}
ID_GIVEN: dict[int | str, dict[str, Any]] = {409: {"model": Problem}}


def mutes_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["mutes"])
    elsewhere = Elsewhere(service)
    mutes, pipeline = service.mutes, service.pipeline
    shared = service.settings.history.secret() is not None

    async def others(
        request: Request, body: bytes | None
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Have the other instances do the same, where they keep mutes of their own."""
        if shared:  # they read them with their next checkpoint
            return [], []
        return await run_in_threadpool(elsewhere.everywhere, request, body)

    @router.get("/mutes", responses={400: {"model": Problem}, 503: {"model": Problem}})
    def list_mutes(
        caller: Asking,
        stream: Annotated[str | None, Query(max_length=1000)] = None,
        detector: str | None = None,
    ) -> MuteList:
        """All mutes, the newest first; with `stream` or `detector`, those that concern it. A key of
        some streams alone is told of mutes of these alone, and of a stream of its own whatever
        mutes it."""
        key = caller.key
        if detector is None:
            detector = key.detector
        own = stream is not None and key.sees(detector or "", stream)
        rows = [
            row
            for row in mutes.listed()
            if detector is None or row["detector"] in (None, detector)
            if stream is None or Mute.of(row).names.fullmatch(stream)
            if own or not key.scoped or _within(caller, row)
        ]
        return MuteList.model_validate({"items": [_body(row) for row in rows]})

    @router.post("/mutes", status_code=201, responses=REFUSALS | ID_GIVEN)
    async def mute(request: Request, given: NewMute, caller: Asking) -> MuteChange:
        """Let the anomalies of a stream, of all whose names fit a pattern, or of all, alarm nobody
        from `start` until before `end`, by event time. They are scored and kept as ever, marked as
        suppressed; an episode begins with the first alarm after it. Counts from the events that are
        read after the answer; at instances that share `history.url`, after their next checkpoint.
        """
        wanted = _row(service, given)
        if not _within(caller, wanted):
            raise ProblemError(403, "the key is not for all streams that this would mute")
        change = partial(pipeline.change_mutes, lambda: _added(service, caller, wanted))
        row = await ask(service, change)
        body = given.model_copy(update={"id": row["id"]}).model_dump_json().encode()
        _, unreachable = await others(request, body)
        return MuteChange.model_validate({**_body(row), "unreachable": unreachable})

    @router.delete("/mutes/{name}", responses=REFUSALS)
    async def unmute(request: Request, name: str, caller: Asking) -> MuteChange:
        """Remove a mute: events that are read from now on alarm again."""
        change = partial(pipeline.change_mutes, lambda: _removed(service, caller, name))
        row = await ask(service, change)
        done, unreachable = await others(request, None)
        found = _body(row) if row else next(iter(done), None)
        if found is None:
            raise ProblemError(404, f"no mute {name!r}")
        return MuteChange.model_validate({**found, "unreachable": unreachable})

    return router


def _added(service: Service, caller: Caller, row: dict[str, Any]) -> dict[str, Any]:
    """The mute as it is kept now; from the pipeline's thread."""
    mutes = service.mutes
    known = mutes.listed()
    same = next((one for one in known if one["id"] == row["id"]), None)
    if same is None:
        if len(known) >= MOST:
            raise ProblemError(400, f"there are {MOST} mutes: remove those that are over")
        mutes.add(row)
        audited(service, caller, "mute", row["id"], None, _body(row))
        return row
    if any(same[name] != row[name] for name in row if name != "made"):
        raise ProblemError(409, f"id: {row['id']!r} is another mute's")
    return same


def _removed(service: Service, caller: Caller, name: str) -> dict[str, Any] | None:
    """The mute as it was, None where there is none that the key is for; from the pipeline's
    thread."""
    mutes = service.mutes
    row = next((one for one in mutes.listed() if one["id"] == name), None)
    if row is None or not _within(caller, row):
        return None
    mutes.remove(name)
    audited(service, caller, "unmute", name, _body(row), None)
    return row


def _within(caller: Caller, row: dict[str, Any]) -> bool:
    """Whether a mute is of streams alone that the key is for."""
    key, pattern = caller.key, row["pattern"] or ""
    begins = row["stream"] if row["stream"] is not None else re.split(r"[*?]", pattern)[0]
    return key.detector in (None, row["detector"]) and begins.startswith(key.prefix)


def _row(service: Service, given: NewMute) -> dict[str, Any]:
    """A new mute as it is stored; ProblemError says what is wrong with it."""
    if given.detector is not None:
        find_detector(service, given.detector)
    if given.stream is not None and given.pattern is not None:
        raise ProblemError(400, "pattern: a stream is named already")
    start, end = time_of("start", given.start), time_of("end", given.end)
    if start is not None and end is not None and start >= end:
        raise ProblemError(400, "start: is not before end")
    if given.every is not None:
        length = math.inf if start is None or end is None else end - start
        if length > PERIODS[given.every]:
            raise ProblemError(400, f"every: start and end are a {given.every} apart at most")
    told = given.model_dump(include={"detector", "stream", "pattern", "features", "every", "note"})
    return {**told, "id": given.id or uuid.uuid4().hex, "start": start, "end": end, "made": now()}


def _body(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: row[name] for name in ("start", "end", "made")}
    told = {name: None if at is None else format_time(at) for name, at in times.items()}
    return {**{name: value for name, value in row.items() if name != "number"}, **told}
