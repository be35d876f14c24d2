"""What the tests of `model` share: artifacts, and small drivers of the compiled loops."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model.artifact import BASE, Artifact, Description, FeatureStart
from model.autoencoder import Autoencoder
from model.config import Cell, ModelConfig
from model.export import write_artifact
from model.normalise import observe
from model.row import VIEWS, RowLayout, RowTable
from model.surprise import PRIOR_BLOCKS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

CELLS: tuple[Cell, ...] = ("lstm", "gru", "rnn")
START_TIME = 1.7e9


@dataclass(frozen=True, slots=True)
class Exported:
    """A network with seeded weights, and the artifact that was written of it."""

    network: Autoencoder
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class Observed:
    """What `model.normalise.observe` wrote; NaN where it wrote nothing."""

    verdicts: npt.NDArray[np.uint8]
    inputs: F32
    units: F64
    scales: F64
    usual_gaps: F64


def network_of(config: ModelConfig, seed: int = 0) -> Autoencoder:
    """A network with seeded, untrained weights."""
    torch.manual_seed(seed)
    return Autoencoder(config).eval()


def description_of(config: ModelConfig) -> Description:
    """A plausible description: a calibration of ordinary surprises, starts for joint features."""
    maxima = np.linspace(110, 170, PRIOR_BLOCKS).astype(int).tolist()
    starts = {
        name: FeatureStart(level=10.0 * f, scale=1.0 + f, step=0.5, count=300)
        for f, name in enumerate(config.features)
    }
    return Description(config, dict.fromkeys(VIEWS, maxima), starts, {"seed": 0})


def export(cell: Cell, folder: Path) -> Exported:
    """A small joint artifact of three features, in `folder`."""
    config = ModelConfig(("a", "b", "c"), cell, hidden=12, bottleneck=6, decoder_hidden=5)
    network = network_of(config)
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
    return export(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export("lstm", tmp_path_factory.mktemp("joint")).artifact


def fresh_table(features: int, rows: int = 1) -> RowTable:
    """Rows of streams that nothing was heard of, for a network that runs feature by feature."""
    table = RowTable.zeros(RowLayout(features=features, runs=features, memory=4), rows)
    table.head["offset"] = -1
    return table


def watch(
    table: RowTable,
    times: npt.ArrayLike,
    values: npt.ArrayLike,
    *,
    offset: int = 0,
    timed: bool = False,
    skew: float = np.inf,
    joint: bool = False,
    config: ModelConfig | None = None,
) -> Observed:
    """`observe` one stream (row 0): times (n,), values (n, F); offsets count up from `offset`."""
    config = config or ModelConfig()
    given = np.array(values, np.float64, ndmin=2)
    n, features = given.shape
    verdicts = np.full(n, 255, np.uint8)
    inputs = np.full((n, 1 if joint else features, config.inputs), np.nan, np.float32)
    units, scales = np.full((n, features), np.nan), np.full((n, features), np.nan)
    usual_gaps = np.full(n, np.nan)
    observe(
        table.head, table.features, np.zeros(n, np.int64), offset + np.arange(n), np.uint64(1),
        np.array(times, np.float64, ndmin=1), np.full(n, timed), given, skew, joint, verdicts,
        inputs, units, scales, usual_gaps,
    )  # fmt: skip
    return Observed(verdicts, inputs, units, scales, usual_gaps)


def ticks(n: int, gap: float = 60.0, start: float = START_TIME) -> F64:
    """Times of n regular events."""
    return start + gap * np.arange(n, dtype=np.float64)


def changed_fields(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> set[str]:
    """Names of the fields in which two structured arrays differ, bit by bit."""
    names = before.dtype.names or ()
    return {name for name in names if before[name].tobytes() != after[name].tobytes()}
