"""Predictors without a memory of their own: what a recurrent network must beat.

`Linear` is a map of an event's inputs, fitted in closed form (ridge regression): on many features
that move together, what one of them does next is told by the others and their means. `Mean` expects
the stream's mean so far: where events do not follow from each other, nothing else can be told.
"""

from itertools import combinations
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.config import VALUE_CHANNELS, ModelConfig
from model.normalise import FAST, SLOW
from model.series import Described

PENALTY = 1e-3  # of the mean square of the inputs
TARGET_CLIP = 8.0  # units: a few wild values must not steer the map
SMALLEST_SPREAD = 0.1  # units
RUNNING_MEANS = 3
AVERAGES = torch.tensor(
    [
        [(k in means) / n for k in range(RUNNING_MEANS)]
        for n in range(1, RUNNING_MEANS + 1)
        for means in combinations(range(RUNNING_MEANS), n)
    ]
)
"""(7, RUNNING_MEANS): the shares of each running mean in every average of one or more of them."""
NEXT = 1  # among the targets: the next value

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Memoryless(nn.Module):
    """What `Autoencoder` is to a server, with a memory of width 0."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def fresh_memory(self, batch: int) -> Tensor:
        """(B, 0)."""
        return torch.zeros(batch, 0)

    def given(self, inputs: Tensor) -> Tensor:
        """inputs (B, D) -> outputs (B, O)."""
        raise NotImplementedError

    def step(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """inputs (B, D), memory (B, 0) -> outputs (B, O), memory."""
        return self.given(inputs), memory


class Linear(Memoryless):
    """A linear map of the inputs."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.map = nn.Linear(config.inputs, config.outputs)

    def given(self, inputs: Tensor) -> Tensor:
        return cast(Tensor, self.map(inputs))


class Mean(Memoryless):
    """The average of some of the stream's running means: every move leads back to it.

    `shares`: (W, RUNNING_MEANS), of each mean in a feature's average, see `distances`.
    `log_spreads`: (W, targets).
    """

    shares: Tensor
    log_spreads: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.register_buffer("shares", AVERAGES[:1].repeat(config.width, 1))
        self.register_buffer("log_spreads", torch.zeros(config.width, config.targets))

    def given(self, inputs: Tensor) -> Tensor:
        config = self.config
        back = (distances(config, inputs) * self.shares).sum(dim=2, keepdim=True)
        hidden = back.expand(-1, -1, config.targets)
        log_spreads = self.log_spreads.expand_as(hidden)
        return torch.stack([hidden, log_spreads], dim=-1).flatten(start_dim=1)


def distances(config: ModelConfig, inputs: Tensor) -> Tensor:
    """How far it is back to each running mean: level, slow, fast; in the unit of moves.

    inputs (B, D) -> (B, W, RUNNING_MEANS). The value just read has joined slow and fast; the level,
    which it hardly moves, is the one before.
    """
    read = inputs[:, : config.width * VALUE_CHANNELS]
    values = read.reshape(-1, config.width, VALUE_CHANNELS)
    to_level = -torch.sinh(values[:, :, :1])  # in scales of values
    to_others = -torch.sinh(values[:, :, [3, 2]])  # in scales of increments
    to_others = to_others * torch.tensor([1.0 - SLOW, 1.0 - FAST])
    increment = torch.exp(values[:, :, 4:5])  # in scales of values
    if config.unit == "increments":
        return torch.cat([to_level / increment, to_others], dim=2)
    return torch.cat([to_level, to_others * increment], dim=2)


def fit_mean(config: ModelConfig, parts: list[Described]) -> Mean:
    """For each feature the average of running means that its next values are nearest to, with the
    root mean square of its errors as the spread."""
    mean = Mean(config)
    inputs = torch.from_numpy(np.concatenate([part.inputs for part in parts]))
    targets = np.concatenate([part.targets for part in parts])
    weights = np.concatenate([part.weights for part in parts])
    averages = (distances(config, inputs) @ AVERAGES.T).numpy()  # (B, W, 7)
    errors = (np.abs(targets[:, :, NEXT, None] - averages) * weights[:, :, NEXT, None]).mean(axis=0)
    mean.shares[:] = AVERAGES[errors.argmin(axis=1)]
    given = mean.given(inputs).numpy().reshape(*targets.shape, 2)[..., 0]
    squares = (targets - given).clip(-TARGET_CLIP, TARGET_CLIP) ** 2 * weights
    told = weights.sum(axis=0)
    spreads = np.where(told > 0.0, np.sqrt(squares.sum(axis=0) / np.maximum(told, 1.0)), 1.0)
    mean.log_spreads[:] = torch.from_numpy(np.log(np.maximum(spreads, SMALLEST_SPREAD)))
    return mean


def fit_linear(config: ModelConfig, parts: list[Described]) -> Linear:
    """The least squares map of all parts, with the root mean square of its errors as the spread."""
    read = np.concatenate([part.inputs for part in parts]).astype(np.float64)
    inputs = np.c_[read, np.ones(len(read))]
    shape = (len(inputs), config.width * config.targets)
    targets = np.concatenate([part.targets for part in parts]).reshape(shape).astype(np.float64)
    targets = targets.clip(-TARGET_CLIP, TARGET_CLIP)
    present = np.concatenate([part.weights for part in parts]).reshape(shape) > 0.0
    weights, spreads = np.zeros((inputs.shape[1], shape[1])), np.ones(shape[1])
    for rows, columns in _alike(present):
        if not rows.any():
            continue
        weights[:, columns] = _ridge(inputs[rows], targets[np.ix_(rows, columns)])
        errors = targets[np.ix_(rows, columns)] - inputs[rows] @ weights[:, columns]
        spreads[columns] = np.sqrt(np.mean(errors**2, axis=0))
    linear = Linear(config)
    maps = np.zeros((inputs.shape[1], shape[1], 2))
    maps[:, :, 0] = weights
    maps[-1, :, 1] = np.log(np.maximum(spreads, SMALLEST_SPREAD))
    flat = torch.from_numpy(maps.reshape(len(maps), -1).astype(np.float32))
    with torch.no_grad():
        linear.map.weight.copy_(flat[:-1].T)
        linear.map.bias.copy_(flat[-1])
    return linear


def _alike(present: npt.NDArray[np.bool_]) -> list[tuple[npt.NDArray[np.bool_], I64]]:
    """Columns of `present` that are there in the same rows: (T,) rows and their places."""
    packed = np.packbits(present, axis=0)
    _, kinds = np.unique(packed, axis=1, return_inverse=True)
    groups = [np.flatnonzero(kinds == kind) for kind in range(kinds.max() + 1)]
    return [(present[:, columns[0]], columns) for columns in groups]


def _ridge(inputs: F64, targets: F64) -> F64:
    gram = inputs.T @ inputs
    penalty = PENALTY * len(inputs) * np.eye(len(gram))
    return np.linalg.solve(gram + penalty, inputs.T @ targets).astype(np.float64)
