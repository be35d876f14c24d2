"""GET /api/v1/live: what happens, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from service.api.access import Asking, Caller
from service.api.now import present
from service.api.problems import ProblemError
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.errors import Unavailable
from service.keys import Key
from service.sinks.live import Live

NOW_SECONDS = 1.0
MOST_DIGITS = 20
DESCRIPTION = """Server-sent events: `anomaly` and `episode`, with the bodies that
`/anomalies` and `/episodes` have, as they happen at this instance; `now` each second, with the body
of `/now`. Who comes back with the id of the last event (`Last-Event-ID`, as browsers send it) is
told what came since; `restart` says that this is not known any more, and lists must be asked for
again."""


def live_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["operations"])
    live, glance = service.live, Glance(service)

    @router.get(
        "/live",
        description=DESCRIPTION,
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            503: {"model": Problem},
        },
    )
    async def get_live(
        caller: Asking,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        if live.full:
            raise ProblemError(503, "too many listen already; ask /api/v1/episodes now and then")

        def still() -> bool:
            """Whether the key counts: one that was revoked, or is over, ends it, and so does the
            first one where none was needed."""
            shown = caller.credential
            if shown is None:
                return not service.keys.asked_for
            return service.keys.find(shown) is not None

        async def told() -> AsyncIterator[bytes]:
            live.listen(wake)  # here, as who leaves before it begins never gets to the end
            try:
                async for event in _events(live, glance, woken, last_event_id, caller, still):
                    yield event
            finally:
                live.leave(wake)

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(told(), media_type="text/event-stream", headers=headers)

    return router


class Glance:
    """How the instance is doing, found out once a second for all who listen and see the same."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._told: dict[tuple[str | None, str], tuple[float, bytes]] = {}  # by scope: until when

    async def event(self, time: float, key: Key) -> bytes:
        scope = key.detector, key.prefix
        until, event = self._told.get(scope, (float("-inf"), b""))
        if time < until:
            return event
        self._told = {of: told for of, told in self._told.items() if time < told[0]}
        self._told[scope] = time + NOW_SECONDS, event
        try:
            event = _event("now", await present(self._service, key))
        except (ProblemError, Unavailable) as error:  # the next one may say more
            event = _event("busy", {"detail": str(error)})
        self._told[scope] = time + NOW_SECONDS, event
        return event


async def _events(
    live: Live,
    glance: Glance,
    woken: asyncio.Event,
    last_event_id: str | None,
    caller: Caller,
    still: Callable[[], bool],
) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    seen = _number(live, last_event_id)
    told_now = float("-inf")
    while True:
        woken.clear()
        if not still():
            return
        events = None if seen is None else live.since(seen)
        if events is None:
            seen, events = live.newest(), []
            yield _event("restart", {}, f"{live.run}-{seen}")
        for event in events:
            seen = event.number
            if not caller.sees(event.body["detector"], event.body["stream"]):
                continue
            yield _event(event.name, event.body, f"{live.run}-{seen}")
        if live.closed:
            return
        if loop.time() >= told_now + NOW_SECONDS:
            told_now = loop.time()
            yield await glance.event(told_now, caller.key)
        try:
            await asyncio.wait_for(woken.wait(), max(0.0, told_now + NOW_SECONDS - loop.time()))
        except TimeoutError:
            """Nothing but the time has changed."""


def _number(live: Live, last_event_id: str | None) -> int | None:
    """Of the last event that a listener has seen, None where it is not one of this run; who comes
    for the first time has seen all."""
    if last_event_id is None:
        return live.newest()
    run, _, number = last_event_id.rpartition("-")
    known = run == live.run and number.isascii() and number.isdigit() and len(number) < MOST_DIGITS
    return int(number) if known else None


def _event(name: str, body: Any, number: str | None = None) -> bytes:
    id_line = b"" if number is None else f"id: {number}\n".encode()
    return id_line + f"event: {name}\ndata: ".encode() + msgspec.json.encode(body) + b"\n\n"
