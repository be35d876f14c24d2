"""A group's meetings, turn by turn: with a client that does what it is told, when it is told."""

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.future import Future

from service.kafka import meetings as module
from service.kafka.meetings import Meetings


class Client:
    """A consumer whose own thread runs when something is called there; `joined` is the meeting."""

    def __init__(self) -> None:
        self.joined = Future()
        self.polls = 0
        self.holding: set[int] = {0}
        self.then: Callable[[], None] = lambda: None
        self._net = SimpleNamespace(_exception=None)
        self._manager = SimpleNamespace(call_soon=self.call_soon)
        self._coordinator = SimpleNamespace(
            poll=self.poll,
            ensure_active_group_async=None,
            need_rejoin=lambda: True,
            _on_join_prepare_async=self.change,
            _on_join_complete_async=self.change,
        )

    def assignment(self) -> set[int]:
        return self.holding

    def call_soon(self, call: Callable[..., object] | None, *arguments: object) -> Future:
        if call is None:
            return self.joined
        call(*arguments)
        self.then()
        return Future()

    def poll(self, timeout_ms: float | None = None) -> bool:
        self.polls += 1
        return bool(self._coordinator.ensure_active_group(timeout_ms=timeout_ms))

    async def change(self) -> None:
        """What changes who holds what."""


def begin(turn: Coroutine[Any, Any, None]) -> None:
    """Run until it waits for its turn."""
    turn.send(None)


def finish(turn: Coroutine[Any, Any, None]) -> None:
    with pytest.raises(StopIteration):
        turn.send(None)


def test_a_turn_that_follows_at_once_is_no_reason_to_wait_for_the_one_before() -> None:
    """The client's thread may be through with one, and ask for another, before who polls looks."""
    client = Client()
    meetings = Meetings(client)
    first = client._coordinator._on_join_prepare_async()
    second = client._coordinator._on_join_complete_async()
    begin(first)

    def then() -> None:
        client.then = lambda: None
        finish(first)
        begin(second)

    client.then = then
    meetings._give_turn()  # returns
    client.then = lambda: finish(second)
    meetings._give_turn()


def test_records_are_read_while_the_group_meets() -> None:
    client = Client()
    meetings = Meetings(client)
    assert client._coordinator.poll(100) is True
    assert meetings.meeting
    client.holding = set()
    assert client._coordinator.poll(0) is False  # there is nothing to read
    client.joined.success(True)
    assert not meetings.meeting
    client.joined = Future()
    assert client._coordinator.poll(0) is False  # another one begins at once
    assert meetings.meeting


def test_what_goes_wrong_in_a_meeting_is_raised_by_the_next_poll() -> None:
    client = Client()
    Meetings(client)
    client._coordinator.poll(0)
    client.joined.failure(KafkaError("refused"))
    with pytest.raises(KafkaError, match="refused"):
        client._coordinator.poll(0)
    assert client.polls == 1


def test_a_client_that_ended_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ALIVE_SECONDS", 0.01)
    client = Client()
    Meetings(client)
    turn = client._coordinator._on_join_complete_async()
    begin(turn)
    client._net._exception = RuntimeError("out of memory")
    with pytest.raises(KafkaConnectionError):
        client._coordinator.poll(0)
    turn.close()


def test_after_the_end_no_other_meeting_begins() -> None:
    client = Client()
    Meetings(client).close()
    assert client._coordinator.need_rejoin() is False
