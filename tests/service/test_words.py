"""An anomaly says why in a sentence."""

from typing import Any

import pytest

from model.views import VIEWS
from service.words import IN_WORDS, LIMITS, normal, why


def told(feature: str, actual: float, share: float = 1.0, low: float | None = 71.0) -> Any:
    high = None if low is None else low + 25.0
    expected = None if low is None else low + 12.5
    return {
        "feature": feature, "actual": actual, "expected": expected, "low": low, "high": high,
        "share": share,
    }  # fmt: skip


def test_every_view_has_words() -> None:
    assert set(IN_WORDS) == {*VIEWS, LIMITS}


@pytest.mark.parametrize(
    ("view", "features", "sentence"),
    [
        ("near", [told("heart_rate", 148.0)], "heart_rate 148, expected 71 to 96"),
        (
            "near",
            [told("heart_rate", 148.0, 0.6), told("spo2", 70.5, 0.3), told("resp", 80.0, 0.1)],
            "heart_rate 148, expected 71 to 96; also spo2 low, 70.5",
        ),
        (
            "day",
            [told("load", 80.25, 0.7), told("users", 80.0, 0.3)],
            "load 80.25 is within the expected 71 to 96, but unusual for this time of day; "
            "also users 80",
        ),
        (
            "jump",
            [told("load", 1234567.25)],
            "load 1,234,567, expected 71 to 96: a jump from the values just before",
        ),
        (
            LIMITS,
            [{**told("heart_rate", 190.0), "limit": 180.0}],
            "heart_rate 190, expected 71 to 96: above its limit of 180",
        ),
        (
            "near",
            [{**told("heart_rate", 72.0), "limit": 75.0}],
            "heart_rate 72 is within the expected 71 to 96, but below its limit of 75",
        ),
        (
            "rare",
            [told("x", 0.00012345, low=None)],
            "x 0.0001234, when nothing was expected of it yet: as far off as streams of its kind "
            "hardly ever are",
        ),
    ],
)
def test_an_anomaly_says_why(view: str, features: list[Any], sentence: str) -> None:
    assert why(view, features) == sentence


def could(feature: str, low: float | None, high: float | None) -> Any:
    return {"feature": feature, "nearest": 96.25, "low": low, "high": high}


@pytest.mark.parametrize(
    ("features", "exact", "sentence"),
    [
        ([could("x", 71, 96)], True, "x would have been normal from 71 to 96"),
        ([could("x", 71, 96)], False, "x would have been normal about from 71 to 96"),
        ([could("x", None, 96)], True, "x would have been normal up to 96"),
        ([could("x", 71, None)], True, "x would have been normal from 71"),
        (
            [could("x", None, None), could("y", None, None)],
            False,
            "would have been normal with about x 96.25, y 96.25, and the rest as it was",
        ),
    ],
)
def test_what_would_have_been_normal_is_a_sentence(
    features: list[Any], exact: bool, sentence: str
) -> None:
    rest = ", had the rest been as it was" if len(features) == 1 else ""
    assert normal(features, exact) == sentence + rest
