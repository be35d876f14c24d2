import math

import numpy as np
import pytest

from model.evaluation.transactions import Transactions, card_recall_at_top, transaction_metrics


def given(scores: list[float], scenarios: list[int], cards: list[int]) -> Transactions:
    return Transactions(np.array(scores), np.array(scenarios), np.array(cards))


def test_frauds_at_compromised_terminals_do_not_count_where_the_card_is_measured() -> None:
    some = given([0.9, 0.8, 0.7, 0.1], [1, 2, 3, 0], [1, 2, 3, 4])
    assert transaction_metrics(some)["average_precision_scenarios_1_3"] == 1.0


def test_a_card_is_found_by_one_of_its_frauds() -> None:
    scores = [9.0, 8.0, 7.0, *[0.0] * 97]
    scenarios = [3, 0, 3, 3, 1, *[0] * 95]
    cards = [5, 6, 5, 7, 8, *range(100, 195)]
    some = given(scores, scenarios, cards)
    assert card_recall_at_top(some, 0.01) == pytest.approx(1 / 3)
    assert transaction_metrics(some)["precision_at_top_1_percent"] == 1.0
    assert card_recall_at_top(some, 0.05) == 1.0  # of equal scores the first rows


def test_without_frauds_there_is_no_recall() -> None:
    assert math.isnan(card_recall_at_top(given([1.0], [0], [1]), 0.01))
    assert transaction_metrics(None) == {}
