"""GET /api/v1/streams/{id}/gates: what a stream's memory kept and let go."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from model.errors import ArtifactError
from model.gates import Gates, gates_of
from service.api.elsewhere import Elsewhere
from service.api.paging import End, Start, time_of
from service.api.problems import ProblemError
from service.api.questions import ask_in_thread, find_detector
from service.api.schemas.curves import GatesBody
from service.api.schemas.problem import Problem
from service.api.streams import memory_of
from service.api.turns import Turns
from service.blocks.columns import Kept
from service.bootstrap import Service
from service.detector import Configured

MOST_EVENTS = 2000  # that are told of
WARM_UP_EVENTS = 500  # before them
MOST_WAITING = 3  # requests
DIGITS = 4  # behind the point


def gates_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])
    elsewhere = Elsewhere(service)
    turns = Turns("working gates out", MOST_WAITING)

    @router.get(
        "/streams/{stream:path}/gates",
        responses={code: {"model": Problem} for code in (400, 404, 503)},
    )
    def get_gates(
        request: Request,
        stream: str,
        detector: str | None = None,
        feature: str | None = None,
        start: Start = None,
        end: End = None,
    ) -> GatesBody:
        """How far the forget, input and output gates of a stream's LSTM were open at each event,
        and what it kept and wrote: worked out again from the values that are kept, from a fresh
        memory and a warm-up on. Of the newest 2,000 events of the time."""
        name = find_detector(service, detector).name
        since, until = time_of("start", start), time_of("end", end)
        known = ask_in_thread(service, lambda: memory_of(service, name, stream))
        kept = service.curves.kept(
            name, stream, math.inf if until is None else until, MOST_EVENTS + WARM_UP_EVENTS + 1
        )
        shown = 0 if kept is None else int((kept.times >= (since or 0.0)).sum())
        if known is None or shown == 0:  # others may know more of it
            try:
                body = elsewhere.find(
                    request, stream, detector=detector, feature=feature, start=start, end=end
                )
            except ProblemError:
                if shown == 0:
                    raise
                body = None
            if body is not None:
                return GatesBody.model_validate(body)
        if kept is None or shown == 0:
            raise ProblemError(
                404, f"detector {name} keeps no values of {stream!r} of that time, event by event"
            )
        configured = (find_detector(service, name) if known is None else known[0]).configured
        try:
            with turns.turn():
                body = _told(configured, kept, min(shown, MOST_EVENTS), feature)
        except ArtifactError as error:
            raise ProblemError(503, str(error)) from None
        return GatesBody.model_validate(
            {"stream": stream, "detector": name, "truncated": shown > MOST_EVENTS, **body}
        )

    return router


def _told(configured: Configured, kept: Kept, shown: int, feature: str | None) -> dict[str, Any]:
    """Of the last events, as many as are shown."""
    artifact = configured.artifact
    config = artifact.config
    whole = kept.only(slice(-(shown + WARM_UP_EVENTS), None))
    there = [name for name in whole.features if not np.isnan(whole.columns([name])).all()]
    if config.joint and feature is not None:
        raise ProblemError(400, "feature: its network reads all features together; leave it out")
    if feature is not None and feature not in there:
        raise ProblemError(404, f"no value of {feature!r} at that time; of {', '.join(there)}")
    one = feature or there[0]
    values = whole.columns(config.features if config.joint else [one])
    gates = gates_of(artifact, whole.times, values, configured.skew)
    if gates is None:
        raise ProblemError(404, f"{_reads(configured)}: there is nothing to be worked out again")
    return {
        "artifact": artifact.fingerprint_text,
        "feature": None if config.joint else one,
        "features": [] if config.joint else there,
        "warm_up": len(whole) - shown,
        "times": np.round(whole.times[-shown:], 3).tolist(),
        "resolutions": [
            {"events": events, **_curves(at.only(slice(-shown, None)))}
            for events, at in zip(config.resolutions, gates, strict=True)
        ],
    }


def _reads(configured: Configured) -> str:
    """Why an artifact has no gates that can be told."""
    config = configured.artifact.config
    if config.cell != "lstm":
        return f"its predictor is {config.cell}, which has not the gates of an LSTM"
    return f"it reads {', '.join(config.categories)}, which are not kept"


def _curves(gates: Gates) -> dict[str, list[float | None]]:
    return {
        name: [None if math.isnan(x) else round(x, DIGITS) for x in column.tolist()]
        for name, column in asdict(gates).items()
    }
