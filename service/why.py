"""What else can be said of an anomaly: what would have been normal, and when it was like this.

Both follow from the stream's values as they are kept. What would have been normal is asked of a
memory that is made again from them, in a thread of whoever asks; where that memory does not say of
the event what was said then, nothing is known of what would have been normal.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import numpy as np

from model.again import Again
from model.counterfactual import Changed, nearest_normal
from model.feedback import easing_of
from model.scorer import Scorer, directions_of
from model.similar import most_alike
from model.suppression import rule_table
from service.blocks.columns import F64, Kept
from service.clock import format_time, parse_time
from service.detector import Configured
from service.words import normal

MOST_EVENTS = 20_000  # of the past that is looked at: half a second's work
MOST_VALUES = 400_000  # of it that are scored again: twice that
WINDOW_EVENTS = 32
MOST_TIMES = 3
ALIKE = 0.45  # the distance of windows whose correlation is 0.9
AGREES = 0.1  # of what was told then: by so much a memory may differ that is made again
EXACT = 0.01

Told = Mapping[str, Any]


def past_of(kept: Kept, anomaly: Told) -> Kept | None:
    """What came before an anomaly, and the anomaly, the last; None where it is not there."""
    found = np.flatnonzero(kept.offsets == anomaly["offset"])
    return kept.only(slice(0, int(found[-1]) + 1)) if len(found) else None


def why_of(anomaly: Told, past: Kept | None, configured: Configured | None) -> dict[str, Any]:
    """All of it. configured: of the detector that told of it, None where it is there no longer."""
    blamed = _blamed(anomaly)
    feature = blamed[0]["feature"] if blamed else None
    asked = _then(anomaly, past, configured)
    change: dict[str, Any] | None = None
    unknown: str | None = None
    usual: list[dict[str, Any]] = []
    if isinstance(asked, str):
        unknown = asked
    else:
        change, unknown = _normal(anomaly, blamed, *asked)
        usual = _usual(anomaly, feature, *asked)
    return {
        "id": anomaly["id"],
        "stream": anomaly["stream"],
        "detector": anomaly["detector"],
        "feature": feature,
        "counterfactual": change,
        "unknown": unknown,
        "usual": usual,
        **_before(past, feature, anomaly),
    }


def _blamed(anomaly: Told) -> list[dict[str, Any]]:
    """Its features, the one to blame most first."""
    features = [{"feature": name, **told} for name, told in anomaly["features"].items()]
    return sorted(features, key=itemgetter("share"), reverse=True)


def _before(past: Kept | None, feature: str | None, anomaly: Told) -> dict[str, Any]:
    """Times that were like this one, and whether the value was ever reached."""
    if past is None or feature is None or feature not in past.features:
        return {"events": 0, "since": None, "unseen": None, "similar": []}
    one = past.of(feature)
    one = one.only(~np.isnan(one.values[:, 0]))
    values, rounded = one.values[:-1, 0], one.rounded[:-1, 0]
    if len(values) == 0:
        return {"events": 0, "since": None, "unseen": None, "similar": []}
    came = anomaly["features"][feature]["actual"]
    known = (values - rounded).min() <= came <= (values + rounded).max()
    return {
        "events": len(values),
        "since": format_time(float(one.times.min())),
        "unseen": not known,
        "similar": _similar(one),
    }


def _similar(one: Kept) -> list[dict[str, Any]]:
    """Of one feature, the nearest first."""
    found = []
    for like in most_alike(one.values[:, 0], WINDOW_EVENTS, MOST_TIMES, ALIKE):
        window = one.only(slice(like.start, like.start + WINDOW_EVENTS))
        highest = float(window.scores.max())
        found.append(
            {
                "start": format_time(float(window.times.min())),
                "end": format_time(float(window.times.max())),
                "distance": like.distance,
                "score": highest,
                "anomalous": highest >= 1.0,
            }
        )
    return found


def _then(
    anomaly: Told, past: Kept | None, configured: Configured | None
) -> tuple[Again, tuple[str, ...]] | str:
    """The stream's memory before an anomaly, made again, and its features; or why there is none."""
    if past is None:
        return "the values of this event are not kept here, or not any longer"
    if configured is None:
        return f"it was scored with the artifact {anomaly['artifact']}, which is not in use now"
    config = configured.artifact.config
    if config.categories:
        return f"{', '.join(config.categories)} count too, and only numbers are kept"
    names = config.features or tuple(name for name in past.features if _has(past, name, anomaly))
    return _memory(past, names, configured), names


