"""Train an artifact on somebody's own normal data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from model.artifact import DESCRIPTION, GRAPH, WEIGHTS, Artifact, Description
from model.autoencoder import Autoencoder
from model.calibration import calibrate, uncalibrated
from model.choice import chosen, disturbances_found
from model.config import Cell, ModelConfig
from model.errors import TrainingDataError
from model.export import write_artifact, write_description
from model.linear import fit_linear, fit_mean
from model.normalise import SMALLER_AFTER
from model.period import period_of
from model.population import Population, common_scales, population_of
from model.rehearsal import InTorch, Predictor, among
from model.series import Described, Series, describe, fingerprint, learned_of
from model.training import Progress, TrainingSettings, fit

FEWEST_EVENTS = 200  # of all series
SHORTEST = 20  # events of a series that is of any use
MOST_FEATURES = 64
HELD_OUT = 0.15  # of each series, its end
CYCLE_STEPS = 64  # a cycle is about so many steps, where a single feature has a period
UNKNOWN_CYCLE = 50.0
BLOCKS = 192  # remembered: its few views take less for so many than the base artifact's for fewer
PRIOR_BLOCKS = 40  # so few that a stream's own soon count more, unless it has few events
MEMORYLESS: tuple[Cell, ...] = ("mean", "linear")
CANDIDATES: tuple[Cell, ...] = ("mean", "linear", "lstm")  # the simplest first
OF_CYCLES: tuple[Cell, ...] = ("lstm",)  # what comes next in a cycle takes a memory to tell


@dataclass(frozen=True, slots=True)
class Trained:
    """A network, the series as it reads them, how well it tells disturbances (`model.choice`), and
    what to record."""

    network: InTorch
    series: list[Series]
    found: float
    record: dict[str, float]


def train_artifact(
    series: Sequence[Series],
    features: tuple[str, ...],
    folder: Path,
    settings: TrainingSettings,
    cell: Cell | None = None,
    hidden: int = 32,
    progress: Progress = lambda _, __: None,
    categories: tuple[str, ...] = (),
) -> Artifact:
    """Train one joint network on all series and write its artifact.

    features and categories name the columns of the series' values and categories.

    Each series' last 15 % is held out: for early stopping, to calibrate how surprised the network
    is by normal data, and, where no `cell` is asked for, to choose between the mean, a linear map
    and an LSTM: the one that tells disturbances of the series' ends best serves; a cycle takes an
    LSTM. Raises TrainingDataError where there is too little to learn from.
    """
    torch.set_num_threads(1)  # layers this small lose more to threads than they gain
    usable = _usable(series, features)
    numbers = [replace(one, categories=None) for one in usable]
    config = shape_of(numbers, features, hidden)
    kin, config = _in_common(config, numbers)
    tried = {}
    for name in (cell,) if cell else _candidates(config):
        reads = () if name in MEMORYLESS else categories
        tried[name] = _trained(
            replace(config, cell=name, categories=reads),
            usable if reads else numbers,
            kin,
            settings,
            progress,
        )
    best = tried[chosen({name: one.found for name, one in tried.items()})]
    record = {
        "data_fingerprint": fingerprint(usable),
        "series": len(usable),
        "events": sum(map(len, usable)),
        "seed": settings.seed,
        "disturbances_found": {name: round(one.found, 4) for name, one in tried.items()},
        "parameters": sum(p.numel() for p in best.network.module.parameters()),
        **best.record,
    }
    return _written(best, kin, record, folder)


def _written(
    best: Trained, kin: Population | None, record: dict[str, Any], folder: Path
) -> Artifact:
    """The artifact, which knows the population's tails, or else starts with what is usual here."""
    config = best.network.config
    fitted_to = 0.0 if config.cell == "mean" else 1.0 - HELD_OUT
    population = among(best.network, kin, best.series, fitted_to) if kin else None
    description = Description(config, uncalibrated(config), population, record)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".new-") as name:  # what is there stays until then
        new = Path(name)
        artifact = write_artifact(best.network.module, description, new)
        if not kin:
            calibrated = calibrate(artifact, best.series, PRIOR_BLOCKS, 1.0 - HELD_OUT)
            write_description(calibrated, new)
        for part in (WEIGHTS, GRAPH, DESCRIPTION):
            (new / part).replace(folder / part)
    return Artifact(folder)


