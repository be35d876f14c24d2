"""GET /api/v1/streams: what each stream is remembered by."""

import asyncio
from collections.abc import Callable
from itertools import chain
from operator import itemgetter
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query

from service.api.events import find_detector
from service.api.problems import ProblemError
from service.api.schemas import Problem, StreamDetail, StreamPage
from service.bootstrap import Service

T = TypeVar("T")

ANSWER_SECONDS = 10.0


def streams_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])

    async def ask(question: Callable[[], T]) -> T:
        """The memories belong to the pipeline's thread: it answers between two batches."""
        try:
            answer = asyncio.wrap_future(service.pipeline.ask(question))
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            raise ProblemError(503, "the pipeline is busy or restoring; try again") from None

    @router.get("/streams", responses={404: {"model": Problem}, 503: {"model": Problem}})
    async def list_streams(
        detector: str | None = None,
        prefix: str = "",
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> StreamPage:
        """Streams with a memory, in the order of their names."""
        name = find_detector(service, detector).name

        def find() -> list[dict[str, Any]]:
            memories = service.pipeline.memories(name)
            parts = [memory.streams(cursor, limit + 1, prefix) for memory in memories]
            return sorted(chain.from_iterable(parts), key=itemgetter("stream"))

        items = await ask(find)
        more = items[limit - 1]["stream"] if len(items) > limit else None
        return StreamPage.model_validate({"items": items[:limit], "next_cursor": more})

    @router.get(
        "/streams/{stream:path}", responses={404: {"model": Problem}, 503: {"model": Problem}}
    )
    async def get_stream(stream: str, detector: str | None = None) -> StreamDetail:
        """One stream: its last score, its threshold, its memory's age and content."""
        name = find_detector(service, detector).name

        def find() -> dict[str, Any] | None:
            memories = service.pipeline.memories(name)
            return next(filter(None, (memory.stream(stream) for memory in memories)), None)

        body = await ask(find)
        if body is None:
            raise ProblemError(404, f"detector {name} has no stream {stream!r}")
        return StreamDetail.model_validate(body)

    return router
