"""GET /api/v1/streams/{id}/scores and /api/v1/heatmap: what streams were like."""

import math
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from service.api.elsewhere import Elsewhere
from service.api.events import find_detector
from service.api.paging import End, Start, time_of
from service.api.problems import ProblemError
from service.api.questions import ask_in_thread
from service.api.schemas import Heatmap, Problem, ScoresBody
from service.api.streams import memory_of
from service.blocks.columns import Curves
from service.bootstrap import Service

FOREVER = float("-inf"), float("inf")
MOST_ROWS = 50
HOUR_SECONDS = 3600.0
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
        if service.owners is not None and not _is_here(service, name, stream):
            try:
                body = elsewhere.find(  # who has it now knows more of it
                    request, stream, detector=detector, start=start, end=end, points=points
                )
            except ProblemError as error:
                body, refused = None, error
            if body is not None:
                return _json(body)
        found = service.curves.curves(name, stream, since, until, points)
        if found is None:
            raise refused
        return _json(_told(name, stream, found))

    @router.get("/heatmap", response_model=Heatmap, responses={400: {"model": Problem}})
    def get_heatmap(
        stream: Annotated[list[str], Query(max_length=MOST_ROWS, description="One or more.")],
        detector: str | None = None,
        start: Start = None,
        end: End = None,
        columns: Annotated[int, Query(ge=1, le=500)] = 60,
    ) -> Response:
        """The highest score of streams in each of so many equal spans; of the newest hour where no
        time is given. Of the streams that this instance watches."""
        name = find_detector(service, detector).name
        since, until = time_of("start", start), time_of("end", end)
        if until is None:
            newest = (service.curves.newest(name, one) for one in stream)
            last = max((t for t in newest if t is not None), default=0.0)
            until = math.nextafter(last, math.inf)  # it is in the last cell
        if since is None:
            since = until - HOUR_SECONDS
        if since >= until:
            raise ProblemError(400, "start: is not before end")
        rows = [
            {
                "stream": one,
                "scores": _told_of(service.curves.highest(name, one, since, until, columns)),
            }
            for one in stream
        ]
        return _json({"start": since, "end": until, "columns": columns, "rows": rows})

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


def _told_of(cells: F64) -> list[float | None]:
    return [None if np.isnan(score) else round(score, 3) for score in cells.tolist()]


def _short(column: F64) -> list[float]:
    """With the digits that are known."""
    return [float(f"{x:.{DIGITS}g}") for x in column.tolist()]


def _json(body: dict[str, Any]) -> Response:
    """Numbers that are none become null."""
    return Response(msgspec.json.encode(body), media_type="application/json")
