"""POST /api/v1/reload: the settings, read again."""

from fastapi import APIRouter

from service.api.access import Asking
from service.api.audit import audited
from service.api.problems import ProblemError
from service.api.schemas.detectors import Reloaded
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.errors import SettingsError


def reload_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.post(
        "/reload", status_code=202, responses={code: {"model": Problem} for code in (400, 409)}
    )
    def reload(caller: Asking) -> Reloaded:
        """Read the settings again, as SIGHUP does: the memories are saved, and the service goes on
        from there with what the settings say now. What is wrong with them is said, and changes
        nothing. Who asks meanwhile waits for some seconds; counters of `/metrics` begin at 0."""
        if service.reload is None:
            raise ProblemError(409, "this service was not started by `wakeful serve`")
        try:
            service.reload()
        except SettingsError as error:
            raise ProblemError(400, str(error)) from None
        audited(service, caller, "reload", "settings")
        return Reloaded(status="the memories are being saved")

    return router
