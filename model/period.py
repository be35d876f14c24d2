"""The period of a series, if it has one."""

import math

import numpy as np
import numpy.typing as npt

SHORTEST, LONGEST = 8, 2000  # steps
CYCLES = 3  # of the period that the series must hold at least
NEAR_BEST = 0.8  # of the highest peak: the first peak this high is the period, not a multiple of it
FAINTEST = 0.3  # autocorrelation at the period
BEYOND_CHANCE = 2.5  # standard errors of it, at least

F64 = npt.NDArray[np.float64]


def period_of(values: F64) -> int | None:
    """Steps in a cycle of values (T,) without gaps, from the autocorrelation; None without one.

    The first peak behind the first zero crossing that is nearly as high as the highest.
    """
    longest = min(LONGEST, len(values) // CYCLES)
    if longest <= SHORTEST or np.ptp(values) == 0.0:
        return None
    correlation = autocorrelation(values, longest)
    crossings = np.flatnonzero(correlation < 0.0)
    if len(crossings) == 0:
        return None
    start = max(int(crossings[0]), SHORTEST)
    inner = correlation[start:]
    rises = (inner[1:-1] > inner[:-2]) & (inner[1:-1] >= inner[2:])
    peaks = start + 1 + np.flatnonzero(rises)
    if len(peaks) == 0:
        return None
    # Bartlett 1946: what wanders slowly has high peaks by chance, the more so the shorter it is.
    wandering = 1.0 + 2.0 * float(np.square(correlation[1 : crossings[0]]).sum())
    chance = BEYOND_CHANCE * math.sqrt(wandering / len(values))
    if correlation[peaks].max() < max(FAINTEST, chance):
        return None
    high = correlation[peaks] >= NEAR_BEST * correlation[peaks].max()
    return int(peaks[high][0])


def autocorrelation(values: F64, longest: int) -> F64:
    """(longest + 1,): correlation of values (T,) with themselves, lag by lag; 1 at lag 0."""
    centred = values - values.mean()
    spectrum = np.fft.rfft(centred, 2 * len(values))
    sums = np.fft.irfft(np.abs(spectrum) ** 2)[: longest + 1]
    means: F64 = sums / np.arange(len(values), len(values) - longest - 1, -1)
    return means / means[0]
