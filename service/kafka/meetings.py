"""How a consumer goes through the meetings of its group (rebalances): reading on."""

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.future import Future

GLANCE_SECONDS = 0.02  # that a poll waits for a meeting where there is something to read
ALIVE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Asked for by the client's thread: when it is given, and when it is over."""

    given: Future = field(default_factory=Future)
    over: threading.Event = field(default_factory=threading.Event)


class Meetings:
    """Has a KafkaConsumer's own thread go through each meeting of its group to the end.

    As the client does it, poll() gives nothing until all members have come, which each does at its
    next heartbeat; and a meeting that ends between two polls is begun once more, so that a busy
    member can keep its whole group from ever coming out. Here poll() gives records meanwhile: a
    cooperative group takes nothing away before it has met. What changes who holds what, and calls
    the listener, still happens in the client's thread while poll() waits for it (or close()).
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._meeting: Future | None = None
        self._asked: Turn | None = None
        self._news = threading.Event()  # a turn that is asked for, or the meeting's end
        coordinator = consumer._coordinator
        self._poll_coordinator = coordinator.poll
        self._join = coordinator.ensure_active_group_async
        coordinator.poll = self._poll
        coordinator.ensure_active_group = self._meet
        for name in ("_on_join_prepare_async", "_on_join_complete_async"):
            setattr(coordinator, name, partial(self._in_turn, getattr(coordinator, name)))

    @property
    def meeting(self) -> bool:
        """Whether the group meets: who holds what is not settled."""
        return self._meeting is not None and not self._meeting.is_done

    def ask_as_follower(self) -> None:
        """Have the group meet, unless we lead it: then it has just met."""
        if not self._consumer._coordinator._is_leader:
            self._consumer._coordinator.request_rejoin()

    def close(self) -> None:
        """No other meeting begins, whatever the one comes to that is going on."""
        self._consumer._coordinator.need_rejoin = lambda: False

    def _poll(self, timeout_ms: float | None = None) -> bool:
        """Instead of the coordinator's, which comes before records are fetched."""
        self._give_turn()
        self._take_end()
        ready: bool = self._poll_coordinator(timeout_ms=timeout_ms)
        self._give_turn()
        return ready

    def _meet(self, timeout_ms: float) -> bool:
        """Instead of the coordinator's, while there is a group to be joined: whether records may be
        fetched."""
        self._take_end()
        if self._meeting is None:
            self._meeting = self._consumer._manager.call_soon(self._join, None)
            self._meeting.add_both(lambda _: self._news.set())
        holding = bool(self._consumer.assignment())
        self._news.wait(GLANCE_SECONDS if holding else timeout_ms / 1000)
        self._news.clear()
        self._give_turn()
        ended = self._take_end()
        return ended or holding

    def _take_end(self) -> bool:
        """Whether the meeting is over; raises what went wrong there."""
        if self._meeting is None or not self._meeting.is_done:
            return False
        meeting, self._meeting = self._meeting, None
        if meeting.exception is not None:
            raise meeting.exception
        return True

    async def _in_turn(
        self, change: Callable[..., Awaitable[None]], *args: Any, **options: Any
    ) -> None:
        """In the client's thread: wait for a poll, which then waits for us."""
        turn = Turn()
        self._asked = turn
        self._news.set()
        await turn.given
        try:
            await change(*args, **options)
        finally:
            turn.over.set()

    def _give_turn(self) -> None:
        turn = self._asked
        if turn is None:
            return
        self._asked = None  # it asks for no other one before this one is over
        self._consumer._manager.call_soon(turn.given.success, None)
        while not turn.over.wait(ALIVE_SECONDS):  # what is called saves memories: it takes its time
            if self._consumer._net._exception is not None:
                raise KafkaConnectionError("the client's thread ended")
