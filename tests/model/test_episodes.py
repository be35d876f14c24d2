"""Anomalous events that belong together are one episode, and each has a beginning and an end."""

from collections.abc import Iterable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.episodes import (
    APART_EVENTS,
    CLOSED,
    EPISODE,
    FARTHEST,
    NONE,
    OPEN,
    QUIET_EVENTS,
    UNUSUAL,
    Structured,
    follow_episode,
)
from model.row import HEAD

modest = settings(deadline=None, max_examples=100)

START, STEP = 1.7e9, 60.123
CALM, STRANGE, ANOMALY = 0.1, 0.7, 1.2

Event = tuple[float, bool]
"""Score, and whether it alarms."""


def told(events: Iterable[Event]) -> Structured:
    """What is said at each event, of a stream's episodes; offsets count from 0."""
    row = np.zeros(1, HEAD)
    said = np.zeros(len(events := list(events)), EPISODE)
    for n, (score, alarm) in enumerate(events):
        follow_episode(row[0], score, alarm, False, n, START + STEP * n, said[n])
    return said


def changes(events: Iterable[Event]) -> list[tuple[int, int, int]]:
    """(event, state before, state after) wherever something is said."""
    said = told(events)
    return [
        (int(n), int(said[n]["was"]), int(said[n]["state"])) for n in np.flatnonzero(said["state"])
    ]


def calm(count: int) -> list[Event]:
    return [(CALM, False)] * count


def test_an_alarm_opens_an_episode_and_quiet_events_close_it() -> None:
    events = [*calm(3), (ANOMALY, True), (1.5, False), *calm(QUIET_EVENTS)]
    assert changes(events) == [(3, NONE, OPEN), (4, OPEN, OPEN), (4 + QUIET_EVENTS, OPEN, CLOSED)]
    said = told(events)[-1]
    assert (said["first"], said["peak"], said["anomalies"]) == (3, 4, 2)
    assert (said["start"], said["end"]) == (START + 3 * STEP, START + 4 * STEP)
    assert said["score"] == np.float32(1.5)


def test_an_anomaly_that_nobody_is_told_of_opens_none() -> None:
    assert changes([(ANOMALY, False), *calm(30), (ANOMALY, False)]) == []


def test_what_is_still_unusual_keeps_it_open() -> None:
    """An event between the two thresholds is neither counted nor quiet."""
    events = [(ANOMALY, True), *([*calm(QUIET_EVENTS - 1), (STRANGE, False)] * 3)]
    assert changes(events) == [(0, NONE, OPEN)]


def test_another_anomaly_soon_after_opens_it_again() -> None:
    events = [(ANOMALY, True), *calm(QUIET_EVENTS + 5), (ANOMALY, False)]
    assert changes(events)[-1] == (len(events) - 1, CLOSED, OPEN)
    assert told(events)[-1]["first"] == 0
    assert told(events)[-1]["anomalies"] == 2


def test_an_alarm_long_after_opens_another_one() -> None:
    events = [(2.0, True), *calm(APART_EVENTS), (ANOMALY, True)]
    assert changes(events)[-1] == (len(events) - 1, NONE, OPEN)
    said = told(events)[-1]
    assert (said["first"], said["peak"], said["anomalies"]) == (len(events) - 1, len(events) - 1, 1)
    assert said["score"] == np.float32(ANOMALY)
    assert said["start"] == said["end"] == START + STEP * (len(events) - 1)


def test_an_anomaly_long_after_that_nobody_is_told_of_opens_none() -> None:
    events = [(2.0, True), *calm(APART_EVENTS), (ANOMALY, False)]
    assert changes(events)[-1][2] == CLOSED


def test_a_peak_is_told_where_its_place_can_be_kept() -> None:
    """Its score and its place go together, however many records of others lie between."""
    row, said = np.zeros(1, HEAD), np.zeros(3, EPISODE)
    for n, (score, offset) in enumerate([(1.25, 7), (1.5, 7 + FARTHEST), (1.75, 7 + FARTHEST - 1)]):
        follow_episode(row[0], score, n == 0, False, offset, START, said[n])
    assert said["peak"].tolist() == [7, 7, 7 + FARTHEST - 1]
    assert said["score"].tolist() == [1.25, 1.25, 1.75]


def test_a_late_event_does_not_shorten_it() -> None:
    row, said = np.zeros(1, HEAD), np.zeros(3, EPISODE)
    for n, time in enumerate((START, START + 600.0, START - 60.0)):
        follow_episode(row[0], ANOMALY, n == 0, False, n, time, said[n])
    assert said["start"].tolist() == [START] * 3
    assert said["end"].tolist() == [START, START + 600.0, START + 600.0]


def test_what_is_suppressed_makes_an_episode_neither_worse_nor_open_again() -> None:
    """Nobody is to hear of it. An open one it belongs to."""
    events = [(ANOMALY, True, False), (9.0, False, True), *[(CALM, False, False)] * 15]
    events += [(9.0, False, True)]
    row, said = np.zeros(1, HEAD), np.zeros(len(events), EPISODE)
    for n, (score, alarm, suppressed) in enumerate(events):
        follow_episode(row[0], score, alarm, suppressed, n, START + STEP * n, said[n])
    assert [int(n) for n in np.flatnonzero(said["state"])] == [0, 1, 1 + QUIET_EVENTS]
    assert said[1]["anomalies"] == 2
    assert said[1 + QUIET_EVENTS]["score"] == np.float32(ANOMALY)
    assert said[1 + QUIET_EVENTS]["peak"] == 0


def as_rows_keep(score: float) -> float:
    return float(np.float32(score))


scores = st.sampled_from([CALM, UNUSUAL, STRANGE, 1.0, ANOMALY, 1.3, 3.0]).map(as_rows_keep)
event = scores.flatmap(lambda s: st.tuples(st.just(s), st.booleans() if s >= 1 else st.just(False)))
runs = st.tuples(event, st.integers(1, APART_EVENTS + 5)).map(lambda one: [one[0]] * one[1])
streams = st.lists(runs, max_size=12).map(lambda parts: [one for part in parts for one in part])


@modest
@given(streams)
def test_each_alarm_is_in_an_episode_and_each_episode_is_told_in_order(events: list[Event]) -> None:
    said, state = told(events), NONE
    for n, (score, alarm) in enumerate(events):
        one = said[n]
        if alarm:
            assert one["state"] == OPEN
        if one["state"] == NONE:
            continue
        if one["first"] == n:
            assert alarm
            assert state != OPEN
            assert one["was"] == NONE
        else:
            assert one["was"] == state
        state = one["state"]
        assert (state == OPEN) == (score >= 1.0)
        part = events[one["first"] : n + 1]
        anomalous = [k for k, (s, _) in enumerate(part) if s >= 1.0]
        assert one["anomalies"] == len(anomalous)
        assert one["end"] == START + STEP * (one["first"] + anomalous[-1])
        highest = max(s for s, _ in part)
        assert one["score"] == np.float32(highest)
        assert part[one["peak"] - one["first"]][0] == highest
        if state == CLOSED:
            assert all(s < UNUSUAL for s, _ in part[-QUIET_EVENTS:])
