"""The smallest change of an event that would have made it a normal one.

A counterfactual explanation (Wachter, Mittelstadt and Russell 2018, Harvard Journal of Law and
Technology 31(2)): the nearest event that is judged otherwise, all else equal. One feature is
changed where that is enough; else the most blamed ones together, each by the same part of its way
to what was expected of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STEPS = 64  # of the way to what was expected, that are looked at
ROUNDS = 3  # in each of which an edge is found STEPS times finer
FURTHEST = 20  # doublings of that way: what is normal so far off is normal however far
MOST_CHANGED = 8  # features together

F64 = npt.NDArray[np.float64]
Normal = Callable[[F64], npt.NDArray[np.bool_]]
Scores = Callable[[F64], F64]
"""From events (n, F) to their scores (n,)."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One feature's part of a change: the nearest value of a normal event, and from where to where
    it would be normal; infinite where there is no end, NaN where several features are changed."""

    place: int
    value: float
    low: float
    high: float


def nearest_normal(
    event: F64, expected: F64, reach: F64, blamed: list[int], scores: Scores
) -> list[Changed]:
    """The change; empty where there is none. event: (F,), one with a score of 1 or more; expected,
    reach: (F,), what was expected and how far from it is normal, NaN where nothing was. blamed:
    places of features, the one to blame most first."""
    known = [f for f in blamed if np.isfinite(event[f] + expected[f] + reach[f])][:MOST_CHANGED]
    if not known:
        return []
    one = _of_one(event, expected, reach, known[0], scores)
    if one is not None:
        return [one]
    for many in range(2, len(known) + 1):
        if (moved := _of_several(event, expected, known[:many], scores)) is not None:
            return [Changed(f, float(moved[f]), np.nan, np.nan) for f in known[:many]]
    return []


def _of_one(event: F64, expected: F64, reach: F64, f: int, scores: Scores) -> Changed | None:
    """By one feature alone, in either direction."""
    came = event[f]
    span = max(abs(came - expected[f]), reach[f])

    def normal(values: F64) -> npt.NDArray[np.bool_]:
        events = np.repeat(event[None], len(values), axis=0)
        events[:, f] = values
        return scores(events) < 1.0

    looked = came + span * np.linspace(-2.0, 2.0, 4 * STEPS + 1)
    looked = np.sort(np.r_[looked, expected[f]])
    fine = np.flatnonzero(normal(looked))
    if len(fine) == 0:
        return None
    start = looked[fine[np.argmin(np.abs(looked[fine] - came))]]
    low = _edge(start, -span, looked, normal)
    high = _edge(start, span, looked, normal)
    return Changed(f, low if came < low else high, low, high)


def _edge(start: float, span: float, looked: F64, normal: Normal) -> float:
    """The last normal value from `start` on in the direction of `span`."""
    ahead = looked[looked > start] if span > 0.0 else looked[looked < start][::-1]
    far = start + 2.0 * span * np.exp2(np.arange(FURTHEST))
    way = np.r_[start, ahead, far[np.sign(span) * (far - [start, *ahead][-1]) > 0.0]]
    wrong = np.flatnonzero(~normal(way))
    if len(wrong) == 0:
        return float(np.copysign(np.inf, span))
    return _between(way[wrong[0] - 1], way[wrong[0]], normal)


def _between(inside: float, outside: float, normal: Normal) -> float:
    """The last normal value on the way from one that is normal to one that is not."""
    for _ in range(ROUNDS):
        way = np.linspace(inside, outside, STEPS + 1)
        wrong = np.flatnonzero(~normal(way[1:-1]))
        last = wrong[0] if len(wrong) else STEPS - 1
        inside, outside = way[last], way[last + 1]
    return float(inside)


def _of_several(event: F64, expected: F64, changed: list[int], scores: Scores) -> F64 | None:
    """(F,), the event with some features as little nearer to what was expected as will do."""
    way = np.zeros_like(event)
    way[changed] = expected[changed] - event[changed]

    def normal(parts: F64) -> npt.NDArray[np.bool_]:
        return scores(event + parts[:, None] * way) < 1.0

    parts = np.linspace(1.0, 0.0, STEPS + 1)
    fine = np.flatnonzero(normal(parts))
    if len(fine) == 0:
        return None
    least = parts[fine[-1]]
    return event + _between(least, parts[fine[-1] + 1], normal) * way
