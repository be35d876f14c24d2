"""What one client may ask for: so many requests a second, and bodies that are no larger."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem
from service.settings.api import LOOPBACK

MOST_CLIENTS = 10_000
BURST_SECONDS = 2.0
UNLIMITED = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked for by whoever watches us, who must not be refused."""
OF_EVENTS = ("/events", "/whatif")
"""How the paths end whose bodies are events: they look at who asks before they read them."""
OTHER_BODY_BYTES = 64 * 1024  # at most, of every other path: they are read before
BODY_SECONDS = 60.0  # in which all of a body is here


@dataclass(slots=True)
class Bucket:
    """What a client has left, and since when it was not filled up."""

    left: float
    at: float


class RequestLimits:
    """Refuses with 429 and 413. A client is an address, other than our own machine's; beyond
    MOST_CLIENTS those are forgotten that were silent for longest."""

    def __init__(self, app: ASGIApp, requests_per_second: float, body_bytes: int) -> None:
        self._app = app
        self._rate = requests_per_second
        self._body_bytes = body_bytes
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = (scope.get("client") or ("unknown", 0))[0]
        free = scope["path"] in UNLIMITED or client in LOOPBACK
        wait = 0.0 if free else self._wait(client, time.monotonic())
        if wait > 0.0:
            detail = f"more than {self._rate:g} requests a second (api.max_requests_per_second)"
            refused = problem(429, detail, headers={"Retry-After": str(int(wait) + 1)})
            await refused(scope, receive, send)
            return
        if scope["path"].endswith(OF_EVENTS):
            most, why = self._body_bytes, " (api.max_body_bytes)"
        else:
            most, why = min(self._body_bytes, OTHER_BODY_BYTES), ""
        await self._app(scope, _bounded(receive, most, why), send)

    def _wait(self, client: str, now: float) -> float:
        """The seconds until a client may ask again; 0 where it may now."""
        most = BURST_SECONDS * self._rate
        bucket = self._buckets.setdefault(client, Bucket(most, now))
        self._buckets.move_to_end(client)
        while len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        bucket.left = min(most, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.left < 1.0:
            return (1.0 - bucket.left) / self._rate
        bucket.left -= 1.0
        return 0.0


def _bounded(receive: Receive, most: int, why: str) -> Receive:
    """A body of so many bytes at most, and not for ever."""
    size, whole = 0, False
    until = asyncio.get_running_loop().time() + BODY_SECONDS

    async def received() -> Message:
        nonlocal size, whole
        if whole:  # what comes now is that the client hangs up
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            detail = f"the body did not come within {BODY_SECONDS:g} seconds"
            raise HTTPException(408, detail, headers={"Connection": "close"}) from None
        whole = not message.get("more_body", False)
        size += len(message.get("body", b""))
        if size > most:
            # FastAPI hides other errors that come from here
            raise HTTPException(413, f"the body is larger than {most} bytes{why}")
        return message

    return received
