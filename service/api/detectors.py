"""GET /api/v1/detectors: what watches which topics, with which artifacts."""

from typing import Any

from fastapi import APIRouter

from model.artifact import Artifact
from service.api.access import Asking
from service.api.questions import ask, find_detector
from service.api.schemas.detectors import DetectorBody, DetectorPage
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.keys import Key
from service.upgrade import streams_of


def detectors_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["detectors"])

    @router.get("/detectors", responses={503: {"model": Problem}})
    async def list_detectors(caller: Asking) -> DetectorPage:
        """Every configured detector that the key is for."""
        key = caller.key
        names = [name for name in service.pipeline.detectors if key.detector in (None, name)]
        items = await ask(service, lambda: [_described(service, name, key) for name in names])
        return DetectorPage.model_validate({"items": items})

    @router.get(
        "/detectors/{name}", responses={code: {"model": Problem} for code in (403, 404, 503)}
    )
    async def get_detector(name: str, caller: Asking) -> DetectorBody:
        """One detector: its features, its budget, the artifact that speaks and one it replaces."""
        found = find_detector(service, caller.detector(name)).name
        body = await ask(service, lambda: _described(service, found, caller.key))
        return DetectorBody.model_validate(body)

    return router


def _described(service: Service, name: str, key: Key) -> dict[str, Any]:
    """In the pipeline's thread. Detectors of one name stand with the newest artifact first."""
    pipeline = service.pipeline
    configured = pipeline.detectors[name]
    here = pipeline.places(name)
    known = [feature for place in here for feature in place[0].features]
    artifacts = pipeline.artifacts(name)
    return {
        "name": name,
        "topics": [] if service.log is not None else service.settings.topics_of(name),
        "features": list(dict.fromkeys([*configured.features, *known])),
        "rules": {
            name: rule.model_dump(mode="json")
            for name, rule in service.settings.detectors[name].rules.items()
        },
        "false_alarms_per_week": configured.scorer.budget_per_week,
        "streams": None if key.prefix else sum(map(streams_of, here)),
        "memory_bytes": (here[0][0] if here else configured).arena.layout.row_bytes,
        "artifact": described(artifacts[0].artifact),
        "replaces": described(artifacts[1].artifact) if len(artifacts) > 1 else None,
    }


def described(artifact: Artifact) -> dict[str, Any]:
    """An artifact as a person reads it."""
    return {
        "fingerprint": artifact.fingerprint_text,
        "features": list(artifact.config.features) or None,
        "categories": list(artifact.config.categories),
        "predictor": artifact.config.cell,
        "hidden": artifact.config.hidden,
        "views": list(artifact.config.views),
        "training": artifact.description.training,
    }
