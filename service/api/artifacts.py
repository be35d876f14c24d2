"""GET /api/v1/artifacts: what can score events without being trained first, and what does."""

from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from model.artifact import SHIPPED, Artifact
from service.api.detectors import described
from service.api.problems import ProblemError
from service.api.schemas.detectors import ArtifactList, ListedArtifact
from service.api.schemas.problem import Problem
from service.bootstrap import Service


def artifacts_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["detectors"])

    @router.get("/artifacts")
    def list_artifacts() -> ArtifactList:
        """Those that ship, and those that detectors are configured with."""
        return ArtifactList.model_validate({"items": _listed(service)})

    @router.get("/artifacts/{fingerprint}", responses={404: {"model": Problem}})
    def get_artifact(fingerprint: str) -> ListedArtifact:
        """One artifact, by its fingerprint."""
        found = (one for one in _listed(service) if one["fingerprint"] == fingerprint)
        if (one := next(found, None)) is None:
            raise ProblemError(404, f"no artifact {fingerprint!r}")
        return ListedArtifact.model_validate(one)

    return router


def _listed(service: Service) -> list[dict[str, Any]]:
    configured = [
        (detector.name, detector.artifact)
        for name in service.pipeline.detectors
        for detector in service.pipeline.artifacts(name)
    ]
    shipped = {_shipped(folder).fingerprint_text: name for name, folder in SHIPPED.items()}
    artifacts = [*map(_shipped, SHIPPED.values()), *(artifact for _, artifact in configured)]
    return [
        {
            **described(artifact),
            "name": shipped.get(fingerprint),
            "detectors": [name for name, one in configured if one.fingerprint_text == fingerprint],
        }
        for fingerprint, artifact in {one.fingerprint_text: one for one in artifacts}.items()
    ]


@cache
def _shipped(folder: Path) -> Artifact:
    return Artifact(folder)
