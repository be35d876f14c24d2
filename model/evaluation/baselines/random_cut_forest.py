"""Random cut forests (Guha et al. 2016), run by the engine that OpenSearch's detector runs on.

The strong streaming method to compare with: what an operator would otherwise turn on, and the best
of those on series like these that install beside current numpy. The package krcf binds Amazon's own
implementation; the forest and xStream of PySAD are Python, and take milliseconds an event.
30 trees over samples of 256 and shingles of 8 events, as OpenSearch has them. With many features
shingles shorten: 32 numbers at most, or one event.
"""

import numpy as np
from krcf import RandomCutForest

from model.evaluation.baselines.online import Directions, one_sided, standardised
from model.evaluation.intervals import F64

TREES, SAMPLE_EVENTS = 30, 256
SHINGLE, MOST_NUMBERS = 8, 32


def random_cut_forest(values: F64, directions: Directions, seed: int) -> F64:
    """values (n, F) -> scores (n,): each event is scored, then learned."""
    features = values.shape[1]
    forest = RandomCutForest(
        {
            "dimensions": features,
            "shingle_size": max(1, min(SHINGLE, MOST_NUMBERS // features)),
            "num_trees": TREES,
            "sample_size": SAMPLE_EVENTS,
            "random_seed": seed,
            "output_after": 1,
        }
    )
    scores = np.zeros(len(values))
    for i, event in enumerate(one_sided(standardised(values), directions)):
        scores[i] = forest.score(event)
        forest.update(event)
    return scores