def _candidates(config: ModelConfig) -> tuple[Cell, ...]:
    return OF_CYCLES if config.unit == "increments" else CANDIDATES


def _trained(
    config: ModelConfig,
    series: list[Series],
    kin: Population | None,
    settings: TrainingSettings,
    progress: Progress,
) -> Trained:
    def trained(module: Predictor, record: dict[str, float]) -> Trained:
        network = InTorch(module, kin)
        found = disturbances_found(network, series, 1.0 - HELD_OUT, settings.seed)
        return Trained(network, series, found, record)

    halves = [_split(part) for one in series for part in describe(config, one, kin)]
    train, held_out = [first for first, _ in halves], [last for _, last in halves]
    if config.cell == "linear":
        return trained(fit_linear(config, train), {})
    if config.cell == "mean":
        return trained(fit_mean(config, train), {})
    torch.manual_seed(settings.seed)
    network = Autoencoder(config)
    fitted = fit(network, train, held_out, settings, progress)
    record = {
        "updates": fitted.updates,
        "loss": round(fitted.loss, 4),
        "held_out_loss": round(fitted.held_out_loss, 4),
    }
    return trained(network, record)


def _usable(series: Sequence[Series], features: tuple[str, ...]) -> list[Series]:
    """The series that are long enough; TrainingDataError where nothing can be learned."""
    if len(features) > MOST_FEATURES:
        raise TrainingDataError(
            f"{len(features)} features, at most {MOST_FEATURES}: choose with --features"
        )
    usable = [one for one in series if len(one) >= SHORTEST]
    events = sum(map(len, usable))
    if events < FEWEST_EVENTS:
        raise TrainingDataError(
            f"{events} events in streams of {SHORTEST} or more, training needs {FEWEST_EVENTS}: "
            "give more data, or serve with the base artifact, which needs no training"
        )
    for f, name in enumerate(features):
        if all(np.isnan(one.values[:, f]).all() for one in usable):
            raise TrainingDataError(f"{name} has no value at all: leave it out with --ignore")
    return usable


def _split(part: Described) -> tuple[Described, Described]:
    at = int(len(part.inputs) * (1.0 - HELD_OUT))
    first = Described(part.inputs[:at], part.targets[:at], part.weights[:at])
    return first, Described(part.inputs[at:], part.targets[at:], part.weights[at:])


def shape_of(series: Sequence[Series], features: tuple[str, ...], hidden: int) -> ModelConfig:
    """The network's shape for this data: its time scale follows the data's period."""
    period = _period(series) if len(features) == 1 else None
    resolution = max(1, round((period or 1) / CYCLE_STEPS))
    cycle = period / resolution if period else UNKNOWN_CYCLE
    return ModelConfig(
        features=features,
        hidden=hidden,
        resolutions=(resolution,),
        horizons=(1, 2, 4),
        level_clip=3.0,
        unit="increments" if period else "values",
        views=_views(period is not None, resolution),
        persistence=max(1.0, cycle / 2),
        blocks=BLOCKS,
    )


def _views(periodic: bool, resolution: int) -> tuple[str, ...]:
    """An event that is far off is lost in a step of several: there, jumps count too."""
    if not periodic:
        return "near", "middle", "far", "away"
    return ("near", "long", "jump") if resolution > 1 else ("near", "long")


def _in_common(
    config: ModelConfig, series: Sequence[Series]
) -> tuple[Population | None, ModelConfig]:
    """What streams have in common: many a population, where they are no cycles (one is told by its
    own past), others the scales that a new one starts with."""
    learned = [learned_of(config, one) for one in series]
    if config.unit == "values":
        kin = population_of(config.features, learned, [one.pace for one in series])
        if kin:
            return kin, replace(config, views=views_among(kin))
    first = int(SMALLER_AFTER) * config.resolutions[0]
    young = [learned_of(config, one.first(min(first, len(one) // 2))) for one in series]
    return None, replace(config, scales=common_scales(young, learned))


def views_among(kin: Population) -> tuple[str, ...]:
    """Errors in input units, and where scales go with levels, errors in proportion to those too."""
    proportional = any(feature.ratio > 0.0 for feature in kin.features.values())
    return ("near", "rare") if proportional else ("rare",)


def _period(series: Sequence[Series]) -> int | None:
    """The period of the longest series' only feature, in events."""
    longest = max(series, key=len).values[:, 0]
    return period_of(longest[~np.isnan(longest)])
