"""How times are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.clock import LATEST, format_time, parse_time

MOMENT = 1795244400.0  # 2026-11-21T07:00:00Z


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T07:00:00Z",
        "2026-11-21T07:00:00",
        "2026-11-21 07:00:00",
        "2026-11-21T08:00:00+01:00",
        "2026-11-21t07:00:00.000Z",
        MOMENT,
        int(MOMENT),
        MOMENT * 1000,
    ],
)
def test_rfc_3339_and_unix_seconds_and_milliseconds_are_the_same_moment(text: object) -> None:
    assert parse_time(text) == MOMENT


@pytest.mark.parametrize(
    "bad",
    ["yesterday", "", "2026-13-01T00:00:00Z", "9" * 5000, True, None, [], {}, -1, float("nan"),
     float("inf"), 1e300, 10**400, "1795244400"],
)  # fmt: skip
def test_anything_else_is_refused(bad: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        parse_time(bad)


@given(st.integers(0, int(LATEST) * 1000))
def test_a_written_time_reads_as_itself_to_the_millisecond(milliseconds: int) -> None:
    seconds = milliseconds / 1000.0
    assert parse_time(format_time(seconds)) == pytest.approx(seconds, abs=1e-6)
