"""POST /api/v1/streams/{id}/feedback: what was no anomaly, and what was missed."""

import asyncio
import math
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from model.feedback import Said, eased, easing_of, tolerance_of
from service.api.access import Asking
from service.api.audit import audited
from service.api.elsewhere import Elsewhere
from service.api.paging import Limit, as_stored, cursor_of, number_of, time_of
from service.api.problems import ProblemError
from service.api.questions import ask, ask_in_thread, find_detector, unknown
from service.api.schemas.feedback import Feedback, FeedbackBody, FeedbackPage
from service.api.schemas.problem import Problem
from service.api.streams import memory_of
from service.bootstrap import Service
from service.clock import now, parse_time
from service.errors import Unavailable
from service.sinks.history import MOST_SAID

LEAST_MISSED = 0.25  # score
MOST_POINTS = 5000  # of a stream's past, in which a missed event is looked for


def feedback_router(service: Service) -> APIRouter:
    router = APIRouter(tags=["feedback"])
    elsewhere = Elsewhere(service)
    in_turn = asyncio.Lock()  # a memory follows all that was said before it

    @router.post(
        "/streams/{stream:path}/feedback",
        responses={code: {"model": Problem} for code in (400, 404, 503)},
    )
    async def say(
        request: Request,
        stream: str,
        feedback: Feedback,
        caller: Asking,
        detector: str | None = None,
    ) -> FeedbackBody:
        """`false`: from now on an event of this stream alarms by itself only with more than twice
        the score of the episode that was marked; the third anomalous event alarms as before, where
        each followed the one before it within 200 events. `missed`: the stream's threshold is
        lowered so that the same event would pass it. Saved before the answer, and reversible."""
        name = find_detector(service, detector).name
        known = await ask(service, lambda: memory_of(service, name, stream))
        if known is None:
            given = feedback.model_dump_json().encode()
            body = await run_in_threadpool(
                elsewhere.find, request, stream, given, detector=detector
            )
            if body is None:
                raise unknown(service, name, stream)
            return FeedbackBody.model_validate(body)
        async with in_turn:
            score, time = await run_in_threadpool(_event_of, service, name, stream, feedback)
            said = {
                "detector": name, "stream": stream, "kind": feedback.kind, "score": score,
                "episode": feedback.episode, "time": time, "said": now(),
            }  # fmt: skip
            body = await run_in_threadpool(service.feedback.say, said)
            of = f"{name} {stream}"
            await run_in_threadpool(audited, service, caller, "feedback", of, None, body)
            await _follow(service, name, stream)
        return FeedbackBody.model_validate(body)

    @router.delete(
        "/streams/{stream:path}/feedback/{number}",
        responses={code: {"model": Problem} for code in (400, 404, 503)},
    )
    async def take_back(
        request: Request, stream: str, number: str, caller: Asking, detector: str | None = None
    ) -> FeedbackBody:
        """Take feedback back: the stream is as if it had never been given."""
        name = find_detector(service, detector).name
        known = await ask(service, lambda: memory_of(service, name, stream))
        if known is None:
            body = await run_in_threadpool(elsewhere.find, request, stream, detector=detector)
            if body is None:
                raise unknown(service, name, stream)
            return FeedbackBody.model_validate(body)
        async with in_turn:
            wanted = number_of(number) or 0
            body = await run_in_threadpool(service.feedback.undo, name, stream, wanted)
            if body is None:
                raise ProblemError(404, f"stream {stream!r} has no feedback {number!r}")
            of = f"{name} {stream}"
            await run_in_threadpool(audited, service, caller, "feedback taken back", of, body, None)
            await _follow(service, name, stream)
        return FeedbackBody.model_validate(body)

    @router.get("/feedback", responses={400: {"model": Problem}})
    def list_feedback(
        caller: Asking,
        stream: str | None = None,
        detector: str | None = None,
        cursor: str | None = None,
        limit: Limit = 100,
    ) -> FeedbackPage:
        """What was said, the newest first, also what was taken back."""
        items, following = service.feedback.listed(
            caller.detector(detector), stream, number_of(cursor), limit, caller.key.prefix
        )
        return FeedbackPage.model_validate({"items": items, "next_cursor": cursor_of(following)})

    return router


def _event_of(service: Service, name: str, stream: str, feedback: Feedback) -> tuple[float, float]:
    """Score and time of the event that feedback is about, as it would be had nothing been said."""
    if feedback.kind == "false":
        return _peak_of(service, name, stream, feedback.episode)
    start = time_of("time", feedback.time)
    if start is None:
        raise ProblemError(400, "time: say when the anomaly that was missed was")
    end = start + feedback.seconds
    curves = service.curves.curves(name, stream, start, end, MOST_POINTS)
    if curves is None:
        raise ProblemError(404, f"no event of {stream!r} is kept from that time")
    loudest = int(curves.scores.argmax())
    if curves.scores[loudest] < LEAST_MISSED:
        raise ProblemError(
            400,
            f"the highest score of {stream!r} in that time is {curves.scores[loudest]:.2f}, of a "
            f"threshold of 1: below {LEAST_MISSED} there is nothing that a threshold could tell "
            "from what is normal",
        )
    time = float(curves.times[loudest])
    # It was scored as it came: by what had been said until then, and not by what was said of it.
    return float(curves.scores[loudest]) * _factor(service, name, stream, time), time


def _peak_of(service: Service, name: str, stream: str, episode: str | None) -> tuple[float, float]:
    if episode is None:
        raise ProblemError(400, "episode: say which one was no anomaly")
    history = service.history
    body = history.episode(episode) or history.episode(as_stored(episode))
    if body is None or (body["detector"], body["stream"]) != (name, stream):
        raise ProblemError(404, f"stream {stream!r} has no episode {episode!r}")
    return body["score"] * _factor_then(service, name, stream, body), parse_time(body["start"])


def _factor_then(service: Service, name: str, stream: str, episode: dict[str, Any]) -> float:
    """What the stream's threshold was multiplied with at an episode's peak: told by the threshold
    then, beside what it would be now."""
    peak = service.history.anomaly(episode["peak"])
    known = ask_in_thread(service, lambda: memory_of(service, name, stream))
    if peak is None or known is None:
        return 1.0
    unaided = known[1]["threshold"] ** (1.0 / _factor(service, name, stream))
    return eased(easing_of(unaided, peak["threshold"]))


def _factor(service: Service, name: str, stream: str, until: float = math.inf) -> float:
    """What the stream's threshold is multiplied with, by what was said until then."""
    return eased(tolerance_of(_said(service, name, stream, until)))


def _said(service: Service, name: str, stream: str, until: float = math.inf) -> list[Said]:
    """All that counts of what was said until then (Unix seconds), the oldest first."""
    items, _ = service.feedback.listed(name, stream, None, MOST_SAID)
    return [
        Said(one["kind"], one["score"])
        for one in reversed(items)
        if not one["undone"] and parse_time(one["said"]) <= until
    ]


async def _follow(service: Service, name: str, stream: str) -> None:
    """Let the stream's memory be as what was said has it."""
    said: list[Said] = await run_in_threadpool(_said, service, name, stream)
    tolerance = tolerance_of(said)

    try:
        here = await ask(service, lambda: service.pipeline.tolerate(name, stream, tolerance))
    except Unavailable as error:
        raise ProblemError(503, f"noted, not saved yet: {error}; say it again") from None
    if not here:
        raise ProblemError(503, "noted, but the stream has just moved elsewhere; say it again")
