"""Scoring of training data, before there is an artifact: what choice and tails rest on."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from model.autoencoder import Autoencoder
from model.calibration import uncalibrated
from model.config import ModelConfig
from model.fresh import fresh_table
from model.linear import Memoryless
from model.population import Population, with_errors, with_views
from model.row import RowTable
from model.scorer import Scored, Scorer, directions_of
from model.series import Series

FEWEST_COUNTED = 1000  # events that tails are taken from
TOGETHER = 100_000  # events, about, that are scored at once

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Predictor = Autoencoder | Memoryless


class InTorch:
    """A network as the scorer steps it, before it is exported."""

    def __init__(self, network: Predictor, population: Population | None = None) -> None:
        self.config: ModelConfig = network.config
        self.population = population
        self.module = network.eval()

    @torch.no_grad()
    def step(self, inputs: F32, memory: F32) -> tuple[F32, F32]:
        outputs, after = self.module.step(torch.from_numpy(inputs), torch.from_numpy(memory))
        return outputs.numpy(), after.numpy()


def rehearse(network: InTorch, series: Sequence[Series]) -> Iterator[tuple[Series, Scored]]:
    """What serving would say of each series, from fresh memories that know no calibration.

    Many are scored at once: a network steps many streams in the time of one.
    """
    config = network.config
    fresh = fresh_table(config, uncalibrated(config), network.population, len(config.features))
    scorer = Scorer(network, directions_of(config.features, {}), budget_per_week=1.0, skew=np.inf)
    for group in _groups(series):
        table = RowTable.copies(fresh.bytes, fresh.layout, len(group))
        lengths = [len(one) for one in group]
        said = scorer.score(
            table,
            np.repeat(np.arange(len(group)), lengths),
            np.concatenate([np.arange(length) for length in lengths]),
            1,
            np.concatenate([one.times for one in group]),
            np.zeros(sum(lengths), np.bool_),
            np.concatenate([one.values for one in group]),
            _categories(group),
        )
        ends = np.cumsum(lengths)
        for one, end in zip(group, ends.tolist(), strict=True):
            yield one, said.only(slice(end - len(one), end))


def _categories(series: Sequence[Series]) -> I64 | None:
    """(n, C): those of all events, None where there are none."""
    buckets = [one.categories for one in series if one.categories is not None]
    return np.concatenate(buckets) if buckets else None


def _groups(series: Sequence[Series]) -> Iterator[Sequence[Series]]:
    """The series in order, in groups of TOGETHER events or a little more."""
    group: list[Series] = []
    for one in series:
        group.append(one)
        if sum(map(len, group)) >= TOGETHER:
            yield group
            group = []
    if group:
        yield group


def among(
    network: InTorch, start: Population, series: Sequence[Series], after: float = 0.0
) -> Population:
    """The population that the series are, with the tails of the errors that the network makes.

    `after` is the share of each series, from its start, that does not count: what the network was
    fitted to. Where too little is left, everything counts.
    """
    if sum(len(one) - int(after * len(one)) for one in series) < FEWEST_COUNTED:
        after = 0.0
    errors = [
        said.size_among_kin[int(after * len(one)) :] for one, said in rehearse(network, series)
    ]
    population = with_errors(start, np.concatenate(errors))
    network = InTorch(network.module, population)
    views = [said.views[int(after * len(one)) :] for one, said in rehearse(network, series)]
    return with_views(population, network.config.views, np.concatenate(views))
