"""POST /api/v1/streams/{id}/whatif: what events would come to."""

import asyncio

import numpy as np
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from service.api.elsewhere import Elsewhere
from service.api.events import CONTENT, records_of, reply_with_scores
from service.api.problems import RETRY_SECONDS, ProblemError
from service.api.questions import ask, find_detector, unknown
from service.api.schemas.events import Ingested
from service.api.schemas.problem import Problem
from service.api.streams import memory_of
from service.bootstrap import Service
from service.clock import now
from service.records import Delivery, Partition, RawBatch
from service.sinks.replies import outcomes_of

MOST_EVENTS = 1000  # the pipeline waits while they are scored
MOST_AT_ONCE = 4  # that wait for the pipeline together
NOWHERE: Partition = ("what-if", 0)


def whatif_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])
    elsewhere = Elsewhere(service)
    places = asyncio.Semaphore(MOST_AT_ONCE)

    @router.post(
        "/streams/{stream:path}/whatif",
        response_model_exclude_unset=True,
        openapi_extra={"requestBody": {"required": True, "content": CONTENT}},
        responses={code: {"model": Problem} for code in (400, 404, 413, 503)},
    )
    async def what_if(request: Request, stream: str, detector: str | None = None) -> Ingested:
        """Score an event, or several in a row, as if they were the stream's next ones: on a copy of
        its memory, with no effect."""
        name = find_detector(service, detector).name
        body = await request.body()
        records, whole = await records_of(request, body, MOST_EVENTS)
        if not whole:
            raise ProblemError(400, "the body is not JSON")
        raw = _supposed(stream, records)

        def find() -> Delivery | None:
            known = memory_of(service, name, stream)
            return None if known is None else known[0].what_if(stream, raw)

        if places.locked():  # scoring goes first
            raise ProblemError(503, "others ask the same; try again", retry_seconds=RETRY_SECONDS)
        async with places:
            delivery = await ask(service, find)
        if delivery is not None:
            outcomes = outcomes_of(delivery, range(len(records)))
            return reply_with_scores([outcomes[i] for i in range(len(records))])
        found = await run_in_threadpool(elsewhere.find, request, stream, body, detector=detector)
        if found is None:
            raise unknown(service, name, stream)
        return Ingested.model_validate(found)

    return router


def _supposed(stream: str, records: list[bytes]) -> RawBatch:
    """Records of nowhere: no memory has seen them."""
    n = len(records)
    keys, stored = [stream.encode()] * n, np.full(n, now())
    return RawBatch.of(NOWHERE, np.arange(n), stored, keys, list(records))
