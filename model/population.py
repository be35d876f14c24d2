"""What the streams of the training data have in common: where a new one starts, what is rare.

Where streams are many and alike, as cards or patients are, one is held against its kin and not
against its own past alone: it starts at their level, with the weight that the data give it, and
what is rare is what hardly any of them ever met. They are alike where their scales are much the
same, or much the same in proportion to their levels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.row import FEATURE

FEWEST_STREAMS = 20  # before they count as a population
LEAST_WEIGHT, LARGEST_WEIGHT = 2.0, 20.0  # events
NORMAL_RATIO = 1.57  # of the variance to the squared mean absolute deviation, if normal
ALIKE = 1.0  # median absolute deviation of the logs of scales: half are within a factor of e
PROPORTIONAL = 0.5  # of that deviation is left when each scale is divided by its level
NEARLY_ALL = 0.9  # of the streams have a level and a scale above 0
LARGEST_SCALE = 1e30  # input units: of more, spreads would leave what a float32 holds
FAR_GROWN = 0.2  # in logs of scales, more than streams are apart: young ones do not know theirs
TAIL_STEPS = 8  # quantiles for each factor of 10 of tail probability

F64 = npt.NDArray[np.float64]
Structured = npt.NDArray[np.void]
Tail = tuple[float, ...]
"""(K,): what 10^(-k / TAIL_STEPS) of all values reach, k = 1, 2, ..."""


@dataclass(frozen=True, slots=True)
class FeaturePopulation:
    """One feature over many streams.

    level, scale, step: medians over the streams, in input units. ratio: of a stream's scale to its
    level, 0 where the streams do not agree on one. weight: of this start, in events. doubt: the
    variance of levels between streams, in those of the values of one. errors: the tail of the sizes
    of all errors of reconstruction, either way, see `judge.size_among_kin`.
    """

    level: float
    scale: float
    step: float
    ratio: float
    weight: int
    doubt: float
    errors: Tail = ()

    @property
    def spread(self) -> float:
        """Of a new stream's first value, in input units."""
        return self.scale * math.sqrt(1.0 + self.doubt)

    def started(self) -> Structured:
        """() of FEATURE: a new stream's normaliser."""
        block = np.zeros((), FEATURE)
        for name in ("value", "level", "fast", "slow"):
            block[name] = self.level
        block["scale"], block["step"], block["ratio"] = self.scale, self.step, self.ratio
        block["count"] = block["judged"] = self.weight
        block["doubt"] = self.doubt
        return block


@dataclass(frozen=True, slots=True)
class Population:
    """Many streams: seconds between the events of one, each feature by its name, and the tail of
    each view by its name."""

    pace: float
    features: Mapping[str, FeaturePopulation]
    views: Mapping[str, Tail] = field(default_factory=dict)


def population_of(
    features: Sequence[str], learned: Sequence[Structured], paces: Sequence[float]
) -> Population | None:
    """Where streams start; None where they are too few or not alike. Tails are not known yet.

    learned: for each stream (F,) of FEATURE, its normaliser at the end. paces: mean seconds between
    its events.
    """
    if len(learned) < FEWEST_STREAMS:
        return None
    blocks = np.stack(learned)  # (streams, F)
    told = [blocks[blocks[:, f]["count"] > 0, f] for f in range(len(features))]
    if not all(_alike(feature["scale"], feature["level"]) for feature in told):
        return None
    starts = {name: _feature(feature) for name, feature in zip(features, told, strict=True)}
    return Population(float(np.median(paces)), starts)


def common_scales(
    young: Sequence[Structured], learned: Sequence[Structured]
) -> tuple[tuple[float, float], ...]:
    """For each feature the scale of values and of increments that a new stream is taken to have, in
    input units: the medians over the streams, 0 where its own first events tell as much.

    young, learned: for each stream (F,) of FEATURE, its normaliser early on and at the end.
    """
    features = zip(np.stack(young, axis=1), np.stack(learned, axis=1), strict=True)
    return tuple(_common(early, late) for early, late in features)


def with_errors(population: Population, errors: F64) -> Population:
    """The same, knowing the tails of the errors (T, F) of all streams, NaN where there is none; see
    `judge.size_among_kin`."""
    sizes = np.abs(errors)
    features = {
        name: replace(one, errors=_tail(sizes[~np.isnan(sizes[:, f]), f]))
        for f, (name, one) in enumerate(population.features.items())
    }
    return replace(population, features=features)


