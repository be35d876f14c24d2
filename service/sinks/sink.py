"""The contract of a sink."""

from typing import Protocol

from service.records import Delivery


class Sink(Protocol):
    """Takes what came of records. Called from the pipeline's thread alone.

    After a crash records are read again: the same names come again, and writing one twice must be
    writing it once.
    """

    def deliver(self, delivery: Delivery) -> None:
        """Take one raw batch's outcome; it may be buffered until `flush`."""

    def flush(self, wait: bool = True) -> None:
        """Return when everything delivered is where it belongs, else raise Unavailable; not to
        `wait` is to have it on its way."""

    def close(self) -> None: ...
