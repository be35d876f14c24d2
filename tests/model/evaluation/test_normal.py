import pytest

from model.artifact import Artifact
from model.evaluation.normal import BUDGETS, achieved, generated

PLAIN = "white noise", "noise with a memory", "counts"


@pytest.mark.parametrize(("budget", "pace"), [("one a day", 60.0), ("one a week", 300.0)])
def test_a_budget_is_kept_within_a_factor_of_two_on_normal_streams(
    base: Artifact, budget: str, pace: float
) -> None:
    """The base artifact, that was never trained on such streams, raises about what was promised."""
    streams = [generated(kind, pace, seed, 8_000) for kind in PLAIN for seed in range(100, 103)]
    found = achieved(base, streams, BUDGETS[budget])
    assert 0.5 * found.promised <= found.alarms <= 2.0 * found.promised, str(found)
