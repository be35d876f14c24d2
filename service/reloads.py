"""That the settings of a running process are to be read again, and what was read."""

import threading
from collections.abc import Callable

from service.errors import SettingsError
from service.settings.tree import Settings


class Reloads:
    """Who asks is heard at any time, also between two services, and what a service goes on with was
    read after the last one asked."""

    def __init__(self, read: Callable[[], Settings] | None) -> None:
        self.read = read
        self._asked: list[None] = []  # one each: a signal may come while a thread asks
        self._heard = 0  # of those, when what follows was read
        self._following: Settings | None = None
        self.turn = 0  # how many services there were before this one
        self._reading = threading.Lock()  # what was read later follows

    def ask(self) -> None:
        """What is read from now on is wanted."""
        self._asked.append(None)

    @property
    def waiting(self) -> bool:
        """Whether somebody asked since what follows, or is there now, was read."""
        return len(self._asked) > self._heard

    def look(self, turn: int, check: Callable[[Settings], None]) -> None:
        """Read what follows; what `check` raises where it cannot be taken. A service whose turn is
        over reads nothing: the next one hears of who asked."""
        if self.read is None:
            raise SettingsError("these settings are not read again")
        with self._reading:
            if turn != self.turn:
                return
            heard, settings = len(self._asked), self.read()
            check(settings)
            self._heard, self._following = heard, settings

    def take(self) -> Settings | None:
        """What follows, once."""
        with self._reading:
            following, self._following = self._following, None
            self.turn += 1
        return following
