"""JSON numbers to floats, correctly rounded, in compiled code.

Up to 19 digits times a power of ten. Small ones are exact products of floats (Clinger 1990); others
take one or two products with the power's first 128 bits (Lemire 2021, Software: Practice and
Experience 51(8)). What neither decides is left to the caller.
"""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled

MOST_DIGITS = 19  # that an unsigned integer of 64 bits always holds
LEAST_POWER, LARGEST_POWER = -325, 308  # of ten: beyond them there are zeros and infinities
EXACT_POWER = 22  # of ten: the largest that a float holds exactly
EXACT_INTEGER = 1 << 53

U64 = npt.NDArray[np.uint64]


def _powers_of_five() -> U64:
    """(powers, 2): the first 128 bits of 5^q, high half first; of small negative powers, which a
    product of 128 bits can tell from their neighbours, rounded up."""
    halves = []
    for q in range(LEAST_POWER, LARGEST_POWER + 1):
        size = (5 ** abs(q)).bit_length()
        if q >= 0:
            power = 5**q << 128
        elif q >= -27:
            power = (1 << (size + 127)) // 5**-q + 1
        else:
            power = (1 << (2 * size + 128)) // 5**-q + 1
        power >>= power.bit_length() - 128
        halves.append((power >> 64, power & (1 << 64) - 1))
    return np.array(halves, np.uint64)


POWERS_OF_FIVE = _powers_of_five()
POWERS_OF_TEN = np.array([10.0**q for q in range(EXACT_POWER + 1)])

LOW_HALF = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
UNDECIDED_BITS = np.uint64(0x1FF)  # below those that a float keeps, and one for rounding


@compiled
def number_from(digits: np.uint64, power: int) -> float:
    """digits * 10^power, rounded to the nearest float; NaN where another must decide.

    >>> number_from(np.uint64(8473621947362817), -16), number_from(np.uint64(3), 400)
    (0.8473621947362817, nan)
    """
    if digits == 0:
        return 0.0
    if digits <= EXACT_INTEGER and -EXACT_POWER <= power <= EXACT_POWER:
        if power < 0:
            return float(digits) / POWERS_OF_TEN[-power]
        return float(digits) * POWERS_OF_TEN[power]
    if power < LEAST_POWER or power > LARGEST_POWER:
        return math.nan
    return _rounded(digits, power)


@compiled
def _rounded(digits: np.uint64, power: int) -> float:
    zeros = _leading_zeros(digits)
    digits = digits << np.uint64(zeros)
    high, low = _product(digits, POWERS_OF_FIVE[power - LEAST_POWER, 0])
    if high & UNDECIDED_BITS == UNDECIDED_BITS:  # the rest of the power may carry into them
        more, _ = _product(digits, POWERS_OF_FIVE[power - LEAST_POWER, 1])
        low = low + more
        if low < more:
            high = high + np.uint64(1)
        if low == ALL_ONES:
            return math.nan
    top = high >> np.uint64(63)
    kept = top + np.uint64(9)
    mantissa = high >> kept  # 54 bits: one more than is kept
    exponent = ((217706 * power) >> 16) + 64 + int(top) - zeros  # 217706 / 2^16 is log2(10)
    halfway = low <= np.uint64(1) and mantissa & np.uint64(3) == np.uint64(1)
    if halfway and mantissa << kept == high:
        if not -4 <= power <= 23:
            return math.nan
        mantissa = mantissa - np.uint64(1)  # exactly between two floats: to the even one
    mantissa = (mantissa + (mantissa & np.uint64(1))) >> np.uint64(1)
    if not -1020 < exponent < 1020:  # subnormal, infinite or near it
        return math.nan
    return math.ldexp(float(mantissa), exponent - 53)


@compiled
def _leading_zeros(x: np.uint64) -> int:
    zeros = 0
    for step in (32, 16, 8, 4, 2, 1):
        if x >> np.uint64(64 - step) == 0:
            x = x << np.uint64(step)
            zeros += step
    return zeros


@compiled
def _product(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The high and the low half of a product of 128 bits."""
    a_low, a_high, b_low, b_high = a & LOW_HALF, a >> HALF, b & LOW_HALF, b >> HALF
    low, left, right = a_low * b_low, a_high * b_low, a_low * b_high
    middle = (low >> HALF) + (left & LOW_HALF) + (right & LOW_HALF)
    high = a_high * b_high + (left >> HALF) + (right >> HALF) + (middle >> HALF)
    return high, (middle << HALF) | (low & LOW_HALF)
