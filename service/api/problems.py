"""Errors as RFC 9457 problem details."""

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import SettingsError, Unavailable, Unsettled, WakefulError
from service.telemetry.logging import log

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 1


class ProblemError(Exception):
    """Raise it from a route; `more` are further members of the problem, and after `retry_seconds`
    it may be asked again what is not to be had now."""

    def __init__(
        self,
        status: int,
        detail: str,
        more: Mapping[str, Any] | None = None,
        retry_seconds: int = RETRY_SECONDS,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = dict(more or {})
        self.retry_seconds = retry_seconds


def problem(
    status: int,
    detail: str,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse({**body, **(more or {})}, status, headers, CONTENT_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the app a problem."""

    @app.exception_handler(ProblemError)
    async def _problem(_: Request, error: ProblemError) -> JSONResponse:
        later = _later(error.status, error.retry_seconds)
        return problem(error.status, error.detail, error.more, later)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        details = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        return problem(422, details)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        this = uuid.uuid4().urn
        asked = f"{request.method} {request.url.path}"
        log.error(
            "a request failed", request=asked, instance=this, error=str(error), exc_info=error
        )
        detail = "an error of the service itself; its log says more, under this problem's instance"
        return problem(500, detail, {"instance": this})

    @app.exception_handler(SettingsError)
    async def _unusable(_: Request, error: SettingsError) -> JSONResponse:
        log.error("a file of the settings cannot be used", error=str(error))
        return problem(503, "a file of the settings cannot be used; the log says more")

    @app.exception_handler(Unsettled)
    @app.exception_handler(Unavailable)
    async def _unavailable(_: Request, error: WakefulError) -> JSONResponse:
        return problem(503, str(error), headers=_later(503))


def _later(status: int, seconds: int = RETRY_SECONDS) -> dict[str, str]:
    """When to ask again, of what is not to be had now."""
    return {"Retry-After": str(seconds)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
