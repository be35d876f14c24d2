"""What a person says of a stream's anomalies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.compiled import compiled
from model.feedback import MOST, SURELY, TWICE, Kind, Said, eased, tolerance_of, tolerated
from model.row import HEAD

SCORES = st.floats(0.07, 25_000.0)
SAID = st.lists(st.builds(Said, st.sampled_from(("false", "missed")), SCORES))


@compiled
def both(tolerance: int, out: np.ndarray) -> None:
    out[0], out[1] = tolerated(tolerance), eased(tolerance)


def means(tolerance: int) -> tuple[float, float]:
    out = np.zeros(2)
    both(tolerance, out)
    assert tuple(out) == (tolerated(tolerance), eased(tolerance))
    return float(out[0]), float(out[1])


def test_nothing_said_is_nothing_changed() -> None:
    assert tolerance_of([]) == 0
    assert means(0) == (0.0, 1.0)


@given(SAID, st.floats(1.0, 25_000.0))
def test_what_was_no_anomaly_is_tolerated_up_to_twice_its_score(
    before: list[Said], score: float
) -> None:
    limit, factor = means(tolerance_of([*before, Said("false", score)]))
    assert limit >= TWICE * score * 0.999
    assert factor == 1.0
    assert means(tolerance_of([Said("false", score)]))[0] <= TWICE * score * 1.091


@given(SAID, SCORES)
def test_what_was_missed_would_not_be_missed_again(before: list[Said], score: float) -> None:
    limit, factor = means(tolerance_of([*before, Said("missed", score)]))
    assert score / factor >= 1.0
    assert limit < max(score, 1.0)


@given(SAID)
def test_it_fits_a_memory(said: list[Said]) -> None:
    tolerance = tolerance_of(said)
    assert -MOST <= tolerance <= MOST
    row = np.zeros(1, HEAD)
    row["tolerance"] = tolerance
    assert row["tolerance"][0] == tolerance


@pytest.mark.parametrize(("kind", "score"), [("false", 1e9), ("missed", 1e-9)])
def test_there_is_an_end_to_both(kind: Kind, score: float) -> None:
    assert abs(tolerance_of([Said(kind, score)])) == MOST
    assert SURELY < 1.0
