"""What does not matter alarms nobody; what is outside its limits always does."""

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.judge import REFRACTORY_EVENTS
from model.suppression import (
    BY_LIMIT,
    BY_MUTE,
    BY_NOTHING,
    BY_RULE,
    SURPRISE,
    Rule,
    bound_of,
    rule_table,
)
from model.views import POOLED
from tests.model.conftest import F64
from tests.model.test_judge import AT, Judged

NONE: Mapping[str, Rule] = MappingProxyType({})
FEATURES = ("pulse", "oxygen")


def told_of(expected: tuple[float, ...], surprises: tuple[float, ...]) -> F64:
    return np.array([[e, 1.0, s, 0.0] for e, s in zip(expected, surprises, strict=True)])


def parts_of(told: F64) -> F64:
    return np.nan_to_num(told[:, SURPRISE])


def bound(
    values: tuple[float, float],
    surprises: tuple[float, float] = (3.0, 1.0),
    muted: tuple[bool, bool] = (False, False),
    expected: tuple[float, float] = (80.0, 97.0),
    rules: Mapping[str, Rule] = NONE,
) -> int:
    told = told_of(expected, surprises)
    table, parts = rule_table(FEATURES, rules), parts_of(told)
    return bound_of(np.array(values), np.array(muted), table, told, parts, np.zeros(POOLED))


@pytest.mark.parametrize(
    ("rule", "value", "says"),
    [
        (Rule(), 90.0, BY_NOTHING),
        (Rule(least=11.0), 90.0, BY_RULE),
        (Rule(least=11.0), 70.0, BY_RULE),
        (Rule(least=10.0), 90.0, BY_NOTHING),
        (Rule(least_share=0.2), 90.0, BY_RULE),
        (Rule(least_share=0.1), 90.0, BY_NOTHING),
        (Rule(fine_from=60.0, fine_to=90.0), 90.0, BY_RULE),
        (Rule(fine_from=60.0, fine_to=90.0), 90.1, BY_NOTHING),
        (Rule(fine_from=-math.inf, fine_to=90.0), -1e9, BY_RULE),
        (Rule(lowest=40.0, highest=90.0), 90.0, BY_NOTHING),
        (Rule(lowest=40.0, highest=90.0), 90.1, BY_LIMIT),
        (Rule(lowest=40.0, highest=90.0), 39.9, BY_LIMIT),
        (Rule(least=100.0, highest=85.0), 90.0, BY_LIMIT),
    ],
)
def test_a_rule_is_of_the_features_own_values(rule: Rule, value: float, says: int) -> None:
    assert bound((value, 97.0), rules={"pulse": rule}) == says


def test_who_has_most_of_the_blame_decides() -> None:
    small = Rule(least=1000.0)
    assert bound((90.0, 80.0), surprises=(3.0, 3.0), rules={"pulse": small}) == BY_RULE
    assert bound((90.0, 80.0), surprises=(2.9, 3.0), rules={"pulse": small}) == BY_NOTHING
    assert bound((90.0, 80.0), surprises=(2.9, 3.0), muted=(False, True)) == BY_MUTE
    assert bound((90.0, 80.0), surprises=(3.0, 1.0), muted=(False, True)) == BY_NOTHING


def test_where_nothing_is_known_of_blame_all_values_must_be_silent() -> None:
    unknown = (math.nan, math.nan)
    assert bound((90.0, 80.0), surprises=unknown, muted=(True, True)) == BY_MUTE
    assert bound((90.0, 80.0), surprises=unknown, muted=(True, False)) == BY_NOTHING
    assert bound((90.0, math.nan), surprises=unknown, muted=(True, False)) == BY_MUTE
    fine = Rule(fine_from=0.0, fine_to=100.0)
    assert bound((90.0, 80.0), surprises=unknown, rules={"pulse": fine, "oxygen": fine}) == BY_RULE


def test_nothing_expected_yet_is_no_small_deviation() -> None:
    nothing = (math.nan, math.nan)
    assert bound((90.0, math.nan), expected=nothing, rules={"pulse": Rule(least=1e9)}) == BY_NOTHING


def test_a_mute_is_stronger_than_a_limit() -> None:
    assert (
        bound((200.0, 97.0), muted=(True, False), rules={"pulse": Rule(highest=150.0)}) == BY_MUTE
    )


