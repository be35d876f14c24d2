"""The HTTP application: routes by noun, one door."""

from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies import models
from fastapi.responses import FileResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from service.api import problems
from service.api.access import guard
from service.api.anomalies import anomalies_router
from service.api.artifacts import artifacts_router
from service.api.audit import audit_router
from service.api.description import describe_problems
from service.api.detectors import detectors_router
from service.api.episodes import episodes_router
from service.api.events import events_router
from service.api.feedback import feedback_router
from service.api.gates import gates_router
from service.api.headers import SecurityHeaders
from service.api.heatmap import heatmap_router
from service.api.incidents import incidents_router
from service.api.limits import RequestLimits
from service.api.live import live_router
from service.api.mutes import mutes_router
from service.api.notifications import notifications_router
from service.api.now import now_router
from service.api.operations import operations_router
from service.api.problems import ProblemError
from service.api.reload import reload_router
from service.api.reset import reset_router
from service.api.rewind import rewind_router
from service.api.scores import scores_router
from service.api.session import login_router, session_router
from service.api.streams import streams_router
from service.api.whatif import whatif_router
from service.bootstrap import Service

API = "/api/v1"
WEB = Path(__file__).parent.parent / "web"
CONTENT_POLICY = (
    "default-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE_HEADERS = {"Content-Security-Policy": CONTENT_POLICY, "Cache-Control": "no-cache"}


def create_app(service: Service) -> FastAPI:
    """The API, the probes, the metrics and the page of one service."""
    app = FastAPI(
        title="Wakeful",
        version=version("wakeful"),
        description="Streaming anomaly detection that never forgets a stream.",
        docs_url=None,  # it would load from another host; the page describes the API itself
        redoc_url=None,
    )
    problems.install(app)
    settings = service.settings.api
    app.add_middleware(
        RequestLimits,
        requests_per_second=settings.max_requests_per_second,
        body_bytes=settings.max_body_bytes,
    )
    app.add_middleware(SecurityHeaders)  # the outer one: what is refused has them too
    guarded = [Depends(guard(service, API)), Depends(_known_query)]
    routers = (
        events_router, whatif_router, reset_router, rewind_router, feedback_router, scores_router,
        gates_router, heatmap_router, streams_router, episodes_router, incidents_router,
        anomalies_router, detectors_router, artifacts_router, mutes_router, audit_router,
        session_router, now_router, live_router, notifications_router, reload_router,
    )  # fmt: skip
    for made in routers:
        app.include_router(made(service), prefix=API, dependencies=guarded)
    app.include_router(login_router(service), prefix=API, dependencies=guarded[1:])
    app.include_router(operations_router(service))

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(WEB / "index.html", headers=PAGE_HEADERS)

    @app.get("/docs", include_in_schema=False)
    def docs() -> RedirectResponse:
        """Where other services have it."""
        return RedirectResponse("./#/api")

    app.mount("/web", StaticFiles(directory=WEB))

    describe_problems(app)
    return app


def forget_apps() -> None:
    """Let go of apps that are gone: FastAPI remembers of each route's function what kind it is, and
    with it all that the function knows."""
    for known in vars(models).values():
        if hasattr(known, "cache_clear"):
            known.cache_clear()


def _known_query(request: Request) -> None:
    """Refuse a query parameter that the route does not have: a misspelt filter filters nothing."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    if unknown := sorted(set(request.query_params) - known):
        raise ProblemError(
            422, f"query: no {', '.join(unknown)}; there are {', '.join(sorted(known))}"
        )
