"""Card transactions that tell by which scenario each fraud came: what an analyst's day allows.

Scenarios are those of the Fraud Detection Handbook: 1 an amount that no card pays, 2 a terminal
that is compromised, 3 a card that is. The second leaves no trace in a card's amounts; frauds of it
are left out where the first and the third are measured, and neither right nor wrong there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.evaluation.intervals import F64, I64, Bools
from model.evaluation.labelled import LabelledSeries
from model.evaluation.ranking import average_precision, precision_at_top

SCENARIO = "scenario"
BY_THE_CARD = (1, 3)
TOP_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Transactions:
    """The counted rows of a keyed set, pooled: scores, scenarios (0: no fraud), cards, (N,)."""

    scores: F64
    scenarios: I64
    cards: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls, series: Sequence[LabelledSeries], scores: Sequence[F64], key: str
    ) -> "Transactions | None":
        """None where the set does not tell scenarios."""
        if not all(SCENARIO in one.extra for one in series):
            return None
        test = [~one.training for one in series]
        return cls(
            np.concatenate([one[at] for one, at in zip(scores, test, strict=True)]),
            np.concatenate([s.extra[SCENARIO][at] for s, at in zip(series, test, strict=True)]),
            np.concatenate([s.extra[key][at] for s, at in zip(series, test, strict=True)]),
        )

    @property
    def frauds(self) -> Bools:
        return self.scenarios > 0


def transaction_metrics(given: Transactions | None) -> dict[str, float]:
    """Average precision against scenarios 1 and 3; what the highest hundredth of scores finds."""
    if given is None:
        return {}
    visible = given.frauds & ~np.isin(given.scenarios, BY_THE_CARD)
    rows = ~visible
    return {
        "average_precision_scenarios_1_3": average_precision(
            given.scores[rows], given.frauds[rows]
        ),
        "precision_at_top_1_percent": precision_at_top(given.scores, given.frauds, TOP_SHARE),
        "card_recall_at_top_1_percent": card_recall_at_top(given, TOP_SHARE),
    }


def card_recall_at_top(given: Transactions, share: float) -> float:
    """The share of cards with a fraud of which one is among the highest scores; NaN without any.

    Of equal scores the earlier rows come first.
    """
    compromised = np.unique(given.cards[given.frauds])
    if len(compromised) == 0:
        return math.nan
    rows = max(1, round(share * len(given.scores)))
    top = np.argsort(-given.scores, kind="stable")[:rows]
    found = np.unique(given.cards[top][given.frauds[top]])
    return len(found) / len(compromised)
