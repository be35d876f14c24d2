"""Everything that can go wrong, as a small tree.

    WakefulError
    ├── SettingsError      the configuration is wrong: say where, exit 2
    ├── RecordRejected     one record is bad: count it, keep it in the dead letters, go on
    ├── Unavailable        a dependency is away: say so, try again
    │   └── Unsaved        what was asked for is done, and is saved once it is back
    ├── Unsettled          what was written may count or not: take the memories from the store again
    └── StateError         the stored memories cannot be used: stop, nothing is overwritten

Anything else that reaches the loop is a broken invariant: the process stops, and the next start
goes on from the last checkpoint.
"""


class WakefulError(Exception):
    """Base of the service's errors; the message says what happened, where, and what to do."""


class SettingsError(WakefulError):
    """A setting is missing, of the wrong type, or does not fit another one."""


class RecordRejected(WakefulError):
    """One record cannot be scored. `reason` is one of `service.records.REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Unavailable(WakefulError):
    """A dependency does not answer now."""


class Unsaved(Unavailable):
    """A memory was changed, and cannot be saved now: the next checkpoint saves it."""


class Unsettled(WakefulError):
    """Whether the last transaction counts cannot be known from here."""


class StateError(WakefulError):
    """Stored memories are damaged or belong to another artifact or format."""
