"""Series for training: what the network would have read of them, and what it should give back."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.config import TARGETS, VALUE_CHANNELS, ModelConfig
from model.normalise import observe
from model.row import RowLayout, RowTable

WARM_UP = 40  # first events of a stream, not trained on: their scales are still guesses

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """One stream's events: times (T,) Unix seconds, values (T, F) with NaN where missing."""

    name: str
    times: F64
    values: F64

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class Described:
    """What the network reads, and should give back, at each event of one run.

    inputs: (T, D). targets: (T, W, TARGETS), the normalised value just read and the next increment
    in the present scale of increments. weights: the same shape, 0 where there is nothing to learn.
    """

    inputs: F32
    targets: F32
    weights: F32


def describe(config: ModelConfig, series: Series) -> list[Described]:
    """Run the serving normaliser over a series; one Described for each run of the network."""
    features = series.values.shape[1]
    _, inputs, units = _observed(config, series)
    targets, weights = _targets(series.values, units, _seen(config, inputs, features))
    if config.joint:
        return [Described(inputs[:, 0], targets, weights)]
    return [
        Described(inputs[:, f], targets[:, f : f + 1], weights[:, f : f + 1])
        for f in range(features)
    ]


def learned(config: ModelConfig, series: Series) -> npt.NDArray[np.void]:
    """(F,) of FEATURE: what the normaliser knows at a series' end."""
    return _observed(config, series)[0].features[0].copy()


def _observed(config: ModelConfig, series: Series) -> tuple[RowTable, F32, F64]:
    """The memory at the end, the network's inputs (T, runs, D), the increment units (T, F)."""
    n, features = series.values.shape
    runs = 1 if config.joint else features
    layout = RowLayout(features=features, runs=runs, memory=config.memory)
    table = RowTable.zeros(layout, 1)
    table.head["offset"] = -1
    inputs = np.empty((n, runs, config.inputs), np.float32)
    units, scales = np.ones((n, features)), np.ones((n, features))
    observe(
        table.head, table.features, np.zeros(n, np.int64), np.arange(n), np.uint64(1),
        series.times, np.zeros(n, np.bool_), series.values, np.inf, config.joint,
        np.empty(n, np.uint8), inputs, units, scales, np.empty(n),
    )  # fmt: skip
    return table, inputs, units


def _seen(config: ModelConfig, inputs: F32, features: int) -> F32:
    """(T, F): the normalised values, as the network reads them."""
    if config.joint:
        return inputs[:, 0, : features * VALUE_CHANNELS : VALUE_CHANNELS]
    return inputs[:, :, 0]


def _targets(values: F64, units: F64, seen: F32) -> tuple[F32, F32]:
    n, features = values.shape
    targets = np.zeros((n, features, TARGETS), np.float32)
    targets[:, :, 0] = seen
    with np.errstate(over="ignore"):
        increments = (values[1:] - values[:-1]) / np.maximum(units[:-1], 1e-30)
    targets[:-1, :, 1] = np.clip(np.nan_to_num(increments), -1e6, 1e6)
    weights = np.zeros_like(targets)
    present = ~np.isnan(values)
    weights[:, :, 0] = present
    weights[:-1, :, 1] = present[:-1] & present[1:] & (units[:-1] > 0.0)
    weights[:WARM_UP] = 0.0
    return targets, weights


def fingerprint(series: list[Series]) -> str:
    """A digest of the training data: names, times and values."""
    digest = hashlib.sha256()
    for one in series:
        digest.update(one.name.encode())
        digest.update(np.ascontiguousarray(one.times).tobytes())
        digest.update(np.ascontiguousarray(one.values).tobytes())
    return digest.hexdigest()
