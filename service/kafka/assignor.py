"""How partitions are spread over a group: cooperatively, and nobody claims what is not theirs."""

from collections.abc import Callable, Iterable
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor


class Assignor(CooperativeStickyAssignor):  # type: ignore[misc]
    """The client's own, which goes on claiming its partitions after the group has left it behind:
    then their new owner and this one would both be believed. `present` says whether it is in the
    group; who is not claims nothing."""

    def __init__(self, present: Callable[[], bool]) -> None:
        super().__init__()
        self._present = present

    def metadata(self, topics: Iterable[str]) -> Any:
        if not self._present():
            self.member_assignment = None
        return super().metadata(topics)
