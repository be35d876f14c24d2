import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.evaluation.intervals import intervals_of, rows_of, sums_within
from tests.model.evaluation.samples import flags


def test_runs_are_first_rows_and_rows_behind_the_last() -> None:
    assert intervals_of(flags("##..#.###")).tolist() == [[0, 2], [4, 5], [6, 9]]


def test_without_a_flag_there_is_no_interval() -> None:
    assert intervals_of(flags("....")).shape == (0, 2)


@given(st.lists(st.booleans(), max_size=60))
def test_rows_and_intervals_say_the_same(given_flags: list[bool]) -> None:
    rows = np.array(given_flags, np.bool_)
    assert rows_of(intervals_of(rows), len(rows)).tolist() == given_flags


def test_intervals_may_overlap() -> None:
    rows = rows_of(np.array([[0, 3], [2, 4]]), 6)
    assert rows.tolist() == flags("####..").tolist()


def test_sums_are_over_each_interval_alone() -> None:
    sums = sums_within(np.array([[0, 2], [3, 4]]), np.array([1.0, 2.0, 50.0, 4.0]))
    assert sums.tolist() == [3.0, 4.0]
