"""/api/v1/notifications: what receivers were told, are to be told, and could not be."""

from typing import Literal

from fastapi import APIRouter

from service.api.access import Asking
from service.api.audit import audited
from service.api.paging import Limit, cursor_of, number_of
from service.api.problems import ProblemError
from service.api.schemas.episodes import Notification, NotificationPage
from service.api.schemas.problem import Problem
from service.bootstrap import Service


def notifications_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["notifications"])
    outbox = service.outbox

    @router.get("/notifications", responses={400: {"model": Problem}, 403: {"model": Problem}})
    def list_notifications(
        caller: Asking,
        target: str | None = None,
        state: Literal["waiting", "sent", "dead"] | None = None,
        cursor: str | None = None,
        limit: Limit = 100,
    ) -> NotificationPage:
        """The newest first; a `dead` one was refused, or not taken for a day. Kept for
        `history.max_days`."""
        key = caller.key
        items, following = outbox.listed(
            target, state, number_of(cursor), limit, key.detector, key.prefix
        )
        body = {"items": items, "next_cursor": cursor_of(following)}
        return NotificationPage.model_validate(body)

    @router.post(
        "/notifications/{number}/again",
        responses={404: {"model": Problem}, 403: {"model": Problem}},
    )
    def send_again(number: str, caller: Asking) -> Notification:
        """Tell it once more."""
        body = outbox.again(number_of(number) or 0, caller.sees)
        if body is None:
            raise ProblemError(404, f"no notification {number!r} that was sent, or is dead")
        audited(service, caller, "notification sent again", number, None, body)
        return Notification.model_validate(body)

    return router
