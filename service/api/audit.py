"""Who changed what: every change that a person or a program makes through the API."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from service.api.access import Caller
from service.api.paging import Limit, cursor_of, number_of
from service.api.schemas.access import AuditPage
from service.api.schemas.problem import Problem
from service.bootstrap import Service
from service.clock import now
from service.errors import Unavailable
from service.telemetry.logging import log

Body = Mapping[str, Any] | None


def audit_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["audit"])

    @router.get("/audit", responses={code: {"model": Problem} for code in (400, 401, 403, 503)})
    def list_audit(cursor: str | None = None, limit: Limit = 100) -> AuditPage:
        """Changes, the newest first: who made them, of what, and how it was before and after.
        Events are no changes."""
        items, following = service.audit.listed(number_of(cursor), limit)
        return AuditPage.model_validate({"items": items, "next_cursor": cursor_of(following)})

    return router


def audited(
    service: Service, caller: Caller, what: str, of: str, before: Body = None, after: Body = None
) -> None:
    """Note a change that was made: in the log always, and in the history where it answers."""
    who = f"{caller.key.id} {caller.key.name}"
    told = {"who": who, "what": what, "of": of, "before": before, "after": after}
    log.info("audit", **told)
    try:
        service.audit.note({**told, "time": now()})
    except Unavailable as error:
        log.warning("the change stands in this log alone", error=str(error))
