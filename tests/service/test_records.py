"""What is told of an event: each feature's share of the blame."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.episodes import EPISODE
from model.judge import SCORE
from service.records import Names, ScoredBatch, result_of

FEATURES = ("pulse", "oxygen", "pressure")

SURPRISES = st.floats(0.0, 1e6)
VALUES = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6))


def shares(values: tuple[float, ...], surprises: tuple[float, ...]) -> dict[str, float]:
    row, told, known = (np.array([part]) for part in (values, surprises, (1.0, 1.0, 1.0)))
    scored = ScoredBatch(
        "d", "a", ("t", 0), FEATURES, Names.of(["s"]), np.zeros(1, np.int64), np.zeros(1, np.int64),
        np.zeros(1), row, np.zeros(1, SCORE), known, known, told, ("near",),
        np.zeros(1, EPISODE), np.zeros(1),
    )  # fmt: skip
    return {name: one["share"] for name, one in result_of(scored, 0)["features"].items()}


def test_a_share_is_a_part_of_what_is_there() -> None:
    assert shares((95.0, 90.0, 150.0), (1.0, 1.0, 2.0)) == {
        "pulse": 0.25, "oxygen": 0.25, "pressure": 0.5,
    }  # fmt: skip
    assert shares((95.0, 90.0, math.nan), (1.0, 3.0, 2.0)) == {"pulse": 0.25, "oxygen": 0.75}


@given(
    values=st.tuples(VALUES, VALUES, VALUES), surprises=st.tuples(SURPRISES, SURPRISES, SURPRISES)
)
def test_shares_of_what_is_there_add_up_to_one(
    values: tuple[float, ...], surprises: tuple[float, ...]
) -> None:
    """Or there are none; whatever a missing value would have."""
    told = shares(values, surprises)
    total = sum(told.values())
    there = zip(values, surprises, strict=True)
    expected = any(much > 0.0 and not math.isnan(value) for value, much in there)
    assert total == pytest.approx(1.0 if expected else 0.0)