def with_views(population: Population, names: Sequence[str], views: F64) -> Population:
    """The same, knowing the tails of the views (T, V) of all streams' events, below 0 for none."""
    spoken = {name: _tail(views[views[:, v] >= 0.0, v]) for v, name in enumerate(names)}
    return replace(population, views=spoken)


def tail_table(tails: Sequence[Tail]) -> F64:
    """(N, K) for `rarity`, infinite behind what each tail reaches; K = 1 where none is known."""
    table = np.full((len(tails), max([1, *map(len, tails)])), np.inf)
    for row, tail in zip(table, tails, strict=True):
        row[: len(tail)] = tail
    return table


@compiled
def rarity(tail: F64, x: float, decade: float) -> float:
    """-log10 of the share of all values that reach x; tail: (K,), rising, infinite where unknown.

    Beyond the last, one factor of 10 for each `decade` that x is farther, or, where that is 0, for
    each factor of 10 in x. Nothing is rare where no tail is known.
    """
    below, k = 0.0, 0
    while k < tail.shape[0] and tail[k] < x:
        below = tail[k]
        k += 1
    if k < tail.shape[0] and not math.isinf(tail[k]):
        return (k + (x - below) / (tail[k] - below) if x > below else float(k)) / TAIL_STEPS
    if k == 0:
        return 0.0
    if decade > 0.0:
        return k / TAIL_STEPS + (x - below) / decade
    return k / TAIL_STEPS + (math.log10(x / below) if below > 0.0 else 0.0)


def _feature(blocks: Structured) -> FeaturePopulation:
    doubt = _doubt(blocks["level"], blocks["scale"])
    return FeaturePopulation(
        level=float(np.median(blocks["level"])),
        scale=float(np.median(blocks["scale"])),
        step=float(np.median(blocks["step"])),
        ratio=_ratio(blocks["level"], blocks["scale"]),
        weight=round(min(max(1.0 / max(doubt, 1e-9), LEAST_WEIGHT), LARGEST_WEIGHT)),
        doubt=doubt,
    )


def _common(young: Structured, learned: Structured) -> tuple[float, float]:
    moving = learned["scale"] > 0.0
    count = int(moving.sum())
    if count <= len(moving) / 2:
        return 0.0, 0.0
    scales, steps = learned["scale"][moving], learned["step"][moving]
    logs = np.log(scales)
    with np.errstate(divide="ignore"):  # infinitely grown is what stood still at first
        grown = float(np.median(np.abs(logs - np.log(young["scale"][moving]))))
    apart = _deviation(logs) * count / (count - 1) if count > 1 else 0.0  # from the others' median
    if grown <= apart + FAR_GROWN or scales.max() > LARGEST_SCALE:
        return 0.0, 0.0
    return float(np.median(scales)), float(np.median(steps))


def _doubt(levels: F64, scales: F64) -> float:
    """The variance between streams in units of the variance within them.

    Its inverse is how many events the start is worth (empirical Bayes).
    """
    within = NORMAL_RATIO * float(np.median(scales**2))
    return (1.48 * _deviation(levels)) ** 2 / within


def _alike(scales: F64, levels: F64) -> bool:
    if _ratio(levels, scales) > 0.0:
        return True
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = _deviation(np.log(scales))
    return deviation < ALIKE  # not where most do not move, and logs are infinite


def _ratio(levels: F64, scales: F64) -> float:
    """The median ratio of scale to level, where it differs much less than the scales do; else 0."""
    positive = (levels > 0.0) & (scales > 0.0)
    if positive.mean() < NEARLY_ALL:
        return 0.0
    scales, ratios = scales[positive], scales[positive] / levels[positive]
    alike = _deviation(np.log(ratios)) < PROPORTIONAL * _deviation(np.log(scales))
    return float(np.median(ratios)) if alike else 0.0


def _deviation(values: F64) -> float:
    """The median absolute deviation."""
    return float(np.median(np.abs(values - np.median(values))))


def _tail(values: F64) -> Tail:
    if len(values) == 0:
        return ()
    steps = int(TAIL_STEPS * math.log10(max(len(values), 10)))
    shares = 10.0 ** (-np.arange(1, steps + 1) / TAIL_STEPS)
    return tuple(np.quantile(values, 1.0 - shares).tolist())
