"""The tokens of JSON that usual events are made of, in compiled code.

Each function looks at `data` from `at` and no further than `end`, and says where it got to.
"""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled, inlined
from service.decoding.number import MOST_DIGITS, number_from

LARGEST_VALUE = 1e100
"""Beyond it sums of squares would overflow."""

LARGEST_EXPONENT, NO_EXPONENT = 400, 9999

NOTHING, NUMBER, TEXT, TRUTH, NULL = range(5)
"""What stands at a place; nothing also where it is unusual."""

SPACE, QUOTE, MINUS, PLUS, DOT, BACKSLASH = (ord(c) for c in ' "-+.\\')
ZERO, NINE, BIG_E, SMALL_E = (ord(c) for c in "09Ee")
TAB, NEWLINE, RETURN = (ord(c) for c in "\t\n\r")
FIRST_PRINTABLE, LAST_PRINTABLE = 0x20, 0x7E
TRUE, FALSE, NONE = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))

Bytes = npt.NDArray[np.uint8]


@inlined
def after_space(data: Bytes, at: int, end: int) -> int:
    while at < end and data[at] <= SPACE:
        if data[at] not in (SPACE, TAB, NEWLINE, RETURN):
            break
        at += 1
    return at


@inlined
def text_at(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Where a plain text starts and stops, without its quotes; (-1, -1) where none is."""
    if at >= end or data[at] != QUOTE:
        return -1, -1
    for k in range(at + 1, end):
        if data[k] == QUOTE:
            return at + 1, k
        if data[k] < FIRST_PRINTABLE or data[k] > LAST_PRINTABLE or data[k] == BACKSLASH:
            return -1, -1
    return -1, -1


@compiled
def value_at(data: Bytes, at: int, end: int) -> tuple[int, float, int, int]:
    """What stands at a place, as (kind, number, start, place after it); a text starts behind its
    quote."""
    if at < end:
        if data[at] == QUOTE:
            start, stop = text_at(data, at, end)
            if start >= 0:
                return TEXT, math.nan, start, stop + 1
        elif data[at] == TRUE[0] or data[at] == FALSE[0] or data[at] == NONE[0]:
            for word, what in ((TRUE, TRUTH), (FALSE, TRUTH), (NONE, NULL)):
                if says(data, at, end, word):
                    return what, math.nan, at, at + len(word)
        else:
            number, after = number_at(data, at, end)
            if not math.isnan(number):
                return NUMBER, number, at, after
    return NOTHING, math.nan, at, at


@compiled
def says(data: Bytes, at: int, end: int, word: Bytes) -> bool:
    if at + len(word) > end:
        return False
    return same(data, at, word, 0, len(word))


@inlined
def is_digit(byte: int) -> bool:
    return ZERO <= byte <= NINE


@compiled
def number_at(data: Bytes, at: int, end: int) -> tuple[float, int]:
    """A JSON number and the place after it; NaN where there is none, or an unusual one."""
    negative = data[at] == MINUS
    start = at + 1 if negative else at
    digits, count, at = digits_at(data, start, end, np.uint64(0), 0)
    if at == start or (at > start + 1 and data[start] == ZERO):
        return math.nan, at
    power = 0
    if at < end and data[at] == DOT:
        point = at + 1
        digits, count, at = digits_at(data, point, end, digits, count)
        power = point - at
        if power == 0:
            return math.nan, at
    if at < end and data[at] in (SMALL_E, BIG_E):
        exponent, at = exponent_at(data, at + 1, end)
        power += exponent
    if count > MOST_DIGITS or power > LARGEST_EXPONENT or (negative and digits == 0):
        return math.nan, at
    number = number_from(digits, power)
    if number > LARGEST_VALUE:
        return math.nan, at
    return -number if negative else number, at


@compiled
def is_number(data: Bytes, at: int, end: int) -> bool:
    """Whether what stands there is a usual JSON number and nothing else."""
    if at >= end:
        return False
    number, after = number_at(data, at, end)
    return not math.isnan(number) and after == end


@compiled
def digits_at(
    data: Bytes, at: int, end: int, digits: np.uint64, count: int
) -> tuple[np.uint64, int, int]:
    """Digits behind those that were read: all as an integer, how many count, the place after."""
    while at < end and is_digit(data[at]):
        digits = digits * np.uint64(10) + np.uint64(data[at] - ZERO)
        count += 1 if digits > 0 else 0
        at += 1
    return digits, count, at


@compiled
def exponent_at(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """A number's exponent and the place after it; far too large where none is."""
    negative = at < end and data[at] == MINUS
    if at < end and (negative or data[at] == PLUS):
        at += 1
    start, exponent = at, 0
    while at < end and is_digit(data[at]):
        exponent = min(10 * exponent + int(data[at]) - ZERO, NO_EXPONENT)
        at += 1
    if at == start:
        return NO_EXPONENT, at
    return -exponent if negative else exponent, at


@inlined
def same(a: Bytes, a_start: int, b: Bytes, b_start: int, length: int) -> bool:
    for k in range(length):  # noqa: SIM110 - a generator is not compiled
        if a[a_start + k] != b[b_start + k]:
            return False
    return True


@compiled
def integer(data: Bytes, at: int, length: int) -> int:
    """The digits at a place; -1 where not all are."""
    value = 0
    for k in range(at, at + length):
        if not is_digit(data[k]):
            return -1
        value = 10 * value + int(data[k]) - ZERO
    return value
