"""GET /api/v1/streams/{id}/scores: what a stream was like."""

from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from service.api.elsewhere import Elsewhere
from service.api.paging import End, Start, time_of
from service.api.problems import ProblemError
from service.api.questions import ask_in_thread, find_detector
from service.api.schemas.curves import ScoresBody
from service.api.schemas.problem import Problem
from service.api.streams import memory_of
from service.blocks.columns import Curves
from service.bootstrap import Service

FOREVER = float("-inf"), float("inf")
DIGITS = 7
F64 = npt.NDArray[np.float64]


def scores_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])
    elsewhere = Elsewhere(service)

    @router.get(
        "/streams/{stream:path}/scores",
        response_model=ScoresBody,
        responses={code: {"model": Problem} for code in (400, 404, 503)},
    )
    def get_scores(
        request: Request,
        stream: str,
        detector: str | None = None,
        start: Start = None,
        end: End = None,
        points: Annotated[int, Query(ge=10, le=5000, description="At most, about.")] = 1000,
    ) -> Response:
        """What a stream was like: its values, what was expected, and its scores, by event time.
        Where there are more events than `points`, of each so many the first one and the most
        surprising one are told. Columns, so that a chart can take them as they are."""
        name = find_detector(service, detector).name
        since, until = _between(start, end)
        refused = ProblemError(404, f"detector {name} keeps no scores of {stream!r} of that time")
        found = service.curves.curves(name, stream, since, until, points)
        if service.owners is not None and (found is None or not _is_here(service, name, stream)):
            try:
                body = elsewhere.find(  # who has it now, or had it then, knows more of it
                    request, stream, detector=detector, start=start, end=end, points=points
                )
            except ProblemError as error:
                body, refused = None, error
            if body is not None:
                return json_of(body)
        if found is None:
            raise refused
        return json_of(_told(name, stream, found))

    return router


def _is_here(service: Service, detector: str, stream: str) -> bool:
    """Whether this instance has the stream's memory."""
    return ask_in_thread(service, lambda: memory_of(service, detector, stream) is not None)


def _between(start: str | None, end: str | None) -> tuple[float, float]:
    since, until = time_of("start", start), time_of("end", end)
    return FOREVER[0] if since is None else since, FOREVER[1] if until is None else until


def _told(detector: str, stream: str, curves: Curves) -> dict[str, Any]:
    columns = {name: getattr(curves, name).T for name in ("actual", "expected", "low", "high")}
    return {
        "stream": stream,
        "detector": detector,
        "times": np.round(curves.times, 3).tolist(),
        "scores": np.round(curves.scores, 3).tolist(),
        "features": {
            feature: {name: _short(column[f]) for name, column in columns.items()}
            for f, feature in enumerate(curves.features)
        },
        "thinned": curves.thinned,
    }


def _short(column: F64) -> list[float]:
    """With the digits that are known."""
    return [float(f"{x:.{DIGITS}g}") for x in column.tolist()]


def json_of(body: dict[str, Any]) -> Response:
    """Numbers that are none become null."""
    return Response(msgspec.json.encode(body), media_type="application/json")
