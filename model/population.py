"""What the streams of the training data have in common: where a new one starts, what is rare.

A stream of few events is told from its kin: it starts at their level with the weight that the data
give it, and a value that hardly any of them ever had is rare, whatever the stream's own past.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.row import FEATURE
from model.series import Series, learned_of

FEWEST_STREAMS = 20  # before they count as a population
LARGEST_WEIGHT = 20.0  # events
NORMAL_RATIO = 1.57  # of the variance to the squared mean absolute deviation, if normal
TAIL_STEPS = 8  # quantiles for each factor of 10 of tail probability

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeaturePopulation:
    """One feature over many streams.

    level, scale, step: medians over the streams, in input units. weight: of this start, in events.
    middle: the median of all values. distances: (K,) from it, that 10^(-k / TAIL_STEPS) of all
    values reach, k = 1, 2, ...
    """

    level: float
    scale: float
    step: float
    weight: int
    middle: float
    distances: tuple[float, ...]

    def started(self) -> npt.NDArray[np.void]:
        """() of FEATURE: a new stream's normaliser."""
        block = np.zeros((), FEATURE)
        for name in ("value", "level", "fast", "slow"):
            block[name] = self.level
        block["scale"], block["step"] = self.scale, self.step
        block["count"] = block["judged"] = self.weight
        return block


def populations_of(config: ModelConfig, series: Sequence[Series]) -> dict[str, FeaturePopulation]:
    """The population of each feature; none where there are too few streams."""
    if len(series) < FEWEST_STREAMS:
        return {}
    blocks = np.stack([learned_of(config, one) for one in series])  # (streams, F)
    values = np.concatenate([one.values for one in series])
    return {
        name: _population(blocks[:, f], values[~np.isnan(values[:, f]), f])
        for f, name in enumerate(config.features)
    }


def _population(blocks: npt.NDArray[np.void], values: F64) -> FeaturePopulation:
    blocks = blocks[blocks["count"] > 0]
    # How much a stream's own mean of n events is to be trusted against the others' (empirical
    # Bayes): n against the variance within streams in units of the variance between them.
    within = NORMAL_RATIO * float(np.median(blocks["scale"].astype(np.float64) ** 2))
    between = float(np.median(np.abs(blocks["level"] - np.median(blocks["level"]))) * 1.48) ** 2
    weight = min(within / between, LARGEST_WEIGHT) if between > 0.0 else LARGEST_WEIGHT
    middle = float(np.median(values))
    steps = int(TAIL_STEPS * np.log10(max(len(values), 10)))
    tails = 10.0 ** (-np.arange(1, steps + 1) / TAIL_STEPS)
    return FeaturePopulation(
        level=float(np.median(blocks["level"])),
        scale=float(np.median(blocks["scale"])),
        step=float(np.median(blocks["step"])),
        weight=round(weight),
        middle=middle,
        distances=tuple(np.quantile(np.abs(values - middle), 1.0 - tails).tolist()),
    )


def rarity(population: FeaturePopulation, values: F64) -> F64:
    """-log10 of the share of all values that are as far from the middle, (T,).

    With the sign of the side. Beyond the farthest, ten times as far counts as ten times as rare.
    """
    distance = np.abs(values - population.middle)
    reached = np.array(population.distances)
    rare = np.interp(distance, reached, np.arange(1, len(reached) + 1) / TAIL_STEPS, left=0.0)
    rare += np.log10(np.maximum(distance / max(reached[-1], 1e-12), 1.0))
    return np.where(values < population.middle, -rare, rare)
