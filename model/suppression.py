"""What people know beforehand of a feature, and what they do not want to hear of.

- A deviation that is too small to matter, or a value that is known to be fine, is not to blame for
  an anomaly. Where at least half of the blame would lie on such features or on muted ones, of those
  that are most to blame, the anomalous event is suppressed: it is scored as ever, says who is to
  blame, and alarms nobody.
- A value outside its limits is anomalous whatever was expected, unless it is muted.

A mute and a rule never change what memories learn of values.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

from model.compiled import inlined
from model.views import pool

BY_NOTHING, BY_MUTE, BY_RULE, BY_LIMIT = 0, 1, 2, 3
"""What an event's alarm was decided by beside its score."""

SURPRISE, EXPECTED = 2, 0  # places in `judge.Verdicts.told`

Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
Structured = npt.NDArray[np.void]

SUPPRESSED = {BY_MUTE: "mute", BY_RULE: "rule"}
"""Those for which an anomalous event alarms nobody."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Of one feature, in its own units; NaN or an infinity where there is none.

    least: deviations from what was expected below it do not matter; least_share: nor those below
    this share of what was expected. fine_from, fine_to: values between them are fine. lowest,
    highest: limits, outside of which a value is anomalous.
    """

    least: float = 0.0
    least_share: float = 0.0
    fine_from: float = math.nan
    fine_to: float = math.nan
    lowest: float = -math.inf
    highest: float = math.inf


NO_RULE = Rule()
RULE = np.dtype([(field.name, "<f8") for field in fields(Rule)])


def rule_table(features: Sequence[str], rules: Mapping[str, Rule]) -> Structured:
    """(F,) of RULE, for `bound_of`."""
    return np.array([astuple(rules.get(name, NO_RULE)) for name in features], RULE)


@inlined
def bound_of(
    values: F64, muted: Bools, rules: Structured, told: F64, parts: F64, largest: F64
) -> int:
    """What decides on one event beside its score.

    values, muted: (F,). rules: (F,) of RULE. told: (F, 4), see `judge.Verdicts`: what does not
    matter is not to blame there, except for a suppressed event, where it says what is suppressed;
    values outside their limits get at least half of the blame. parts: (F,) of the blame; a feature
    that is missing in the event may have some, by what came before. largest: (POOLED,), room.
    """
    present, muted_ones, fine_ones, silent, limit = 0, 0, 0, False, False
    for f in range(values.shape[0]):
        by = bound_of_value(values[f], muted[f], rules[f], told[f, EXPECTED])
        silent = silent or by in (BY_MUTE, BY_RULE)
        if not math.isnan(values[f]):
            present += 1
            muted_ones += by == BY_MUTE
            fine_ones += by == BY_RULE
            limit = limit or by == BY_LIMIT
    bound = BY_NOTHING
    if limit:
        blame(values, muted, rules, told)
        bound = BY_LIMIT
    elif present > 0 and silent:
        total, by_mute, by_rule = 0.0, 0.0, 0.0
        counted = least_counted(parts, largest)
        for f in range(values.shape[0]):
            if parts[f] < counted:
                continue
            by = bound_of_value(values[f], muted[f], rules[f], told[f, EXPECTED])
            total += parts[f]
            by_mute += parts[f] if by == BY_MUTE else 0.0
            by_rule += parts[f] if by == BY_RULE else 0.0
        if is_most(muted_ones, present, by_mute, total):
            bound = BY_MUTE
        elif is_most(muted_ones + fine_ones, present, by_mute + by_rule, total):
            bound = BY_RULE
    if silent and bound not in (BY_MUTE, BY_RULE):
        acquit(values, rules, told)
    return bound


@inlined
def bound_of_value(value: float, muted: bool, rule: np.void, expected: float) -> int:
    """What there is to say of one value; of a missing one, NaN, whether it is muted."""
    if muted:
        return BY_MUTE
    if is_outside(value, rule):
        return BY_LIMIT
    return BY_RULE if does_not_matter(value, expected, rule) else BY_NOTHING


@inlined
def least_counted(parts: F64, largest: F64) -> float:
    """The least part of the blame that counts: a view is of its largest, and the ordinary noise of
    many other features must not outweigh them."""
    largest[:] = 0.0
    for f in range(parts.shape[0]):
        pool(largest, parts[f])
    return float(largest[-1])


@inlined
def is_most(some: int, present: int, blamed: float, total: float) -> bool:
    """Whether these are all features that are there, or at least half of the blame is theirs."""
    return bool(some == present or (total > 0.0 and 2.0 * blamed >= total))


@inlined
def is_outside(value: float, rule: np.void) -> bool:
    """Whether a value is outside its limits; NaN never is."""
    return bool(value < rule["lowest"] or value > rule["highest"])


@inlined
def does_not_matter(value: float, expected: float, rule: np.void) -> bool:
    """Whether a value is fine, or not far enough from what was expected of it."""
    if rule["fine_from"] <= value <= rule["fine_to"]:
        return True
    deviation = abs(value - expected)  # NaN where nothing was expected: it is below nothing
    return bool(deviation < rule["least"] or deviation < rule["least_share"] * abs(expected))


@inlined
def blame(values: F64, muted: Bools, rules: Structured, told: F64) -> None:
    """Let the values outside their limits be as surprising as all others together."""
    total = 0.0
    for f in range(values.shape[0]):
        if not math.isnan(values[f]) and told[f, SURPRISE] > 0.0:
            total += told[f, SURPRISE]
    for f in range(values.shape[0]):
        if not muted[f] and is_outside(values[f], rules[f]):
            told[f, SURPRISE] = max(total, 1.0)


@inlined
def acquit(values: F64, rules: Structured, told: F64) -> None:
    """Let what does not matter have no part in the surprise."""
    for f in range(values.shape[0]):
        fine = does_not_matter(values[f], told[f, EXPECTED], rules[f])
        if fine and not is_outside(values[f], rules[f]):
            told[f, SURPRISE] = 0.0
