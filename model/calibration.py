"""How surprised a network is on normal data: the history that a new stream starts with."""

from dataclasses import replace

import numpy as np

from model.artifact import Artifact, Description
from model.config import ModelConfig
from model.row import Bytes, RowTable
from model.scorer import Scorer, directions_of
from model.series import Series
from model.tails import UNSPOKEN, YOUNG, byte_of, place_of

FEWEST_BLOCKS = 20  # of what is held out; with fewer everything counts


def uncalibrated(config: ModelConfig) -> dict[str, list[int]]:
    """No history, so that nothing is anomalous before a stream has its own; nor one to be had where
    streams are held against each other."""
    return {} if config.in_population else {view: [UNSPOKEN] for view in config.views}


def calibrate(
    artifact: Artifact, series: list[Series], blocks: int, after: float = 0.0
) -> Description:
    """Score `series` as serving would, and keep at most `blocks` quantiles of each view's block
    maxima, in an order that leaves any number of the last ones a fair sample.

    `after` is the share of each series, from its start, that is left out: what the network was
    trained on. The first YOUNG blocks are too: scales are still guesses. Where too little is left,
    first the one and then the other counts as well.
    """
    held_out = [one.last(len(one) - int(after * len(one))) for one in series]
    for parts, young in ((held_out, YOUNG), (series, YOUNG), (series, 0)):
        maxima = np.concatenate([block_maxima(artifact, one, young) for one in parts], axis=1)
        if maxima.shape[1] >= min(blocks, FEWEST_BLOCKS):
            break
    kept = max(1, min(blocks, maxima.shape[1]))
    places = np.random.default_rng(0).permutation((np.arange(kept) + 0.5) / kept)
    calibration = {}
    for v, view in enumerate(artifact.config.views):
        spoken = maxima[v][maxima[v] != UNSPOKEN]
        # A view that never spoke: nothing it says is anomalous until a stream has its own history.
        values = np.quantile(spoken, places) if len(spoken) else np.full(kept, UNSPOKEN)
        calibration[view] = values.round().astype(int).tolist()
    return replace(artifact.description, calibration=calibration)


def block_maxima(artifact: Artifact, series: Series, young: int) -> Bytes:
    """(views, blocks): the maxima that one series leaves in a fresh memory, as a new stream does.

    Without its first `young`; UNSPOKEN where a view said nothing; a series shorter than a block is
    one.
    """
    n, features = series.values.shape
    names = artifact.config.features or tuple(f"f{f}" for f in range(features))
    table = RowTable.copies(artifact.fresh_rows(features), artifact.layout(features), 1)
    scorer = Scorer(artifact, directions_of(names, {}), budget_per_week=1.0, skew=np.inf)
    table.maxima[:] = UNSPOKEN
    scorer.score(
        table, np.zeros(n, np.int64), np.arange(n), 1, series.times, np.zeros(n, np.bool_),
        series.values, series.categories,
    )  # fmt: skip
    blocks = int(table.head["blocks"][0])
    if blocks == 0 and young == 0:
        maxima = table.tails["maximum"][0]
        bytes_ = [byte_of(x) if x >= 0.0 else UNSPOKEN for x in maxima.tolist()]
        return np.array(bytes_, np.uint8)[:, None]
    size = artifact.config.blocks
    return table.maxima[0][:, sorted({place_of(block, size) for block in range(young, blocks)})]
