"""How surprised a network is on normal data: the history that a new stream starts with."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.artifact import Artifact, Description
from model.autoencoder import Autoencoder
from model.export import write_artifact
from model.row import VIEWS, RowTable
from model.scorer import Scorer, directions_of
from model.series import Series
from model.surprise import PRIOR_BLOCKS


def uncalibrated() -> dict[str, list[int]]:
    return {view: [0] * PRIOR_BLOCKS for view in VIEWS}


def calibrate(network: Autoencoder, description: Description, series: list[Series]) -> Description:
    """Score `series` as serving would, and keep quantiles of each view's block maxima."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = write_artifact(network, description, Path(folder))
        maxima = np.concatenate([block_maxima(artifact, one) for one in series], axis=1)
    places = (np.arange(PRIOR_BLOCKS) + 0.5) / PRIOR_BLOCKS
    quantiles = np.quantile(maxima, places, axis=1).round().astype(int)  # (PRIOR_BLOCKS, views)
    calibration = {view: quantiles[:, v].tolist() for v, view in enumerate(VIEWS)}
    return replace(description, calibration=calibration)


def block_maxima(
    artifact: Artifact, series: Series
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """(views, blocks): the maxima that one series leaves in a fresh memory."""
    n, features = series.values.shape
    names = artifact.config.features or tuple(f"f{f}" for f in range(features))
    table = RowTable(artifact.layout(features), artifact.fresh_rows(names))
    scorer = Scorer(artifact, directions_of(names, {}), budget_per_week=1.0, skew=np.inf)
    scorer.score(
        table, np.zeros(n, np.int64), np.arange(n), 1, series.times, np.zeros(n, np.bool_),
        series.values,
    )  # fmt: skip
    own = int(table.head["blocks"][0])
    return table.maxima[0, :, : min(own, table.maxima.shape[2])]
