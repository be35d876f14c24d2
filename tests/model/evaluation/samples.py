"""Scores and labels to measure: seeded ones for known values, drawn ones for what must hold."""

import numpy as np
from hypothesis import strategies as st

from model.evaluation.intervals import F64, Bools


def sample(
    seed: int, rows: int, lengths: tuple[int, ...], lift: float, decimals: int | None = None
) -> tuple[F64, Bools]:
    """Uniform scores, higher by `lift` within runs of the given lengths; their labels."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(rows, np.bool_)
    for length in lengths:
        start = int(generator.integers(0, rows))
        labels[start : start + length] = True
    scores: F64 = generator.random(rows) + lift * labels
    if decimals is not None:
        scores = np.round(scores, decimals)
    return scores, labels


def flags(text: str) -> Bools:
    """A row for each character: '#' is True, anything else False."""
    return np.array([character == "#" for character in text], np.bool_)


@st.composite
def scored(draw: st.DrawFn, most: int = 40) -> tuple[F64, Bools]:
    """Scores with ties and labels of both kinds, (T,) each."""
    rows = draw(st.integers(2, most))
    scores = draw(st.lists(st.integers(0, 6), min_size=rows, max_size=rows))
    labels = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    labels[draw(st.integers(0, rows - 1))] = True
    if all(labels):
        labels[draw(st.integers(0, rows - 1))] = False
    return np.array(scores, np.float64), np.array(labels, np.bool_)


def stretched(scores: F64) -> F64:
    """A strictly rising transform that moves every distance."""
    return np.exp(0.7 * scores) - 3.0
