"""Mutes: whose anomalies alarm nobody, and when.

A mute counts by event time: what is read late, or read again, comes out the same. It changes no
score and nothing that memories learn of values, see `model.suppression`. An instance that was not
itself asked to mute, and shares the database with one that was, follows with its next checkpoint:
should it crash before, what it reads again meets the mute, as what comes after does.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.errors import Unavailable
from service.patterns import expression
from service.records import Names
from service.telemetry.logging import log

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
Every = Literal["day", "week"]

MOST_REMEMBERED = 100_000  # streams
PERIODS: dict[Every, float] = {"day": 86_400.0, "week": 604_800.0}


@dataclass(frozen=True, slots=True)
class Mute:
    """One mute.

    detector: whose, None for any; names: of which streams. features: which values, empty for all.
    start, end: from when until before when, Unix seconds, either may be infinite; every: whether
    that comes again, and then both are finite.
    """

    detector: str | None
    names: re.Pattern[str]
    features: frozenset[str]
    start: float
    end: float
    every: Every | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Mute":
        """As it is stored."""
        stream, pattern = row["stream"], row["pattern"] or "*"
        return cls(
            row["detector"],
            expression(pattern) if stream is None else re.compile(re.escape(stream)),
            frozenset(row["features"]),
            -math.inf if row["start"] is None else row["start"],
            math.inf if row["end"] is None else row["end"],
            row["every"],
        )

    def at(self, times: F64) -> Bools:
        """(n,): whether it counts at these times."""
        begun = times >= self.start
        if self.every is None:
            return begun & (times < self.end)
        return begun & (np.mod(times - self.start, PERIODS[self.every]) < self.end - self.start)


class Mutes:
    """Those that count, as they were when they were last read. Belongs to the pipeline's thread."""

    def __init__(self, read: Callable[[], Iterable[Mapping[str, Any]]] = tuple) -> None:
        self._read = read
        self._mutes: tuple[Mute, ...] = ()
        self._of: dict[str, tuple[int, ...]] = {}

    def load(self) -> None:
        """Read them; Unavailable where the database is."""
        self._mutes, self._of = tuple(map(Mute.of, self._read())), {}

    def reload(self) -> None:
        """Read them again: right behind a checkpoint, so that what is read again after a crash
        meets the mutes that it met before. Where they cannot be read they stay as they are."""
        try:
            self.load()
        except Unavailable as error:
            log.warning("mutes cannot be read, they stay as they are", error=str(error))

    def of(
        self, detector: str, streams: Names, times: F64, features: tuple[str, ...]
    ) -> Bools | None:
        """(n, F): which values of n events raise no alarm; None where there is no such value."""
        theirs = [k for k, mute in enumerate(self._mutes) if mute.detector in (None, detector)]
        now = {k: at for k in theirs if (at := self._mutes[k].at(times)).any()}
        if not now:
            return None
        whose = [self._whose(name) for name in streams]
        muted = np.zeros((len(times), len(features)), np.bool_)
        for k, at in now.items():
            hit = at & np.array([k in some for some in whose])
            only = self._mutes[k].features
            muted |= hit[:, None] & np.array([not only or name in only for name in features])
        return muted

    def _whose(self, stream: str) -> tuple[int, ...]:
        """Which mutes are of a stream: patterns are slow, and streams come again."""
        known = self._of.get(stream)
        if known is None:
            if len(self._of) >= MOST_REMEMBERED:
                self._of = {}
            known = tuple(k for k, mute in enumerate(self._mutes) if mute.names.fullmatch(stream))
            self._of[stream] = known
        return known
