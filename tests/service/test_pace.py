"""Checkpoints come at their interval, unless scoring would suffer from them."""

import pytest

from service.pace import Pace


@pytest.mark.parametrize(
    ("took", "idle", "due"),
    [
        (0.0, 0.0, 5.0),
        (0.1, 0.0, 5.0),
        (1.0, 0.0, 30.0),  # a thirtieth of the time
        (1.0, 1.0, 5.0),  # for nothing, where there was nothing to do
        (2.0, 1.0, 31.0),  # the rest of it is earned
    ],
)
def test_checkpoints_that_take_long_come_less_often_where_there_is_something_to_do(
    took: float, idle: float, due: float
) -> None:
    pace = Pace(interval=5.0)
    pace.done(100.0, took)
    pace.idle(idle)
    assert not pace.due(100.0 + due - 0.001)
    assert pace.due(100.0 + due + 0.001)


def test_one_that_is_wanted_at_once_is() -> None:
    pace = Pace(interval=5.0)
    assert pace.due(0.0)  # nothing is saved yet
    pace.done(100.0, 10.0)
    assert not pace.due(100.0)
    pace.hurry()
    assert pace.due(100.0)
