"""Train an artifact on somebody's own normal data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.artifact import Artifact, Description, FeatureStart
from model.autoencoder import Autoencoder
from model.calibration import calibrate, uncalibrated
from model.config import Cell, ModelConfig
from model.errors import TrainingDataError
from model.export import write_artifact
from model.series import Described, Series, describe, fingerprint, learned
from model.training import Progress, TrainingSettings, fit, lay_out

FEWEST_EVENTS = 200
MOST_FEATURES = 64
HELD_OUT = 0.15  # of each series, its end
LONGEST_STRETCH, SHORTEST_STRETCH = 2000, 200  # events trained in one go, the state carried
START_COUNT = 10  # events that the training scales weigh at a new stream: its own soon count more


def train_artifact(
    series: Sequence[Series],
    features: tuple[str, ...],
    folder: Path,
    settings: TrainingSettings,
    cell: Cell = "lstm",
    hidden: int = 32,
    progress: Progress = lambda _: None,
) -> Artifact:
    """Train one joint network on all series and write its artifact.

    Each series' last 15 % is held out: for early stopping, and to calibrate how surprised the
    network is by normal data. Raises TrainingDataError where there is too little to learn from.
    """
    torch.set_num_threads(1)  # layers this small lose more to threads than they gain
    torch.manual_seed(settings.seed)
    if len(features) > MOST_FEATURES:
        raise TrainingDataError(
            f"{len(features)} features, at most {MOST_FEATURES}: choose with --features"
        )
    usable = [one for one in series if len(one) >= FEWEST_EVENTS]
    if not usable:
        longest = max((len(one) for one in series), default=0)
        raise TrainingDataError(
            f"the longest stream has {longest} events, training needs {FEWEST_EVENTS}: "
            "give more data, or serve with the base artifact, which needs no training"
        )
    for f, name in enumerate(features):
        if all(np.isnan(one.values[:, f]).all() for one in usable):
            raise TrainingDataError(f"{name} has no value at all: leave it out with --ignore")
    config = ModelConfig(features=features, cell=cell, hidden=hidden)
    described = [part for one in usable for part in describe(config, one)]
    halves = [_split(part) for part in described]
    train, held_out = [first for first, _ in halves], [last for _, last in halves]
    length = _stretch(sum(len(part.inputs) for part in train), settings.lanes)
    network = Autoencoder(config)
    fitted = fit(network, lay_out(train, length), lay_out(held_out, length), settings, progress)
    record = {
        "fingerprint": fingerprint(usable),
        "series": len(usable),
        "events": sum(map(len, usable)),
        "seed": settings.seed,
        "epochs": fitted.epochs,
        "loss": round(fitted.loss, 4),
        "held_out_loss": round(fitted.held_out_loss, 4),
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    description = Description(config, uncalibrated(), _starts(config, usable), record)
    return write_artifact(network, calibrate(network, description, usable, 1.0 - HELD_OUT), folder)


def _split(part: Described) -> tuple[Described, Described]:
    at = int(len(part.inputs) * (1.0 - HELD_OUT))
    first = Described(part.inputs[:at], part.targets[:at], part.weights[:at])
    return first, Described(part.inputs[at:], part.targets[at:], part.weights[at:])


def _stretch(events: int, lanes: int) -> int:
    """So long that about `lanes` stretches run side by side."""
    return int(np.clip(events // lanes, SHORTEST_STRETCH, LONGEST_STRETCH))


def _starts(config: ModelConfig, series: Sequence[Series]) -> dict[str, FeatureStart]:
    """Medians over the series of what the normaliser had learned at their ends."""
    blocks = np.stack([learned(config, one) for one in series])  # (series, F)
    return {
        name: FeatureStart(
            level=float(np.median(blocks["level"][:, f])),
            scale=float(np.median(blocks["scale"][:, f])),
            step=float(np.median(blocks["step"][:, f])),
            count=START_COUNT,
        )
        for f, name in enumerate(config.features)
    }
