"""How partitions are spread over a group: cooperatively, and nobody claims what is not theirs."""

from collections.abc import Callable, Iterable
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor


class Assignor(CooperativeStickyAssignor):  # type: ignore[misc]
    """The client's own, which goes on claiming its partitions after the group has left it behind:
    then their new owner and this one would both be believed. `member` is who we are in the group;
    who is nobody there claims nothing.

    Each says who it is, too: a broker has a group meet where what a member says is something else
    than before (see `KafkaSource`)."""

    def __init__(self, member: Callable[[], str]) -> None:
        super().__init__()
        self._member = member

    def metadata(self, topics: Iterable[str]) -> Any:
        member = self._member()
        if not member:
            self.member_assignment = None
        told = super().metadata(topics)
        told.user_data = member.encode()
        return told
