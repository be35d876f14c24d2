"""The HTTP application: routes by noun, one door."""

import hmac
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api import problems
from service.api.anomalies import anomalies_router
from service.api.events import events_router
from service.api.problems import ProblemError
from service.api.streams import streams_router
from service.bootstrap import Service
from service.settings import LOOPBACK

PAGE = Path(__file__).parent.parent / "web" / "index.html"


def create_app(service: Service) -> FastAPI:
    """The API, the probes, the metrics and the page of one service."""
    app = FastAPI(
        title="Wakeful",
        version=version("wakeful"),
        description="Streaming anomaly detection that never forgets a stream.",
    )
    problems.install(app)
    guard = [Depends(_guard(service.settings.api.secret()))]
    for router in (events_router(service), streams_router(service), anomalies_router(service)):
        app.include_router(router, prefix="/api/v1", dependencies=guard)

    @app.get("/livez", tags=["operations"])
    def livez() -> dict[str, str]:
        """The process answers; whether Kafka does is no matter here."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], response_model=None)
    def readyz(verbose: str | None = None) -> JSONResponse:
        """Memories are restored and events are being read; `?verbose` says what is waited for."""
        pipeline = service.pipeline
        body: dict[str, object] = {"status": "ready" if pipeline.ready else "not ready"}
        if verbose is not None:
            body["waiting_for"] = pipeline.trouble or (None if pipeline.ready else "restore")
            body["checkpoint_postponed"] = pipeline.checkpoint_trouble
            body["lag_records"] = pipeline.lag_records
        return JSONResponse(body, 200 if pipeline.ready else 503)

    @app.get("/metrics", tags=["operations"], response_class=Response)
    def metrics() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE)

    return app


def _guard(token: str | None) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        if token is None:  # then only loopback is served, and no other site's page may use it
            host = request.url.hostname
            if host not in LOOPBACK or request.headers.get("sec-fetch-site") == "cross-site":
                raise ProblemError(403, f"not from another site, nor as {host!r}")
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise ProblemError(401, "send the API's token as `Authorization: Bearer …`")

    return check
