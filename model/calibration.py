"""How surprised a network is on normal data: the history that a new stream starts with."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.artifact import Artifact, Description
from model.autoencoder import Autoencoder
from model.export import write_artifact
from model.row import BLOCKS, VIEWS, Bytes, RowTable
from model.scorer import Scorer, directions_of
from model.series import Series
from model.surprise import PRIOR_BLOCKS


def uncalibrated() -> dict[str, list[int]]:
    """A history so wild that nothing is anomalous: what calibration starts from."""
    return {view: [254] * PRIOR_BLOCKS for view in VIEWS}


def calibrate(
    network: Autoencoder, description: Description, series: list[Series], after: float = 0.0
) -> Description:
    """Score `series` as serving would, and keep quantiles of each view's block maxima.

    `after` is the share of each series, from its start, that is scored and not counted: what the
    network was trained on. Where too little is left, everything counts.
    """
    with tempfile.TemporaryDirectory() as folder:
        artifact = write_artifact(network, description, Path(folder))
        maxima = np.concatenate([block_maxima(artifact, one, after) for one in series], axis=1)
        if maxima.shape[1] < PRIOR_BLOCKS:
            maxima = np.concatenate([block_maxima(artifact, one, 0.0) for one in series], axis=1)
    places = (np.arange(PRIOR_BLOCKS) + 0.5) / PRIOR_BLOCKS
    quantiles = np.quantile(maxima, places, axis=1).round().astype(int)  # (PRIOR_BLOCKS, views)
    calibration = {view: quantiles[:, v].tolist() for v, view in enumerate(VIEWS)}
    return replace(description, calibration=calibration)


def block_maxima(artifact: Artifact, series: Series, after: float) -> Bytes:
    """(views, blocks): the maxima that one series leaves in a fresh memory, behind `after`."""
    n, features = series.values.shape
    names = artifact.config.features or tuple(f"f{f}" for f in range(features))
    table = RowTable(artifact.layout(features), artifact.fresh_rows(names))
    scorer = Scorer(artifact, directions_of(names, {}), budget_per_week=1.0, skew=np.inf)
    offsets, blocks = np.arange(n), [0]
    for part in np.split(offsets, [int(n * after)]):
        scorer.score(
            table, np.zeros_like(part), part, 1, series.times[part], np.zeros(len(part), np.bool_),
            series.values[part],
        )  # fmt: skip
        blocks.append(int(table.head["blocks"][0]))
    counted = np.arange(blocks[-2], blocks[-1])[-BLOCKS:]
    return table.maxima[0][:, counted % BLOCKS]
