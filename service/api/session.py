"""/api/v1/session: the page's key, in a cookie that no script can read."""

from fastapi import APIRouter, Request, Response

from service.api.access import COOKIE, Asking, is_foreign
from service.api.problems import ProblemError
from service.api.schemas.access import Login, Who
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.keys import Key

SECONDS = 12 * 3600


def login_router(service: Service) -> APIRouter:
    """What somebody without a key may ask for."""
    router = APIRouter(tags=["session"])

    @router.post("/session", responses={code: {"model": Problem} for code in (401, 403)})
    def login(request: Request, response: Response, login: Login) -> Who:
        """Show a key once: for twelve hours at most the browser then shows it by itself, to this
        service's own page alone. It is in a cookie, which scripts cannot read and other sites'
        pages cannot send; a key that is revoked ends it."""
        if is_foreign(request):
            raise ProblemError(403, "not from another site")
        key = service.keys.find(login.key)
        if key is None:
            raise ProblemError(401, "this is no key, or none that still counts")
        response.set_cookie(
            COOKIE, login.key, SECONDS, httponly=True, samesite="strict",
            secure=request.url.scheme == "https",
        )  # fmt: skip
        return _who(key)

    @router.delete("/session", status_code=204)
    def logout(response: Response) -> None:
        """Have the browser forget the key."""
        response.delete_cookie(COOKIE)

    return router


def session_router(_: Service) -> APIRouter:
    router = APIRouter(tags=["session"])

    @router.get("/session", responses={401: {"model": Problem}, 403: {"model": Problem}})
    def get_session(caller: Asking) -> Who:
        """Who asks, and what the key may do."""
        return _who(caller.key)

    return router


def _who(key: Key) -> Who:
    return Who(id=key.id, name=key.name, role=key.role, detector=key.detector, prefix=key.prefix)
