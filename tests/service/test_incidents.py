"""Episodes that overlap are one incident."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.clock import format_time, parse_time
from service.incidents import incidents_of

START = 1.7e9


def episode(name: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    """Of a stream; seconds from START."""
    return {
        "id": f"default:log:0:{name}", "stream": f"s-{name}", "state": "closed",
        "severity": "minor", "score": 1.2, "start": format_time(START + start),
        "end": format_time(START + end), "features": [{"feature": "cpu"}, {"feature": "disk"}],
        **more,
    }  # fmt: skip


def test_what_overlaps_is_one_incident_with_the_worst_of_its_episodes() -> None:
    given = [
        episode("late", 5000, 5000, features=[]),
        episode("b", 60, 900, severity="critical", score=3.0, state="open"),
        episode("a", 0, 100),
        episode("c", 950, 950, severity="major", score=2.0, features=[{"feature": "io"}]),
    ]
    late, first = incidents_of(given, 100.0)
    assert first == {
        "id": "default:log:0:a",
        "state": "open",
        "severity": "critical",
        "score": 3.0,
        "start": given[2]["start"],
        "end": given[3]["end"],
        "streams": ["s-a", "s-b", "s-c"],
        "features": ["cpu", "io"],
        "episodes": ["default:log:0:a", "default:log:0:b", "default:log:0:c"],
        "worst": "default:log:0:b",
    }
    assert (late["streams"], late["state"], late["features"]) == (["s-late"], "closed", [])


def test_the_earliest_is_first_whatever_its_time_looks_like() -> None:
    first, second = episode("z", 0, 0), episode("a", 0.5, 0.5)
    (found,) = incidents_of([second, first], 1.0)
    assert found["episodes"] == [first["id"], second["id"]]


def test_nothing_is_no_incident() -> None:
    assert incidents_of([], 0.0) == []


spans = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 500)), max_size=30)


@given(spans, st.integers(0, 300), st.randoms(use_true_random=False))
def test_each_episode_is_in_one_incident_and_incidents_lie_apart(
    spans: list[tuple[int, int]], within: int, random: Any
) -> None:
    episodes = [episode(f"{n:03}", at, at + length) for n, (at, length) in enumerate(spans)]
    found = incidents_of(episodes, within)
    assert sorted(name for one in found for name in one["episodes"]) == [e["id"] for e in episodes]
    for later, earlier in pairwise(found):
        assert parse_time(later["start"]) > parse_time(earlier["end"]) + within
    random.shuffle(episodes)
    assert incidents_of(episodes, within) == found
