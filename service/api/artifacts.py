"""GET /api/v1/artifacts: what can score events without being trained first, and what does."""

from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from model.artifact import SHIPPED, Artifact
from service.api.access import Asking
from service.api.detectors import described
from service.api.problems import ProblemError
from service.api.schemas.detectors import ArtifactList, ListedArtifact
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.keys import Key


def artifacts_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["detectors"])

    @router.get("/artifacts")
    def list_artifacts(caller: Asking) -> ArtifactList:
        """Those that ship, and those that detectors are configured with that the key is for."""
        return ArtifactList.model_validate({"items": _listed(service, caller.key)})

    @router.get("/artifacts/{fingerprint}", responses={404: {"model": Problem}})
    def get_artifact(fingerprint: str, caller: Asking) -> ListedArtifact:
        """One artifact, by its fingerprint."""
        items = _listed(service, caller.key)
        found = (one for one in items if one["fingerprint"] == fingerprint)
        if (one := next(found, None)) is None:
            raise ProblemError(404, f"no artifact {fingerprint!r}")
        return ListedArtifact.model_validate(one)

    return router


def _listed(service: Service, key: Key) -> list[dict[str, Any]]:
    configured = [
        (detector.name, detector.artifact)
        for name in service.pipeline.detectors
        if key.detector in (None, name)
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
