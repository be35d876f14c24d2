"""Mutes: whose anomalies alarm nobody, and when.

A mute counts by event time: what is read late, or read again, comes out the same. It changes no
score and nothing that memories learn of values, see `model.suppression`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.errors import Unavailable
from service.records import Names
from service.telemetry.logging import log

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
Every = Literal["day", "week"]

PERIODS: dict[Every, float] = {"day": 86_400.0, "week": 604_800.0}
WILD = {"*": ".*", "?": "."}


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


def expression(pattern: str) -> re.Pattern[str]:
    """Of names: `*` stands for any characters, `?` for one."""
    return re.compile("".join(WILD.get(c) or re.escape(c) for c in pattern), re.DOTALL)


class Mutes:
    """Those that count, as they were when they were last read. Belongs to the pipeline's thread."""

    def __init__(self, read: Callable[[], Iterable[Mapping[str, Any]]] = tuple) -> None:
        self._read = read
        self._mutes: tuple[Mute, ...] = ()

    def reload(self) -> None:
        """Read them again: right behind a checkpoint, so that what is read again after a crash
        meets the mutes that it met before. Where they cannot be read they stay as they are."""
        try:
            self._mutes = tuple(map(Mute.of, self._read()))
        except Unavailable as error:
            log.warning("mutes cannot be read, they stay as they are", error=str(error))

    def of(
        self, detector: str, streams: Names, times: F64, features: tuple[str, ...]
    ) -> Bools | None:
        """(n, F): which values of n events raise no alarm; None where there is no such value."""
        mutes = [mute for mute in self._mutes if mute.detector in (None, detector)]
        if not mutes:
            return None
        names: list[str] = []
        muted = np.zeros((len(times), len(features)), np.bool_)
        for mute in mutes:
            now = mute.at(times)
            if now.any():
                names = names or list(streams)
                theirs = {name for name in set(names) if mute.names.fullmatch(name)}
                now &= np.array([name in theirs for name in names])
                which = np.array([not mute.features or name in mute.features for name in features])
                muted |= now[:, None] & which
        return muted