def test_what_is_outside_its_limits_is_to_blame() -> None:
    told = told_of((80.0, 97.0), (5.0, 0.0))
    rules = rule_table(FEATURES, {"oxygen": Rule(lowest=90.0)})
    values, muted = np.array([85.0, 80.0]), np.zeros(2, np.bool_)
    assert bound_of(values, muted, rules, told, parts_of(told), np.zeros(POOLED)) == BY_LIMIT
    assert told[1, SURPRISE] / told[:, SURPRISE].sum() >= 0.5


@pytest.mark.parametrize(
    ("values", "muted", "left"),
    [
        ((95.0, 90.0, 150.0), (), (1.0, 1.0, 3.0)),
        ((75.0, 90.0, 150.0), (), (0.0, 1.0, 3.0)),
        ((75.0, 96.0, 150.0), (), (0.0, 0.0, 3.0)),
        ((math.nan, 96.0, 150.0), (), (1.0, 0.0, 3.0)),
        ((101.0, 96.0, 120.0), (), (5.0, 0.0, 3.0)),
        ((75.0, 96.0, 150.0), (2,), (1.0, 1.0, 3.0)),
        ((75.0, 96.0, math.nan), (), (1.0, 1.0, 3.0)),
    ],
    ids=["all matter", "near", "fine", "missing", "outside", "muted", "nothing matters"],
)
def test_what_does_not_matter_is_not_to_blame_unless_the_event_is_suppressed(
    values: tuple[float, ...], muted: tuple[int, ...], left: tuple[float, ...]
) -> None:
    told = told_of((80.0, 97.0, 120.0), (1.0, 1.0, 3.0))
    known = {"pulse": Rule(least=10.0, highest=100.0), "oxygen": Rule(fine_from=95.0, fine_to=100)}
    table, silent = rule_table((*FEATURES, "pressure"), known), np.zeros(3, np.bool_)
    silent[list(muted)] = True
    bound_of(np.array(values), silent, table, told, parts_of(told), np.zeros(POOLED))
    assert tuple(told[:, SURPRISE]) == left


any_value = st.floats(-1e6, 1e6)
rules = st.builds(
    Rule, st.floats(0.0, 1e3), st.floats(0.0, 2.0), any_value, any_value, any_value, any_value
)


@settings(deadline=None, max_examples=200)
@given(st.tuples(any_value, any_value), st.tuples(rules, rules), st.floats(0.0, 9.0))
def test_a_looser_rule_suppresses_no_less(
    values: tuple[float, float], given_rules: tuple[Rule, Rule], surprise: float
) -> None:
    """Without limits: an event that is suppressed is suppressed under wider rules too."""
    free = {"lowest": -math.inf, "highest": math.inf}
    tight = {f: replace(r, **free) for f, r in zip(FEATURES, given_rules, strict=True)}
    loose = {f: replace(r, least=r.least * 2.0) for f, r in tight.items()}
    if bound(values, (surprise, 1.0), rules=tight) == BY_RULE:
        assert bound(values, (surprise, 1.0), rules=loose) == BY_RULE


def test_a_suppressed_anomaly_is_an_anomaly_that_alarms_nobody() -> None:
    for why in (BY_MUTE, BY_RULE):
        stream = Judged()
        out = stream.tell(AT * 3.0, bound=why)
        assert (out["score"][0], out["alarm"][0], out["bound"][0]) == (3.0, False, why)
        assert stream.tell(AT * 1.1)["alarm"][0], "what is suppressed takes no refractory period"


def test_a_limit_alarms_as_often_as_the_refractory_period_lets_it() -> None:
    stream = Judged()
    told = [stream.tell(0.0, bound=BY_LIMIT) for _ in range(REFRACTORY_EVENTS + 1)]
    assert all(one["score"][0] == 1.0 for one in told)
    assert [k for k, one in enumerate(told) if one["alarm"][0]] == [0, REFRACTORY_EVENTS]
    assert told[0]["tail_probability"][0] == 1.0, "what was usual of it is told as it is"


def test_a_normal_event_is_bound_by_nothing() -> None:
    for why in (BY_MUTE, BY_RULE):
        assert Judged().tell(AT * 0.5, bound=why)["bound"][0] == BY_NOTHING
