"""Incidents: episodes of one or many streams that overlap in time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from service.clock import format_time, parse_time
from service.records import SEVERITIES

MOST_BLAMED = 5


def incidents_of(
    episodes: Sequence[Mapping[str, Any]], within_seconds: float
) -> list[dict[str, Any]]:
    """Group episodes, in any order, where one begins no later than `within_seconds` after another
    one's end; the incident that begins last comes first.

    An incident has the name of its earliest episode.
    """
    groups: list[list[Mapping[str, Any]]] = []
    end = 0.0
    for episode in sorted(episodes, key=lambda one: (parse_time(one["start"]), one["id"])):
        if not groups or parse_time(episode["start"]) > end + within_seconds:
            groups.append([])
            end = 0.0
        groups[-1].append(episode)
        end = max(end, parse_time(episode["end"]))
    return [_incident(group) for group in reversed(groups)]


def _incident(episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    worst = max(episodes, key=lambda one: float(one["score"]))
    blamed = Counter(f["feature"] for one in episodes for f in one["features"][:1])
    return {
        "id": episodes[0]["id"],
        "state": "open" if any(one["state"] == "open" for one in episodes) else "closed",
        "severity": min((one["severity"] for one in episodes), key=list(SEVERITIES).index),
        "score": worst["score"],
        "start": episodes[0]["start"],
        "end": format_time(max(parse_time(one["end"]) for one in episodes)),
        "streams": sorted({one["stream"] for one in episodes}),
        "features": [feature for feature, _ in blamed.most_common(MOST_BLAMED)],
        "episodes": [one["id"] for one in episodes],
        "worst": worst["id"],
    }
