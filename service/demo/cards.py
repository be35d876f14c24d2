"""Payments of made-up cards, with a few frauds: for the preset `transactions`, and to try with.

Each card has its habits: what it usually pays, how much that varies, how often it pays, at which
hours, more or less at the week's end, and in which shops. On top of them come two kinds of fraud:

- far: one payment, 10 to 25 times what the card usually pays;
- stolen: for three days somebody else pays too, four times as often as the owner, and five times
  as much.

`python -m service.demo.cards [SEED]` writes them as CSV, without saying which are frauds. Seeded;
no real data.
"""

import csv
import sys
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

CARDS, DAYS = 200, 91
DAY = 86_400.0
START = 1_767_571_200.0  # a Monday, 2026-01-05T00:00:00Z
SHOPS = (  # its part of all payments, and what is paid there in multiples of the usual
    ("groceries", 0.40, 1.0),
    ("restaurant", 0.25, 0.8),
    ("fuel", 0.10, 1.5),
    ("online", 0.15, 1.2),
    ("clothes", 0.10, 1.8),
)
HOURS = (8.5, 12.5, 18.5)  # around which people pay
HOURS_SPREAD = 1.5
LEAST = 0.5  # that anybody pays
FAR, FAR_FACTOR = 30, (10.0, 25.0)
STOLEN, STOLEN_DAYS, STOLEN_OFTEN, STOLEN_FACTOR = 15, 3.0, 4.0, 5.0


class Card(NamedTuple):
    """One card's habits."""

    name: str
    usual: float  # the median payment in a shop of factor 1
    spread: float  # of the logarithm
    a_day: float  # payments
    weekend: float  # times as many on Saturday and Sunday
    shops: tuple[float, ...]  # their parts
    hours: tuple[float, ...]  # the parts of HOURS


class Payment(NamedTuple):
    time: float
    card: str
    amount: float
    shop: str
    fraud: str  # "far", "stolen", or "" for the owner's own: never played


def payments(seed: int) -> list[Payment]:
    """All cards' payments of 13 weeks, in order of time."""
    random = np.random.default_rng(seed)
    cards = [_card(random, n) for n in range(CARDS)]
    made = [payment for card in cards for payment in _own(random, card)]
    for n, card in enumerate(random.permutation(CARDS)[: FAR + STOLEN]):
        begins = START + DAY * (n + random.random()) * (DAYS - STOLEN_DAYS) / (FAR + STOLEN)
        fraud = _stolen if n % ((FAR + STOLEN) // STOLEN) == 0 else _far
        made += fraud(random, cards[card], begins)
    return sorted(made)


def _card(random: np.random.Generator, n: int) -> Card:
    parts = np.array([part for _, part, _ in SHOPS])
    return Card(
        name=f"card-{n:03}",
        usual=float(random.lognormal(np.log(25.0), 0.6)),
        spread=float(random.uniform(0.35, 0.55)),
        a_day=float(np.clip(random.lognormal(np.log(2.5), 0.3), 1.0, 6.0)),
        weekend=float(random.uniform(0.7, 1.8)),
        shops=tuple(random.dirichlet(10.0 * parts)),
        hours=tuple(random.dirichlet(np.full(len(HOURS), 2.0))),
    )


def _own(random: np.random.Generator, card: Card) -> list[Payment]:
    """What the owner pays."""
    weekend = np.arange(DAYS) % 7 >= 5
    counts = random.poisson(card.a_day * np.where(weekend, card.weekend, 1.0))
    around = random.choice(HOURS, counts.sum(), p=card.hours)
    hours = np.clip(random.normal(around, HOURS_SPREAD), 0.0, 23.99)
    times = START + DAY * np.repeat(np.arange(DAYS), counts) + 3600.0 * hours
    return _paid(random, card, times, 1.0, "")


def _far(random: np.random.Generator, card: Card, begins: float) -> list[Payment]:
    shop = SHOPS[random.integers(len(SHOPS))][0]
    amount = round(card.usual * random.uniform(*FAR_FACTOR), 2)
    return [Payment(float(round(begins)), card.name, amount, shop, "far")]


def _stolen(random: np.random.Generator, card: Card, begins: float) -> list[Payment]:
    count = random.poisson(STOLEN_OFTEN * card.a_day * STOLEN_DAYS)
    times = begins + DAY * STOLEN_DAYS * random.random(count)
    return _paid(random, card, times, STOLEN_FACTOR, "stolen")


def _paid(
    random: np.random.Generator, card: Card, times: F64, factor: float, fraud: str
) -> list[Payment]:
    """As the card usually pays, or so many times as much."""
    shops = random.choice(len(SHOPS), len(times), p=card.shops)
    much = np.array([multiple for _, _, multiple in SHOPS])[shops]
    amounts = factor * much * card.usual * random.lognormal(0.0, card.spread, len(times))
    cents = np.round(np.maximum(amounts, LEAST), 2)
    columns = np.round(times).tolist(), cents.tolist(), shops.tolist()
    return [
        Payment(time, card.name, amount, SHOPS[shop][0], fraud)
        for time, amount, shop in zip(*columns, strict=True)
    ]


def main() -> None:
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(("timestamp", "stream", "amount", "shop"))
    for time, card, amount, shop, _ in payments(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        rows.writerow((f"{time:.0f}", card, amount, shop))


if __name__ == "__main__":
    main()
