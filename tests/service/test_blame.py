"""Whose part of the surprise is told: of values that are there, and that rules hold to matter."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.episodes import EPISODE
from model.judge import SCORE
from model.suppression import BY_LIMIT, BY_MUTE, BY_NOTHING, BY_RULE, Rule, rule_table
from service.blame import blamed
from service.records import Names, ScoredBatch, result_of

FEATURES = ("pulse", "oxygen", "pressure")
RULES = {"pulse": Rule(least=10.0, highest=100.0), "oxygen": Rule(fine_from=95.0, fine_to=100.0)}
EXPECTED = (80.0, 97.0, 120.0)

SURPRISES = st.floats(0.0, 1e6)
VALUES = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6))


def shares(
    values: tuple[float, ...], surprises: tuple[float, ...], bound: int = BY_NOTHING
) -> dict[str, float]:
    """What is told of one event under RULES."""
    scores = np.zeros(1, SCORE)
    scores["bound"] = bound
    row, told, expected = (np.array([part]) for part in (values, surprises, EXPECTED))
    scored = ScoredBatch(
        "d", "a", ("t", 0), FEATURES, Names.of(["s"]), np.zeros(1, np.int64), np.zeros(1, np.int64),
        np.zeros(1), row, scores, expected, np.ones((1, 3)),
        blamed(row, expected, told, scores, rule_table(FEATURES, RULES)), ("near",),
        np.zeros(1, EPISODE), np.zeros(1), RULES,
    )  # fmt: skip
    return {name: one["share"] for name, one in result_of(scored, 0)["features"].items()}


@pytest.mark.parametrize(
    ("values", "bound", "told"),
    [
        ((95.0, 90.0, 150.0), BY_NOTHING, (0.25, 0.25, 0.5)),
        ((75.0, 90.0, 150.0), BY_NOTHING, (0.0, 1 / 3, 2 / 3)),
        ((75.0, 96.0, 150.0), BY_NOTHING, (0.0, 0.0, 1.0)),
        ((75.0, 96.0, 150.0), BY_LIMIT, (0.0, 0.0, 1.0)),
        ((75.0, 96.0, 150.0), BY_RULE, (0.25, 0.25, 0.5)),
        ((75.0, 96.0, 150.0), BY_MUTE, (0.25, 0.25, 0.5)),
        ((101.0, 96.0, 120.0), BY_LIMIT, (1 / 3, 0.0, 2 / 3)),
        ((75.0, 96.0, math.nan), BY_NOTHING, (0.0, 0.0)),
    ],
)
def test_what_does_not_matter_has_no_share_unless_the_event_is_suppressed(
    values: tuple[float, ...], bound: int, told: tuple[float, ...]
) -> None:
    assert tuple(shares(values, (1.0, 1.0, 2.0), bound).values()) == pytest.approx(told)


@given(
    values=st.tuples(VALUES, VALUES, VALUES), surprises=st.tuples(SURPRISES, SURPRISES, SURPRISES)
)
def test_shares_of_what_is_there_add_up_to_one(
    values: tuple[float, ...], surprises: tuple[float, ...]
) -> None:
    """Or there are none; whatever a missing value would have."""
    told = shares(values, surprises, BY_RULE)
    total = sum(told.values())
    there = zip(values, surprises, strict=True)
    expected = any(much > 0.0 and not math.isnan(value) for value, much in there)
    assert total == pytest.approx(1.0 if expected else 0.0)
