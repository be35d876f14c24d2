"""GET /api/v1/heatmap: what many streams were like."""

import math
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response

from service.api.access import Asking
from service.api.paging import End, Start, time_of
from service.api.problems import ProblemError
from service.api.questions import find_detector
from service.api.schemas.curves import Heatmap
from service.api.schemas.problem import Problem
from service.api.scores import F64, json_of
from service.bootstrap import Service

MOST_ROWS = 50
HOUR_SECONDS = 3600.0


def heatmap_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["streams"])

    @router.get(
        "/heatmap",
        response_model=Heatmap,
        responses={code: {"model": Problem} for code in (400, 403, 404)},
    )
    def get_heatmap(
        caller: Asking,
        stream: Annotated[list[str], Query(max_length=MOST_ROWS, description="One or more.")],
        detector: str | None = None,
        start: Start = None,
        end: End = None,
        columns: Annotated[int, Query(ge=1, le=500)] = 60,
    ) -> Response:
        """The highest score of streams in each of so many equal spans; of the newest hour where no
        time is given. Of the streams that this instance watches."""
        name = find_detector(service, caller.detector(detector)).name
        for one in stream:
            caller.require(name, one)
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
        return json_of({"start": since, "end": until, "columns": columns, "rows": rows})

    return router


def _told_of(cells: F64) -> list[float | None]:
    return [None if np.isnan(score) else round(score, 3) for score in cells.tolist()]
