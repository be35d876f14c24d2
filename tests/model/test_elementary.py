import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.elementary import asinh, exp, log, log10

modest = settings(deadline=None, max_examples=200)


@modest
@given(st.floats(1e-300, 1e300) | st.floats(0.5, 2.0))
def test_logarithms_are_those_of_the_library(x: float) -> None:
    """To 1e-10 or better, near 1 as far from it."""
    assert log(x) == pytest.approx(math.log(x), rel=1e-10, abs=1e-16)
    assert log10(x) == pytest.approx(math.log10(x), rel=1e-10, abs=1e-16)


@modest
@given(st.floats(-700.0, 700.0))
def test_the_exponential_is_that_of_the_library(x: float) -> None:
    """To 1e-9 of its size."""
    assert exp(x) == pytest.approx(math.exp(x), rel=1e-9)


@modest
@given(st.floats(-1e150, 1e150) | st.floats(-1.0, 1.0))
def test_the_inverse_hyperbolic_sine_is_that_of_the_library(x: float) -> None:
    """To 1e-10, and odd."""
    assert asinh(x) == pytest.approx(math.asinh(x), rel=1e-10, abs=1e-10)
    assert asinh(-x) == -asinh(x)


@pytest.mark.parametrize(("function", "x", "y"), [(log, 1.0, 0.0), (exp, 0.0, 1.0)])
def test_what_must_be_exact_is(function: Callable[[float], float], x: float, y: float) -> None:
    """No surprise is none, and no change is none."""
    assert function(x) == y


@pytest.mark.parametrize(("x", "bound"), [(1e308, 700.0), (-1e308, -700.0), (math.inf, 700.0)])
def test_the_exponential_never_leaves_what_a_float_holds(x: float, bound: float) -> None:
    """Beyond its bounds it is what it is there."""
    assert exp(x) == exp(bound)
    assert 0.0 < exp(x) < math.inf
