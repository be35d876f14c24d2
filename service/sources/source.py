"""The contract of a source."""

from collections.abc import Sequence
from typing import Protocol

from service.memory.store import Positions
from service.records import RawBatch


class Source(Protocol):
    """Where records come from, in offset order for each partition.

    Called from the pipeline's thread alone, but for `wake`.
    """

    def start(self, positions: Positions) -> None:
        """Begin reading, each partition at its position; one without a position at its start.

        Positions come from the state store: they are what the memories are current to.
        """

    def poll(self, timeout_seconds: float) -> list[RawBatch]:
        """The next records, or nothing when none came in time or `wake` was called."""

    def wake(self) -> None:
        """End a waiting `poll` soon; from any thread."""

    def commit(self, positions: Positions) -> None:
        """The memories up to these positions are saved: the source may forget the records."""

    missing_topics: Sequence[str]
    """What it is to read and what is not there."""

    @property
    def waiting_for(self) -> str | None:
        """What keeps it from being read yet, in words."""

    def lag(self) -> int:
        """Records that wait to be read, as far as is known."""

    @property
    def finished(self) -> bool:
        """Whether no record will ever come again."""

    def close(self) -> None: ...
