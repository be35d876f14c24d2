"""Train the base artifact again: `python -m model.base [--out DIR]`. Seeded; some three minutes.

The network runs feature by feature with shared weights, so that it takes a stream of any features
in any unit; it is trained on generated signals alone (`model.generate`). The compact artifact is
the same network with fewer views of it, and is made of it.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from model.artifact import BASE, COMPACT, GRAPH, WEIGHTS, Artifact, Description
from model.autoencoder import Autoencoder
from model.calibration import uncalibrated
from model.config import Cell, ModelConfig
from model.export import write_artifact, write_description
from model.generate import generate
from model.linear import fit_linear, fit_mean
from model.rehearsal import Predictor
from model.series import Described, describe
from model.training import TrainingSettings, fit

STREAMS, STEPS, HELD_OUT = 1280, 2400, 128
COMPACT_VIEWS = "near", "middle", "far", "away"
SETTINGS = TrainingSettings(
    updates=1680, chunk=200, chunks=12, lanes=128, learning_rate=3e-3, patience=20, gain=0.0
)


def train_base(
    streams: int,
    steps: int,
    settings: TrainingSettings,
    folder: Path,
    cell: Cell = "lstm",
    quiet: bool = False,
) -> Artifact:
    """Generate signals, train, write the artifact.

    It has no calibration: what is normal for all that can be generated is so wild that a new stream
    would be deaf as long as it counted. A stream's own first block is better, and soon there.
    cell: what predicts; others than an LSTM are controls, for comparison.
    """
    torch.manual_seed(settings.seed)
    config = ModelConfig(cell=cell)
    seeds = tqdm(range(streams + HELD_OUT), "generating", disable=quiet)
    generated = [generate(seed, steps) for seed in seeds]
    described = [part for series in generated for part in describe(config, series)]
    network, losses = _fitted(config, described[:streams], described[streams:], settings, quiet)
    record = {
        "data": f"{streams} generated streams of {steps} events",
        "seed": settings.seed,
        **losses,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    description = Description(config, uncalibrated(config), None, record)
    return write_artifact(network, description, folder)


def _fitted(
    config: ModelConfig,
    train: list[Described],
    held_out: list[Described],
    settings: TrainingSettings,
    quiet: bool,
) -> tuple[Predictor, dict[str, float]]:
    """The predictor, and what is recorded of a network's training."""
    if config.cell == "linear":
        return fit_linear(config, train), {}
    if config.cell == "mean":
        return fit_mean(config, train), {}
    network = Autoencoder(config)
    with tqdm(total=settings.updates, desc="training", unit=" updates", disable=quiet) as bar:

        def show(updates: int, message: str) -> None:
            bar.set_postfix_str(message)
            bar.update(updates)

        fitted = fit(network, train, held_out, settings, show)
    return network, {
        "updates": fitted.updates,
        "loss": round(fitted.loss, 4),
        "held_out_loss": round(fitted.held_out_loss, 4),
    }


def write_compact(base: Artifact, folder: Path) -> Artifact:
    """The base artifact's network, at one time scale and without profiles of day and week."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, GRAPH):
        shutil.copyfile(base.folder / name, folder / name)
    config = replace(base.config, resolutions=base.config.resolutions[:1], views=COMPACT_VIEWS)
    description = replace(base.description, config=config, calibration=uncalibrated(config))
    return write_description(description, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the base artifact on generated signals.")
    parser.add_argument("--out", type=Path, default=BASE)
    parser.add_argument("--compact-out", type=Path, default=COMPACT)
    given = parser.parse_args()
    np.seterr(all="ignore")
    write_compact(train_base(STREAMS, STEPS, SETTINGS, given.out), given.compact_out)


if __name__ == "__main__":
    main()
