"""Which of several networks tells disturbances best: a choice that needs no labels.

Copies of held-out normal data are disturbed here and there, and the network whose level ranks the
disturbed events highest serves: of two that do about as well, the simpler. (Injected anomalies are
one of the criteria that Goswami et al. 2023, ICLR, "Unsupervised Model Selection for Time-series
Anomaly Detection", found to choose well.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from model.config import Cell
from model.evaluation.ranking import average_precision
from model.rehearsal import InTorch, among, rehearse
from model.series import Series

LONGEST = 2000  # events of a series, from its end
MOST_SERIES = 4
COPIES = 16  # of all series, each disturbed in its own way
MOST_KIN = 200  # streams of a population, and copies of them
UNDISTURBED = 0.3  # of the events, the first, at least: the scales settle on them
SHARE = 0.1  # of the other events, about, that are disturbed
EPISODE, ONE_EVENT = (5, 60), (1, 1)  # events
SOME_FEATURES = 0.05, 0.6  # of them are disturbed, where it is not one
OFFSET = 1.0, 4.0  # standard deviations
KINDS = "offset", "pasted", "stuck", "noisy"

CLEARLY = 1.05  # times as many disturbances: what a less simple network must find to serve

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def disturbances_found(
    network: InTorch, series: Sequence[Series], fitted_to: float, seed: int
) -> float:
    """Average precision on disturbed copies of the series, 0 to 1.

    Of the level, on episodes; in a population of the score, on single events: there, what is looked
    for is one event that none of its kin would have. fitted_to: the share of each series, from its
    start, that the network may have learned from; only what is behind it is disturbed and counted.
    """
    if network.population is None:
        longest = sorted(series, key=len, reverse=True)[:MOST_SERIES]
        copies = [one for one in longest for _ in range(COPIES // len(longest))]
        return _found(network, copies, EPISODE, "level", fitted_to, seed)
    some = [series[n] for n in range(0, len(series), -(-len(series) // MOST_KIN))]
    known = InTorch(network.module, among(network, network.population, some))
    copies = [one for one in some for _ in range(MOST_KIN // len(some))]
    return _found(known, copies, ONE_EVENT, "score", fitted_to, seed)


def chosen(found: Mapping[Cell, float]) -> Cell:
    """The cell that serves; `found`: the disturbances that each finds, the simplest cell first."""
    best, *others = found
    for cell in others:
        if found[cell] > CLEARLY * found[best]:
            best = cell
    return best


def _found(
    network: InTorch,
    series: Sequence[Series],
    episode: tuple[int, int],
    said: str,
    fitted_to: float,
    seed: int,
) -> float:
    copies, labels, counted = [], [], []
    for n, one in enumerate(series):
        part = one.last(LONGEST)
        unseen = int(fitted_to * len(one)) - (len(one) - len(part))
        first = max(unseen, int(UNDISTURBED * len(part)))
        random = np.random.default_rng([seed, n])
        values, disturbed = disturb(part.values, first, episode, random)
        copies.append(replace(part, values=values))
        labels.append(disturbed[first:])
        counted.append(first)
    scores = [
        scored.scores[said][first:]
        for (_, scored), first in zip(rehearse(network, copies), counted, strict=True)
    ]
    return average_precision(np.concatenate(scores), np.concatenate(labels))


def disturb(
    values: F64, first: int, episode: tuple[int, int], random: np.random.Generator
) -> tuple[F64, Bools]:
    """values (T, F) with episodes disturbed from event `first` on, and (T,) where; episode:
    shortest and longest."""
    T, F = values.shape
    result, where = values.copy(), np.zeros(T, np.bool_)
    spread = np.nanstd(values, axis=0)
    while where.sum() < SHARE * (T - first):
        length = int(random.integers(episode[0], episode[1] + 1))
        start = int(random.integers(first, max(first + 1, T - length + 1)))
        at = slice(start, start + length)
        for f in _some(F, random):
            part = result[at, f]
            kind = "offset" if length == 1 else KINDS[random.integers(len(KINDS))]
            if kind == "offset":
                part += random.choice((-1.0, 1.0)) * random.uniform(*OFFSET) * spread[f]
            elif kind == "pasted":
                from_ = int(random.integers(0, max(1, T - len(part))))
                part[:] = values[from_ : from_ + len(part), f]
            elif kind == "stuck":
                part[:] = part[0]
            else:
                part += random.normal(0.0, spread[f], len(part))
        where[at] = True
    if episode == ONE_EVENT:  # one that has no value, or has it again, was not disturbed
        where &= np.any((result != values) & ~np.isnan(values), axis=1)
    return result, where


def _some(features: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """One feature, or some of them."""
    share = random.uniform(*SOME_FEATURES) if random.random() < 0.5 else 0.0
    return random.choice(features, max(1, round(share * features)), replace=False)
