"""POST /api/v1/events: events into the embedded log, and their scores back when asked."""

import asyncio
from concurrent.futures import Future
from itertools import chain

import msgspec
import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from service.api.access import Asking
from service.api.problems import ProblemError
from service.api.questions import find_detector
from service.api.schemas.events import Ingested
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.clock import now
from service.detector import Detector
from service.records import RawBatch
from service.sinks.replies import Outcome
from service.sources.log import PARTITION, EmbeddedLog

LOOKED_AT, MOST_WARNINGS = 100, 10  # events of a request, fields
NDJSON = {
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
}
EXAMPLE = {"stream": "web-1", "time": "2026-11-21T07:00:00Z", "cpu": 0.42, "latency_ms": 81}
CONTENT = {
    "application/json": {
        "schema": {"oneOf": [{"type": "object"}, {"type": "array"}]},
        "example": EXAMPLE,
    },
    "application/x-ndjson": {"schema": {"type": "string"}},
    "application/cloudevents+json": {"schema": {"type": "object"}},
    "application/cloudevents-batch+json": {"schema": {"type": "array"}},
}


def events_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["events"])

    @router.post(
        "/events",
        response_model_exclude_unset=True,
        openapi_extra={"requestBody": {"required": True, "content": CONTENT}},
        responses={code: {"model": Problem} for code in (400, 404, 409, 413, 503)},
    )
    async def send_events(
        request: Request, caller: Asking, scores: bool = False, detector: str | None = None
    ) -> Ingested:
        """Take an event, an array of events, or NDJSON; each is accepted or rejected by itself.

        Without `scores`, accepted means stored to be scored. What only the stream's memory can
        tell, that an event is `late` or `repeated`, is then in the dead letters.
        """
        log = service.log
        if log is None:
            topics = ", ".join(service.settings.kafka.topics)
            raise ProblemError(409, f"events come from Kafka here: produce them to {topics}")
        target = find_detector(service, caller.detector(detector))
        body = await request.body()
        limit = service.settings.api.max_events_per_request
        records, whole = await records_of(request, body, limit)
        if scores:
            outcomes = await _scored(service, log, target, records)
            reply = reply_with_scores(outcomes)
        else:
            await run_in_threadpool(log.append, target.name, records)
            reply = await run_in_threadpool(_reply, target, records)
        if warnings := _warnings(target, records):
            reply.warnings = warnings
        if not whole:
            detail = "the body is not one JSON value; lines of JSON go as application/x-ndjson"
            raise ProblemError(400, detail, reply.model_dump(exclude_none=True))
        return reply

    return router


async def records_of(request: Request, body: bytes, limit: int) -> tuple[list[bytes], bool]:
    """The events in a body, and whether it was JSON; too many are refused."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    records, whole = await run_in_threadpool(split, body, content_type in NDJSON)
    if len(records) > limit:
        raise ProblemError(413, f"{len(records)} events in one request, at most {limit}")
    return records, whole


def split(body: bytes, ndjson: bool) -> tuple[list[bytes], bool]:
    """A body as records, and whether it was JSON; one that was not is kept as one record."""
    if ndjson:
        return [line for line in body.splitlines() if line.strip()], True
    if not body.lstrip().startswith(b"["):
        return [body], _is_json(body)
    try:
        return [bytes(part) for part in msgspec.json.decode(body, type=list[msgspec.Raw])], True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [body], False


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


async def _scored(
    service: Service, log: EmbeddedLog, detector: Detector, records: list[bytes]
) -> list[Outcome]:
    waiting: list[Future[list[Outcome]]] = []

    def expect(offsets: range) -> None:
        waiting.append(service.replies.expect(PARTITION, offsets))

    seconds = service.settings.api.score_timeout_seconds
    try:
        await run_in_threadpool(log.append, detector.name, records, expect)
        return await asyncio.wait_for(asyncio.wrap_future(waiting[0]), seconds)
    except TimeoutError:
        detail = f"not scored within {seconds:g} s; the events are kept and will be: do not resend"
        raise ProblemError(503, detail) from None
    finally:
        for wait in waiting:
            service.replies.forget(wait)


def _warnings(detector: Detector, records: list[bytes]) -> list[str]:
    """Of each field once."""
    quoted = chain.from_iterable(map(detector.decoder.quoted_numbers, records[:LOOKED_AT]))
    fields = list(dict.fromkeys(quoted))[:MOST_WARNINGS]
    return [f"{name!r} is not watched: it is a text, numbers go without quotes" for name in fields]


def reply_with_scores(outcomes: list[Outcome]) -> Ingested:
    rejected = [
        {"index": i, "reason": outcome["rejected"], "detail": outcome["detail"]}
        for i, outcome in enumerate(outcomes)
        if "rejected" in outcome
    ]
    results = [None if "rejected" in outcome else outcome for outcome in outcomes]
    body = {"accepted": len(outcomes) - len(rejected), "rejected": rejected, "results": results}
    return Ingested.model_validate(body)


def _reply(detector: Detector, records: list[bytes]) -> Ingested:
    """Decode as the pipeline will; what only a stream's memory can tell shows there later."""
    n = len(records)
    raw = RawBatch.of(
        partition=PARTITION,
        offsets=np.arange(n),
        timestamps=np.full(n, now()),
        keys=[None] * n,
        values=list(records),
    )
    letters = detector.decoder.decode(raw, detector.features).dead_letters
    rejected = [
        {"index": letter.offset, "reason": letter.reason, "detail": letter.detail}
        for letter in letters
    ]
    return Ingested.model_validate({"accepted": n - len(rejected), "rejected": rejected})
