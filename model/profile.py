"""What a feature does at a time of day and of week, learnt as it comes.

A profile has a value for each half hour of the day and each hour of the week, kept as a signed
16-bit code: asinh of the distance from an anchor, in units fixed when the profile begins. That
is exact to 0.1 % of the distance and reaches six million units, in 432 bytes a feature.

A profile that foretells a stream no better than its level does is retired: it is still learnt, and
counts again once it is better.
"""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.row import DAY_BINS, PROFILE_BINS, WEEK_BINS

DAY, WEEK = 86400.0, 604800.0
EMPTY = 0  # a bin that nothing fell into; codes are never 0
PRECISION = 2000.0  # codes in one unit of asinh
LARGEST_CODE = 32767
GOLDEN = 0.6180339887498949  # its multiples fill the unit interval evenly
ANCHORED_AT = 20  # values after which a profile begins
SLOWEST = 0.1  # the least weight of one visit's share of a period
ERROR_WEIGHT = 1.0 / 500.0
ERROR_CLIP = 6.0  # scales
USEFUL = 0.9  # of the level's error: a profile that errs more is retired

I16 = npt.NDArray[np.int16]


@compiled
def day_bin(time: float) -> int:
    return int(time // (DAY / DAY_BINS) % DAY_BINS)


@compiled
def week_bin(time: float) -> int:
    return int(DAY_BINS + time // (WEEK / WEEK_BINS) % WEEK_BINS)


@compiled
def encoded(feature: np.void, x: float) -> int:
    """The code of a value; never EMPTY.

    Rounded up or down by turns, as often as the value is near the one or the other: many small
    moves of a bin add up, where the nearest code would lose each of them.
    """
    exact = math.asinh((x - feature["anchor"]) / feature["anchor_unit"]) * PRECISION
    exact = min(max(exact, -LARGEST_CODE), LARGEST_CODE)
    code = min(math.floor(exact + feature["count"] * GOLDEN % 1.0), LARGEST_CODE)
    return 1 if code == EMPTY else int(code)


@compiled
def decoded(feature: np.void, code: int) -> float:
    """The value of a code, NaN for an empty bin."""
    if code == EMPTY:
        return math.nan
    reach = math.sinh(code / PRECISION)
    return float(feature["anchor"] + feature["anchor_unit"] * reach)


@compiled
def expected_at(feature: np.void, profile: I16, at: int) -> float:
    """What bin `at` of a profile says, NaN where there is none."""
    if profile.shape[0] != PROFILE_BINS or feature["anchor_unit"] == 0.0:
        return math.nan
    return decoded(feature, profile[at])


@compiled
def learn_bin(feature: np.void, profile: I16, at: int, x: float, visits: float, age: float) -> None:
    """Move bin `at` towards x: an expanding mean over periods, later an exponential one.

    visits: of the bin in one period, about; age: of the stream, in periods.
    """
    old = decoded(feature, profile[at])
    if math.isnan(old):
        profile[at] = encoded(feature, x)
        return
    weight = max(SLOWEST, 1.0 / (1.0 + age)) / max(1.0, visits)
    profile[at] = encoded(feature, old + weight * (x - old))


@compiled
def follow_error(old: float, error: float) -> np.float32:
    """A running mean of absolute errors, each clipped; the first counts whole."""
    error = min(abs(error), ERROR_CLIP)
    return np.float32(error if old == 0.0 else old + ERROR_WEIGHT * (error - old))


@compiled
def useful(feature: np.void, error: float) -> bool:
    """Whether a profile with this mean error foretells better than the level does."""
    return error > 0.0 and error < USEFUL * feature["level_error"]
