"""The probes and the metrics, which no key is asked for."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client.exposition import choose_encoder

from service.api.access import identify
from service.bootstrap import Service


def operations_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/livez")
    async def livez() -> dict[str, str]:  # in no thread: those may all be busy
        """The process answers; whether Kafka does is no matter here."""
        return {"status": "ok"}

    @router.get("/readyz", response_model=None)
    async def readyz(verbose: str | None = None) -> JSONResponse:
        """Memories are restored and events are being read; `?verbose` says what is waited for."""
        pipeline = service.pipeline
        body: dict[str, object] = {"status": "ready" if pipeline.ready else "not ready"}
        if verbose is not None:
            body["waiting_for"] = pipeline.waiting_for
            body["checkpoint_postponed"] = pipeline.checkpoint_trouble
            body["missing_topics"] = pipeline.source.missing_topics
            body["lag_records"] = pipeline.lag_records
            body["not_told"] = [one.name for one in service.sender.receivers if one.trouble]
        return JSONResponse(body, 200 if pipeline.ready else 503)

    @router.get("/metrics", response_class=Response)
    def metrics(request: Request) -> Response:
        """Prometheus metrics, as OpenMetrics with exemplars for who takes that; scrapers know no
        key."""
        if not service.keys.asked_for:
            identify(service, request)
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(service.metrics.registry), media_type=kind)

    return router
