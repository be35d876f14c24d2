"""How a consumer goes through the meetings of its group (rebalances): reading on."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from kafka.future import Future

GLANCE_SECONDS = 0.005  # that a poll waits for a meeting where there is something to read
ALIVE_SECONDS = 1.0


class Meetings:
    """Has a KafkaConsumer's own thread go through each meeting of its group to the end.

    As the client does it, poll() gives nothing until all members have come, which each does at its
    next heartbeat; and a meeting that ends between two polls is begun once more, so that a busy
    member can keep its whole group from ever coming out. Here poll() gives records meanwhile: a
    cooperative group takes nothing away before it has met. What changes who holds what, and calls
    the listener, still happens in the client's thread while poll() waits for it.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._meeting: Future | None = None
        self._turn: Future | None = None
        self._over = threading.Event()  # that turn
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

    def _poll(self, timeout_ms: float | None = None) -> bool:
        """Instead of the coordinator's, which comes before records are fetched."""
        self._give_turn()
        ready: bool = self._poll_coordinator(timeout_ms=timeout_ms)
        self._give_turn()
        return ready

    def _meet(self, timeout_ms: float | None = None) -> bool:
        """Instead of the coordinator's, while there is a group to be joined: whether records may be
        fetched."""
        if self._meeting is None:
            self._meeting = self._consumer._manager.call_soon(self._join, None)
            self._meeting.add_callback(self._end)
            self._meeting.add_errback(self._end)
        holding = bool(self._consumer.assignment())
        self._news.wait(GLANCE_SECONDS if holding or timeout_ms is None else timeout_ms / 1000)
        self._news.clear()
        self._give_turn()
        if not self._meeting.is_done:
            return holding
        meeting, self._meeting = self._meeting, None
        if meeting.exception is not None:
            raise meeting.exception
        return True

    def _end(self, _: object) -> None:
        self._news.set()

    async def _in_turn(
        self, change: Callable[..., Awaitable[None]], *args: Any, **options: Any
    ) -> None:
        """In the client's thread: wait for a poll, which then waits for us."""
        turn = Future()
        self._over.clear()
        self._turn = turn
        self._news.set()
        await turn
        try:
            await change(*args, **options)
        finally:
            self._over.set()

    def _give_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            self._consumer._manager.call_soon(turn.success, None)
            while not self._over.wait(ALIVE_SECONDS) and self.meeting:
                """What is called saves memories; that takes its time."""
