"""RFC 3339 times to Unix seconds, in compiled code: those of the usual form."""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from service.decoding.tokens import DOT, MINUS, PLUS, SPACE, ZERO, integer, is_digit

COLON, BIG_T, BIG_Z = (ord(c) for c in ":TZ")
MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
SHORTEST_TIME = len("2026-11-21T07:00:00")
MOST_FRACTION_DIGITS, KEPT_DIGITS = 9, 6
NO_ZONE = 9999

Bytes = npt.NDArray[np.uint8]


@compiled
def seconds_of(data: Bytes, at: int, end: int) -> float:
    """`2026-11-21T07:00:00`, with a fraction and a zone or without, to Unix seconds; else NaN."""
    if end - at < SHORTEST_TIME or not is_punctuated(data, at):
        return math.nan
    year, month, day = integer(data, at, 4), integer(data, at + 5, 2), integer(data, at + 8, 2)
    hour, minute = integer(data, at + 11, 2), integer(data, at + 14, 2)
    second = integer(data, at + 17, 2)
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= days_in(year, month):
        return math.nan
    if not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59:
        return math.nan
    microseconds, at = fraction_at(data, at + SHORTEST_TIME, end)
    offset = zone_of(data, at, end)
    if microseconds < 0 or offset == NO_ZONE:
        return math.nan
    minutes = 1440 * days_since_1970(year, month, day) + 60 * hour + minute - offset
    return ((60 * minutes + second) * 1_000_000 + microseconds) / 1_000_000


@compiled
def is_punctuated(data: Bytes, at: int) -> bool:
    date = data[at + 4] == MINUS and data[at + 7] == MINUS
    time = data[at + 13] == COLON and data[at + 16] == COLON
    return date and time and data[at + 10] in (BIG_T, SPACE)


@compiled
def fraction_at(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Microseconds, of at most nine digits those that count, and the place after; -1 if unusual."""
    if at >= end or data[at] != DOT:
        return 0, at
    start, value = at + 1, 0
    at = start
    while at < end and is_digit(data[at]):
        if at < start + KEPT_DIGITS:
            value = 10 * value + int(data[at]) - ZERO
        at += 1
    if not 1 <= at - start <= MOST_FRACTION_DIGITS:
        return -1, at
    for _ in range(at - start, KEPT_DIGITS):
        value *= 10
    return value, at


@compiled
def zone_of(data: Bytes, at: int, end: int) -> int:
    """Minutes east of UTC, 0 where none is told; NO_ZONE where it is unusual."""
    if at == end or (at + 1 == end and data[at] == BIG_Z):
        return 0
    if at + 6 != end or (data[at] != PLUS and data[at] != MINUS) or data[at + 3] != COLON:
        return NO_ZONE
    hours, minutes = integer(data, at + 1, 2), integer(data, at + 4, 2)
    if not 0 <= hours <= 23 or not 0 <= minutes <= 59:
        return NO_ZONE
    offset = 60 * hours + minutes
    return -offset if data[at] == MINUS else offset


@compiled
def days_in(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else int(MONTH_DAYS[month - 1])


@compiled
def days_since_1970(year: int, month: int, day: int) -> int:
    """Of the Gregorian calendar; years are counted from March, so that a leap day is the last."""
    if month <= 2:
        year -= 1
        month += 12
    return (
        365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469
    )