def _usual(
    anomaly: Told, feature: str | None, memory: Again, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """What the most blamed feature usually is at such times, as far as the memory has learnt it."""
    if feature not in names:
        return []
    told = memory.usual(parse_time(anomaly["time"]))[names.index(feature)].tolist()
    return [
        {"of": of, "value": value, "deviation": deviation}
        for of, (value, deviation) in zip(("day", "week"), told, strict=True)
        if not np.isnan(value)
    ]


def _normal(
    anomaly: Told, blamed: list[dict[str, Any]], memory: Again, names: tuple[str, ...]
) -> tuple[dict[str, Any] | None, str | None]:
    """What would have been normal, or why that is not known."""
    event = _row(anomaly, names, "actual")
    time = parse_time(anomaly["time"])
    unaided = memory.supposed(time, event[None])[0]
    memory.ease(easing_of(float(unaided["threshold"]), anomaly["threshold"]))
    again = memory.supposed(time, event[None])[0]
    if (unlike := _unlike(anomaly, again)) is not None:
        return None, unlike
    expected = _row(anomaly, names, "expected")
    changed = nearest_normal(
        event, expected, _row(anomaly, names, "high") - expected,
        [names.index(one["feature"]) for one in blamed],
        lambda events: np.asarray(memory.supposed(time, events)["score"]),
    )  # fmt: skip
    if not changed:
        return (
            None,
            "even the values that were expected would have been an anomaly here: it is what came "
            "before this event that is unusual",
        )
    return _told(changed, names, event, float(again["score"]), anomaly["score"]), None


def _has(past: Kept, name: str, anomaly: Told) -> bool:
    """Whether the stream has a feature, which another one of its detector may have."""
    return name in anomaly["features"] or not np.isnan(past.of(name).values).all()


def _row(anomaly: Told, names: tuple[str, ...], what: str) -> F64:
    """(F,) of what was told of features, NaN where nothing was."""
    told = (anomaly["features"].get(name, {}).get(what) for name in names)
    return np.array([np.nan if value is None else value for value in told])


def _memory(past: Kept, names: tuple[str, ...], configured: Configured) -> Again:
    """The stream's before its last event, as far as its past is kept."""
    directions = directions_of(names, configured.directions)
    scorer = Scorer(configured.artifact, directions, configured.budget_per_week, configured.skew)
    scorer.rules = rule_table(names, configured.rules)
    memory = Again(configured.artifact, scorer)
    before = past.only(slice(0, -1))
    before = before.only(slice(-(MOST_VALUES // len(names)), None))
    memory.follow(before.times, before.columns(names))
    return memory


def _unlike(anomaly: Told, again: np.void) -> str | None:
    """In what a memory that was made again differs from the one that told of the anomaly."""
    for name in ("score", "level"):
        then, now = anomaly[name], float(again[name])
        if not abs(now - then) <= AGREES * then:
            return (
                f"worked out again from the values that are kept, its {name} is {now:.3g} and not "
                f"{then:.3g}: the memory of then knew more than what is kept, or other events"
            )
    if again["score"] >= 1.0:
        return None
    return "worked out again from the values that are kept, which are rounded, it is no anomaly"


def _told(
    changed: list[Changed], names: tuple[str, ...], event: F64, score: float, then: float
) -> dict[str, Any]:
    features = [
        {
            "feature": names[one.place],
            "actual": float(event[one.place]),
            "nearest": one.value,
            "low": one.low if np.isfinite(one.low) else None,
            "high": one.high if np.isfinite(one.high) else None,
        }
        for one in changed
    ]
    exact = abs(score - then) <= EXACT * then
    return {"features": features, "score": score, "says": normal(features, exact)}
