"""Views of surprise: the different ways in which an event can be out of the ordinary.

Each is at least 0 and pooled over an event's features (the mean of the three largest). They stand
in groups; `model.tails` makes each comparable with the stream's own past.

    near, middle, far  the newest value against its reconstructions at the three horizons, made
                       while it was hidden, in the spread that the network gave, times by how much
                       the nearest error usually differs from that
    long               perplexity, 1 over the geometric mean of the likelihood that the network gave
                       the values, over half a cycle or so: small errors that persist, and states
                       in which it does not know what comes
    day, week          the distance from what the profiles of day and week say
    jump               how far an event is from those just before it, where a step is several
    rare               how few of the training data's errors, of all streams, were as large
    away               running mean over about 50 steps of the distance from the stream's level: a
                       state that is wrong but steady, which every forecast soon follows
    coarse near, …     the errors at the coarsest resolution, in the stream's own scale and not in
                       the network's spread, which would excuse what it has learnt to expect
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.compiled import compiled, inlined
from model.elementary import exp, log

VIEWS = (
    "near", "middle", "far", "long", "day", "week", "jump", "rare", "away",
    "coarse near", "coarse middle", "coarse far",
)  # fmt: skip
(
    NEAR, MIDDLE, FAR, LONG, DAY, WEEK, JUMP, RARE, AWAY, COARSE_NEAR, COARSE_MIDDLE, COARSE_FAR,
) = range(len(VIEWS))  # fmt: skip
VIEW_COUNT = len(VIEWS)

GROUPS = np.array([0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 7])
"""The group of each view: within one, views are averaged; across them, the loudest counts."""
GROUP_COUNT = 8
LASTING = np.isin(np.arange(VIEW_COUNT), (FAR, COARSE_NEAR, COARSE_MIDDLE, COARSE_FAR))
"""Whether what a view says stands for many events: its errors overlap, or its steps are long."""

POOLED = 3  # features whose mean is the event's surprise
FREEDOM = 4.0  # degrees of freedom of the reconstruction's Student-t
ERROR_LIMIT = 1e6  # in spreads
LARGEST_LOG_PERPLEXITY = 30.0
AWAY_WEIGHT = 1.0 / 25.0
LONG_AFTER = 2.0  # times those: a mean over so long still holds what scales were when guessed

ABSENT, HELD = -1.0, -2.0  # a view that has nothing to say, or nothing new since the last event

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def view_numbers(names: tuple[str, ...]) -> I64:
    """(V,) places in VIEWS."""
    return np.array([VIEWS.index(name) for name in names], np.int64)


class Pools(NamedTuple):
    """What the features of one event say, and the POOLED largest of it in each view.

    said: (VIEW_COUNT, F), errors in spreads where the view is of them, 0 where nothing was said;
    largest: (VIEW_COUNT, POOLED) of the same; level_errors: (POOLED,), for the level; present:
    (VIEW_COUNT,), features that said something.
    errors, widths: (H,) of the feature in hand, in input units; places: (H,), where they waited.
    views: (VIEW_COUNT,), of the event; parts: (F,), in one of them; blamed: (POOLED,) of those.
    """

    said: F64
    largest: F64
    level_errors: F64
    present: I64
    errors: F64
    widths: F64
    places: I64
    views: F64
    parts: F64
    blamed: F64

    @classmethod
    def of(cls, features: int, horizons: int) -> "Pools":
        """Room for what is said of one event."""
        return cls(
            np.zeros((VIEW_COUNT, features)), np.zeros((VIEW_COUNT, POOLED)), np.zeros(POOLED),
            np.zeros(VIEW_COUNT, np.int64), np.zeros(horizons), np.zeros(horizons),
            np.zeros(horizons, np.int64), np.zeros(VIEW_COUNT), np.zeros(features),
            np.zeros(POOLED),
        )  # fmt: skip


@inlined
def empty(pools: Pools) -> None:
    """Before an event nothing is said."""
    pools.said[:] = 0.0
    pools.largest[:] = 0.0
    pools.level_errors[:] = 0.0
    pools.present[:] = 0


@compiled
def directed(error: float, direction: int) -> float:
    """The size of an error that counts: one against the declared direction does not."""
    return max(0.0, direction * error) if direction != 0 else abs(error)


@compiled
def student_odds(error: float) -> float:
    """How many times the density at 0 is that at an error in spreads, to the power 2 / (FREEDOM+1):
    the Student-t's."""
    error = min(error, ERROR_LIMIT)
    return 1.0 + error * error / FREEDOM


@compiled
def error_surprise(error: float) -> float:
    """The Student-t's negative log-likelihood above its least, of an error in spreads."""
    return 0.5 * (FREEDOM + 1.0) * log(student_odds(error))


@inlined
def pool(largest: F64, x: float) -> None:
    """Keep the POOLED largest values of the features, in falling order."""
    for k in range(largest.shape[0]):  # no branch: which way it would go cannot be foreseen
        kept = largest[k]
        largest[k] = max(kept, x)
        x = min(kept, x)


@inlined
def say_one(x: float, view: int, f: int, direction: int, pools: Pools) -> None:
    """One feature's part of a view."""
    pools.said[view, f] = directed(x, direction)
    pool(pools.largest[view], pools.said[view, f])
    pools.present[view] += 1


@inlined
def say(xs: F64, first: int, f: int, direction: int, pools: Pools) -> None:
    """The same of views in a row, from `first`; NaN says nothing."""
    for j in range(xs.shape[0]):
        if not math.isnan(xs[j]):
            say_one(xs[j], first + j, f, direction, pools)


@compiled
def pooled(largest: F64, features: int) -> float:
    """The mean of the largest, of so many features."""
    return float(largest.sum() / min(features, POOLED))


@compiled
def pooled_errors(largest: F64, features: int) -> float:
    """The mean surprise of the largest errors, of so many features."""
    total = 0.0
    for k in range(min(features, POOLED)):
        total += error_surprise(largest[k])
    return total / min(features, POOLED)


@inlined
def fill_views(row: np.void, pools: Pools, persistence: float, cautious: float) -> None:
    """The views of an event, in pools.views; follow what persists.

    persistence: steps. cautious: a stream's first events that cannot prove much.
    """
    present, views = pools.present, pools.views
    views[:] = HELD
    views[DAY:AWAY] = ABSENT
    for v in range(VIEW_COUNT):
        if present[v] > 0 and v <= FAR:
            views[v] = pooled_errors(pools.largest[v], present[v])
        elif present[v] > 0:
            views[v] = pooled(pools.largest[v], present[v])
    if present[LONG] > 0:
        weight = 2.0 / (persistence + 1.0)
        row["longer"] += np.float32(weight * (log(views[LONG]) - row["longer"]))
        row["long"] += np.float32(weight * (row["longer"] - row["long"]))
        known = row["scored"] >= LONG_AFTER * cautious
        views[LONG] = exp(row["long"]) if known else ABSENT
    if present[AWAY] > 0:
        row["away"] += np.float32(AWAY_WEIGHT * (views[AWAY] - row["away"]))
        views[AWAY] = row["away"]
