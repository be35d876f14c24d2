"""Why an event is anomalous, in a sentence that a person can act on."""

from collections.abc import Mapping, Sequence
from typing import Any

LIMITS = "limits"  # no view: a value is outside those that were set
IN_WORDS = {
    LIMITS: "outside the limits that are set for it",
    "near": "not what the values just before led to",
    "middle": "not what the last values led to",
    "far": "not what the values of a while ago led to",
    "long": "not far off, but off for long",
    "day": "unusual for this time of day",
    "week": "unusual for this time of the week",
    "jump": "a jump from the values just before",
    "rare": "as far off as streams of its kind hardly ever are",
    "away": "away from the usual level for a while now",
    "coarse near": "part of an unusual course over many events",
    "coarse middle": "part of an unusual course over many events",
    "coarse far": "part of an unusual course over many events",
}
"""What each of `model.views` says of an event."""
ERRORS = {"near", "middle", "far"}  # what a band shows already
ALSO_SHARE, MOST_ALSO = 0.2, 2


def why(view: str, features: Sequence[Mapping[str, Any]]) -> str:
    """Of an anomalous event: the view in which it is most surprising, and its features, the one to
    blame most first, as `service.records` tells them."""
    if not features:
        return f"its score alone is known: {IN_WORDS[view]}"
    first, *others = features
    also = [_also(one) for one in others if one["share"] >= ALSO_SHARE][:MOST_ALSO]
    return "; ".join([_first(first, view), *also])


def normal(features: Sequence[Mapping[str, Any]], exact: bool) -> str:
    """What would have been normal in place of an anomalous event: of one feature from where to
    where, of several the nearest values."""
    about = "" if exact else "about "
    if len(features) > 1:
        values = ", ".join(f"{one['feature']} {_short(one['nearest'])}" for one in features)
        return f"would have been normal with {about}{values}, and the rest as it was"
    (one,) = features
    ends = [
        f"{word} {_short(one[end])}"
        for word, end in (("from", "low"), ("up to" if one["low"] is None else "to", "high"))
        if one[end] is not None
    ]
    where = about + " ".join(ends) if ends else "whatever it was"
    return f"{one['feature']} would have been normal {where}, had the rest been as it was"


def _first(told: Mapping[str, Any], view: str) -> str:
    name = f"{told['feature']} {_short(told['actual'])}"
    limit = told.get("limit")
    said = IN_WORDS[view] if limit is None else _beyond(told["actual"], limit)
    if told["expected"] is None:
        return f"{name}, when nothing was expected of it yet: {said}"
    band = f"{_short(told['low'])} to {_short(told['high'])}"
    if not _outside(told):
        return f"{name} is within the expected {band}, but {said}"
    return f"{name}, expected {band}" + ("" if limit is None and view in ERRORS else f": {said}")


def _beyond(actual: float, limit: float) -> str:
    return f"{'above' if actual > limit else 'below'} its limit of {_short(limit)}"


def _also(told: Mapping[str, Any]) -> str:
    if told["expected"] is None or not _outside(told):
        return f"also {told['feature']} {_short(told['actual'])}"
    how = "high" if told["actual"] > told["high"] else "low"
    return f"also {told['feature']} {how}, {_short(told['actual'])}"


def _outside(told: Mapping[str, Any]) -> bool:
    return not told["low"] <= told["actual"] <= told["high"]


def _short(value: float) -> str:
    """Four digits, or all of a whole number that has more."""
    whole = value == round(value) and abs(value) < 1e15
    return f"{value:,.0f}" if whole else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
