"""GET /api/v1/streams: what each stream is remembered by."""

from heapq import nlargest
from itertools import chain
from operator import itemgetter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from service.api.access import Asking
from service.api.elsewhere import Elsewhere
from service.api.questions import ask, find_detector, unknown
from service.api.schemas.problem import Problem
from service.api.schemas.streams import StreamDetail, StreamPage
from service.bootstrap import Service
from service.overview import loudest
from service.upgrade import Known, speaking

BY_NAME, BY_SCORE = itemgetter("stream"), itemgetter("score")


def streams_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])
    elsewhere = Elsewhere(service)

    @router.get("/streams", responses={404: {"model": Problem}, 503: {"model": Problem}})
    async def list_streams(
        request: Request,
        caller: Asking,
        detector: str | None = None,
        prefix: str = "",
        search: Annotated[
            str, Query(description="A part of the name, large or small letters; by score.")
        ] = "",
        sort: Annotated[
            Literal["name", "score"],
            Query(
                description="By score, or with `search`, the first `limit` streams are told whose "
                "memories are not idle, and no further page."
            ),
        ] = "name",
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> StreamPage:
        """Streams with a memory, in the order of their names, or with the highest present score
        first."""
        name = find_detector(service, caller.detector(detector)).name
        begins = caller.prefix(prefix)
        if begins is None:
            return StreamPage(items=[], next_cursor=None, unreachable=[])
        if sort == "score" or search:
            here = await ask(service, lambda: _loudest(service, name, begins, search, limit))
            pages = await run_in_threadpool(
                elsewhere.pages, request, detector=detector, prefix=prefix, search=search,
                sort="score", limit=limit,
            )  # fmt: skip
            return _worst(here, pages, limit)
        items = await ask(service, lambda: _by_name(service, name, begins, cursor, limit + 1))
        pages = await run_in_threadpool(
            elsewhere.pages, request, detector=detector, prefix=prefix, cursor=cursor, limit=limit
        )
        return _merged(items, pages, limit)

    @router.get(
        "/streams/{stream:path}", responses={404: {"model": Problem}, 503: {"model": Problem}}
    )
    async def get_stream(
        request: Request, stream: str, detector: str | None = None
    ) -> StreamDetail:
        """One stream: its last score, its threshold, its memory's age and content."""
        name = find_detector(service, detector).name

        known = await ask(service, lambda: memory_of(service, name, stream))
        body = None if known is None else known[1]
        if body is None:
            body = await run_in_threadpool(elsewhere.find, request, stream, detector=detector)
        if body is None:
            raise unknown(service, name, stream)
        return StreamDetail.model_validate(body)

    return router


def memory_of(service: Service, detector: str, stream: str) -> Known | None:
    """What this instance knows of a stream; from the pipeline's thread."""
    for place in service.pipeline.places(detector):
        known = [(one, body) for one in place if (body := one.stream(stream)) is not None]
        if known:
            return speaking(known)[stream]
    return None


def _by_name(
    service: Service, name: str, prefix: str, cursor: str | None, limit: int
) -> list[dict[str, Any]]:
    """Ours, from the pipeline's thread."""
    return [
        body
        for place in service.pipeline.places(name)
        for _, body in speaking(
            (one, body) for one in place for body in one.streams(cursor, limit, prefix)
        ).values()
    ]


def _loudest(
    service: Service, name: str, prefix: str, search: str, limit: int
) -> list[dict[str, Any]]:
    """Ours, from the pipeline's thread."""
    return [
        body
        for place in service.pipeline.places(name)
        for _, body in speaking(
            (one, body) for one in place for body in loudest(one, limit, prefix, search.lower())
        ).values()
    ]


def _worst(
    here: list[dict[str, Any]], pages: dict[str, dict[str, Any] | None], limit: int
) -> StreamPage:
    """Ours, and those of other instances, by score."""
    theirs = [page["items"] for page in pages.values() if page is not None]
    unreachable = [address for address, page in pages.items() if page is None]
    items = nlargest(limit, chain(here, *theirs), key=BY_SCORE)
    body = {"items": items, "next_cursor": None, "unreachable": unreachable}
    return StreamPage.model_validate(body)


def _merged(
    items: list[dict[str, Any]], pages: dict[str, dict[str, Any] | None], limit: int
) -> StreamPage:
    """Ours, and the pages of other instances by address, as one page in the order of the names."""
    theirs = [page for page in pages.values() if page is not None]
    found = sorted([*items, *chain.from_iterable(p["items"] for p in theirs)], key=BY_NAME)
    more = len(found) > limit or any(page["next_cursor"] for page in theirs)
    body = {
        "items": found[:limit],
        "next_cursor": found[limit - 1]["stream"] if more else None,
        "unreachable": [address for address, page in pages.items() if page is None],
    }
    return StreamPage.model_validate(body)
