"""Which of several networks tells disturbances best: a choice that needs no labels.

Copies of held-out normal data are disturbed here and there, and the network whose level ranks the
disturbed events highest serves. (Injected anomalies are one of the criteria that Goswami et al.
2023, ICLR, "Unsupervised Model Selection for Time-series Anomaly Detection", found to choose well.)
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from model.autoencoder import Autoencoder
from model.calibration import uncalibrated
from model.config import ModelConfig
from model.evaluation.ranking import average_precision
from model.fresh import fresh_table
from model.linear import Memoryless
from model.population import FeaturePopulation
from model.row import RowTable
from model.scorer import Scorer, directions_of
from model.series import Series

COPIES = 4  # of each series, each disturbed in its own way
LONGEST = 2000  # events of a series, from its end
MOST_SERIES = 4
UNDISTURBED = 0.3  # of the events, the first: the scales settle on them
SHARE = 0.1  # of the other events, about, that are disturbed
EPISODE = 5, 60  # events
SOME_FEATURES = 0.05, 0.6  # of them are disturbed, where it is not one
OFFSET = 1.0, 4.0  # standard deviations
KINDS = "offset", "pasted", "stuck", "noisy"

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Predictor = Autoencoder | Memoryless


class InTorch:
    """A network as the scorer steps it, before it is exported."""

    def __init__(self, network: Predictor) -> None:
        self.config: ModelConfig = network.config
        self.populations: dict[str, FeaturePopulation] = {}
        self._network = network.eval()

    @torch.no_grad()
    def step(self, inputs: F32, memory: F32) -> tuple[F32, F32]:
        outputs, after = self._network.step(torch.from_numpy(inputs), torch.from_numpy(memory))
        return outputs.numpy(), after.numpy()


def disturbances_found(network: Predictor, series: Sequence[Series], seed: int) -> float:
    """Average precision of the level on disturbed copies of the longest series; 0 to 1."""
    longest = sorted(series, key=len, reverse=True)[:MOST_SERIES]
    copies, labels = [], []
    for n, one in enumerate(longest):
        for copy in range(COPIES):
            random = np.random.default_rng([seed, n, copy])
            values, disturbed = disturb(one.values[-LONGEST:], random)
            copies.append(Series(one.name, one.times[-LONGEST:], values))
            labels.append(disturbed)
    counted = [int(UNDISTURBED * len(part)) for part in labels]
    levels = levels_of(network, copies)
    return average_precision(
        np.concatenate([part[at:] for part, at in zip(levels, counted, strict=True)]),
        np.concatenate([part[at:] for part, at in zip(labels, counted, strict=True)]),
    )


def disturb(values: F64, random: np.random.Generator) -> tuple[F64, Bools]:
    """values (T, F) with episodes disturbed, and (T,) where."""
    T, F = values.shape
    result, where = values.copy(), np.zeros(T, np.bool_)
    spread = np.nanstd(values, axis=0)
    first = int(UNDISTURBED * T)
    while where.sum() < SHARE * (T - first):
        length = int(random.integers(EPISODE[0], EPISODE[1] + 1))
        start = int(random.integers(first, max(first + 1, T - length)))
        at = slice(start, start + length)
        for f in _some(F, random):
            part = result[at, f]
            kind = KINDS[random.integers(len(KINDS))]
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
    return result, where


def _some(features: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """One feature, or some of them."""
    share = random.uniform(*SOME_FEATURES) if random.random() < 0.5 else 0.0
    return random.choice(features, max(1, round(share * features)), replace=False)


def levels_of(network: Predictor, series: Sequence[Series]) -> list[F64]:
    """The level that serving would give at each event of each series, from fresh memories."""
    config = network.config
    fresh = fresh_table(config, uncalibrated(config), len(config.features))
    table = RowTable(fresh.layout, np.repeat(fresh.bytes, len(series), axis=0))
    scorer = Scorer(
        InTorch(network), directions_of(config.features, {}), budget_per_week=1.0, skew=np.inf
    )
    lengths = [len(one) for one in series]
    scored = scorer.score(
        table,
        np.repeat(np.arange(len(series)), lengths),
        np.concatenate([np.arange(length) for length in lengths]),
        1,
        np.concatenate([one.times for one in series]),
        np.zeros(sum(lengths), np.bool_),
        np.concatenate([one.values for one in series]),
    )
    return np.split(scored.scores["level"], np.cumsum(lengths)[:-1])
