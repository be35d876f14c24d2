"""Train the three cells on the same data and measure them."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from safetensors.torch import load_file

from model.artifact import LARGEST_BATCH, WEIGHTS, Artifact
from model.autoencoder import Autoencoder
from model.comparison.memory import Progress, gradient_norm, recall_of
from model.comparison.tasks import TASKS
from model.config import Cell
from model.series import Series, describe
from model.trainer import train_artifact
from model.training import TrainingSettings

CELLS: tuple[Cell, ...] = ("rnn", "gru", "lstm")
HIDDEN = 32
LENGTHS = 10, 30, 100, 300, 1000
TIMED = 20  # batches
LANES = 16  # stretches that gradients are taken on


@dataclass(frozen=True, slots=True)
class CellFigures:
    """One cell. recall: by task and steps, 0 to 1. gradient: by steps back. held_out_loss: mean
    negative log-likelihood in nats. disturbances_found: see `model.choice`. network_bytes: of a
    stream's states; row_bytes: of its whole memory. steps_per_second: of the exported step, in full
    batches, one thread. Cells have as many units each, not as many weights; an LSTM starts with a
    range of memories, as it does in service; its gradient is that of h and c."""

    cell: Cell
    recall: dict[str, dict[int, float]]
    gradient: dict[int, float]
    held_out_loss: float
    disturbances_found: float
    network_bytes: int
    row_bytes: int
    steps_per_second: float


def measure_cell(
    cell: Cell,
    series: Sequence[Series],
    features: tuple[str, ...],
    lengths: Sequence[int],
    task_updates: int,
    settings: TrainingSettings,
    progress: Progress = lambda _: None,
) -> CellFigures:
    """Everything of one cell; `progress` is told of updates, len(TASKS) * len(lengths) *
    task_updates in all. Raises TrainingDataError where there is too little to train on."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = train_artifact(series, features, Path(folder), settings, cell, HIDDEN)
        gradient = _gradients(artifact, max(series, key=len), lengths, settings.seed)
    recall = {
        task.name: {
            length: recall_of(cell, task, length, HIDDEN, task_updates, settings.seed, progress)
            for length in lengths
        }
        for task in TASKS
    }
    record = artifact.description.training
    return CellFigures(
        cell=cell,
        recall=recall,
        gradient=gradient,
        held_out_loss=record["held_out_loss"],
        disturbances_found=record["disturbances_found"][cell],
        network_bytes=artifact.config.memory * np.dtype(np.float32).itemsize,
        row_bytes=artifact.layout(len(features)).row_bytes,
        steps_per_second=_speed(artifact),
    )


def _gradients(
    artifact: Artifact, series: Series, lengths: Sequence[int], seed: int
) -> dict[int, float]:
    """Of the trained encoder, on the longest series, as far back as half of it reaches."""
    network = Autoencoder(artifact.config)
    network.load_state_dict(load_file(artifact.folder / WEIGHTS))
    (described,) = describe(artifact.config, series, artifact.population)
    inputs = torch.from_numpy(described.inputs)
    longest = len(inputs) // 2
    starts = np.linspace(0, len(inputs) - longest, LANES).astype(int)
    lanes = torch.stack([inputs[start : start + longest] for start in starts], dim=1)
    return {
        steps: gradient_norm(network.encoder, lanes, steps, seed)
        for steps in lengths
        if steps < longest
    }


def _speed(artifact: Artifact) -> float:
    """Steps a second of the exported network, by the median batch."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(LARGEST_BATCH, artifact.config.inputs)).astype(np.float32)
    memory = np.zeros((LARGEST_BATCH, artifact.config.memory), np.float32)
    seconds = []
    for _ in range(TIMED):
        started = time.perf_counter()
        _, memory = artifact.step(inputs, memory)
        seconds.append(time.perf_counter() - started)
    return LARGEST_BATCH / median(seconds)
