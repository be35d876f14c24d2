"""What the tests of `model` share: artifacts, and small drivers of the compiled loops."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model.artifact import BASE, Artifact, Description
from model.autoencoder import Autoencoder
from model.calibration import uncalibrated
from model.config import Cell, ModelConfig
from model.export import write_artifact
from model.fresh import fresh_table
from model.linear import Linear, Mean
from model.normalise import Events, Reading, observe
from model.observed import Observed
from model.rehearsal import Predictor
from model.row import RowTable

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

RECURRENT: tuple[Cell, ...] = ("lstm", "gru", "rnn")
MEMORYLESS: tuple[Cell, ...] = ("linear", "mean")
CELLS = RECURRENT + MEMORYLESS
JOINT = ("a", "b", "c")
START_TIME = 1.7e9
WATCHED = ModelConfig(resolutions=(1, 3))
"""Two resolutions that both end a step every few events, and profiles of day and week."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A network with seeded weights, and the artifact that was written of it."""

    network: Predictor
    artifact: Artifact


def network_of(config: ModelConfig, seed: int = 0) -> Autoencoder:
    """A network with seeded, untrained weights."""
    torch.manual_seed(seed)
    return Autoencoder(config).eval()


def predictor_of(config: ModelConfig, seed: int = 0) -> Predictor:
    """What the config's cell asks for, with seeded, untrained weights."""
    torch.manual_seed(seed)
    if config.cell == "linear":
        return Linear(config).eval()
    return Mean(config).eval() if config.cell == "mean" else Autoencoder(config).eval()


def description_of(config: ModelConfig, blocks: int = 4) -> Description:
    """A plausible description: a calibration of so many ordinary surprises for each view."""
    maxima = np.linspace(110, 170, blocks).astype(int).tolist()
    return Description(config, dict.fromkeys(config.views, maxima), None, {"seed": 0})


def small(features: tuple[str, ...], cell: Cell) -> ModelConfig:
    """Everything that the base artifact has, in a network that is quick to run."""
    return ModelConfig(
        features, cell, hidden=12, bottleneck=6, decoder_hidden=5, resolutions=(1, 4)
    )


def export(config: ModelConfig, folder: Path) -> Exported:
    """An artifact of an untrained network, in `folder`."""
    network = predictor_of(config)
    return Exported(network, write_artifact(network, description_of(config), folder))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only lose by more threads, and lose a lot on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base() -> Artifact:
    return Artifact(BASE)


@pytest.fixture(scope="session", params=CELLS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A joint artifact of three features, of each cell."""
    return export(small(JOINT, request.param), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """One that reads three features together."""
    return export(small(JOINT, "lstm"), tmp_path_factory.mktemp("joint")).artifact


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """One that reads feature by feature, as the base artifact does."""
    return export(small((), "lstm"), tmp_path_factory.mktemp("alone")).artifact


def memory_of(features: int, config: ModelConfig = WATCHED) -> RowTable:
    """One row of a stream that nothing was heard of."""
    return fresh_table(config, uncalibrated(config), None, features)


def watch(
    table: RowTable,
    times: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    offset: int = 0,
    timed: bool = False,
    skew: float = np.inf,
    config: ModelConfig = WATCHED,
) -> Observed:
    """`observe` one stream (row 0): times (n,), values (n, F); offsets count up from `offset`.

    What is not written is 255 in the verdicts, NaN in steps and paces, 0 in inputs.
    """
    given = np.array(values, np.float64, ndmin=2)
    n = len(given)
    seen = Observed.of(config, table.layout, n)
    seen.verdicts[:] = 255
    seen.paces[:] = np.nan
    events = Events(
        np.zeros(n, np.int64), offset + np.arange(n), np.uint64(1),
        np.array(times, np.float64, ndmin=1), np.full(n, timed), given,
    )  # fmt: skip
    observe(table.head, table.features, table.profiles, events, Reading.of(config, skew), seen)
    return seen


def ticks(n: int, gap: float = 60.0, start: float = START_TIME) -> F64:
    """Times of n regular events."""
    return start + gap * np.arange(n, dtype=np.float64)


def noisy(seed: int, n: int, features: int = 1) -> F64:
    """(n, features) of white noise."""
    return np.random.default_rng(seed).normal(size=(n, features))


def changed_fields(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> set[str]:
    """Names of the fields in which two structured arrays differ, bit by bit."""
    names = before.dtype.names or ()
    return {name for name in names if before[name].tobytes() != after[name].tobytes()}
