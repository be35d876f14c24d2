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

import numpy as np
import numpy.typing as npt

from model.compiled import compiled

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


@compiled
def directed(error: float, direction: int) -> float:
    """The size of an error that counts: one against the declared direction does not."""
    return max(0.0, direction * error) if direction != 0 else abs(error)


@compiled
def error_surprise(error: float) -> float:
    """The Student-t's negative log-likelihood above its least, of an error in spreads."""
    error = min(error, ERROR_LIMIT)
    return 0.5 * (FREEDOM + 1.0) * math.log1p(error * error / FREEDOM)


@compiled
def pool(largest: F64, x: float) -> None:
    """Keep the POOLED largest values of the features, in falling order."""
    for k in range(largest.shape[0]):
        if x > largest[k]:
            x, largest[k] = largest[k], x


@compiled
def pooled(largest: F64, features: int) -> float:
    """The mean of the largest, of so many features."""
    return float(largest.sum() / min(features, POOLED))


@compiled
def fill_views(
    row: np.void, largest: F64, present: I64, persistence: float, cautious: float, views: F64
) -> None:
    """Pool the features and follow what persists.

    largest: (VIEW_COUNT, POOLED); present: (VIEW_COUNT,), features that said something; views:
    (VIEW_COUNT,), whose ABSENT and HELD stand where none did. cautious: a stream's first events
    that cannot prove much.
    """
    for v in range(VIEW_COUNT):
        if present[v] > 0:
            views[v] = pooled(largest[v], present[v])
    if present[LONG] > 0:
        weight = 2.0 / (persistence + 1.0)
        row["longer"] += np.float32(weight * (math.log(views[LONG]) - row["longer"]))
        row["long"] += np.float32(weight * (row["longer"] - row["long"]))
        known = row["scored"] >= LONG_AFTER * cautious
        views[LONG] = math.exp(row["long"]) if known else ABSENT
    if present[AWAY] > 0:
        row["away"] += np.float32(AWAY_WEIGHT * (views[AWAY] - row["away"]))
        views[AWAY] = row["away"]
