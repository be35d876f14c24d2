"""Half-space trees (Tan, Ting and Liu 2011), as the library river has them.

25 trees of height 15 in the paper; river's own defaults, 10 of height 8, trade some of it for time.
Here 25 of height 8. Its window of 250 events has to pass before the first score.
"""

from typing import Any

import numpy as np
from river import anomaly

from model.evaluation.baselines.online import Directions, one_sided, standardised
from model.evaluation.intervals import F64

TREES, HEIGHT, WINDOW_EVENTS = 25, 8, 250
SPAN = 4.0  # deviations on either side of 0 that the trees divide


def half_space_trees(values: F64, directions: Directions, seed: int) -> F64:
    """values (n, F) -> scores (n,): each event is scored, then learned."""
    trees: Any = anomaly.HalfSpaceTrees(TREES, HEIGHT, WINDOW_EVENTS, seed=seed)
    deviations = one_sided(standardised(values), directions)
    scores = np.zeros(len(values))
    for i, row in enumerate(np.clip((deviations + SPAN) / (2.0 * SPAN), 0.0, 1.0)):
        features = dict(enumerate(row.tolist()))
        scores[i] = trees.score_one(features)
        trees.learn_one(features)
    return scores
