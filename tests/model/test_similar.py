"""Times that were like the last ones are found, whatever their scale and level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.similar import most_alike
from tests.model.conftest import F64

LENGTH = 32
ALIKE = 0.45


def planted(seed: int, at: int, scale: float, level: float) -> F64:
    """Noise that ends with a form, which came once before in another scale and at another level."""
    random = np.random.default_rng(seed)
    values = random.normal(size=600)
    form = np.cumsum(random.normal(size=LENGTH))
    values[-LENGTH:] = form
    values[at : at + LENGTH] = level + scale * (form + random.normal(0.0, 0.01, LENGTH))
    return values


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    at=st.integers(0, 600 - 2 * LENGTH),
    scale=st.floats(1e-6, 1e6),
    level=st.floats(-1e3, 1e3),
)
def test_a_form_is_found_first_in_any_scale_and_at_any_level(
    seed: int, at: int, scale: float, level: float
) -> None:
    values = planted(seed, at, scale, level * scale)
    first, *others = most_alike(values, LENGTH, 3, ALIKE)
    assert first.start == at
    assert first.distance < 0.1
    assert all(one.distance >= first.distance for one in others)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 300), most=st.integers(1, 9))
def test_no_two_windows_have_a_value_in_common(seed: int, n: int, most: int) -> None:
    values = np.random.default_rng(seed).integers(0, 3, n).astype(np.float64)
    found = most_alike(values, LENGTH, most, 2.1)
    starts = sorted([one.start for one in found] + [n - LENGTH] * bool(found))
    assert (np.diff(starts) >= LENGTH).all()
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    assert len(found) <= most
    assert bool(found) == (n >= 2 * LENGTH)


def test_where_nothing_is_alike_nothing_is_told() -> None:
    values = np.random.default_rng(3).normal(size=500)
    values[-LENGTH:] = 5.0 + np.arange(LENGTH)
    assert most_alike(values, LENGTH, 3, ALIKE) == []


def test_what_stands_still_is_like_what_stands_still_alone() -> None:
    values = np.random.default_rng(3).normal(size=500)
    values[100 : 100 + LENGTH] = 7.0
    values[-LENGTH:] = 1e12
    (one,) = most_alike(values, LENGTH, 3, ALIKE)
    assert (one.start, one.distance) == (100, 0.0)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_sizes_are_no_matter(size: float) -> None:
    values = planted(5, 40, 1.0, 0.0) * size
    assert most_alike(values, LENGTH, 1, ALIKE)[0].start == 40
