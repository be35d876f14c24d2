"""The presets of the demo: what is played, and how one's own streams of that kind are watched."""

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.demo.cards import DAY, DAYS, payments
from service.demo.play import Series, Values
from service.settings.detector import DetectorSettings

DATA = Path(__file__).parent / "data"
WEEK = 7 * DAY


@dataclass(frozen=True, slots=True)
class Preset:
    """summary: what is watched, in words. span: of the page's first picture, as its address has
    it."""

    name: str
    summary: str
    series: Callable[[], list[Series]]
    detector: DetectorSettings
    live_events_per_second: float
    span: str


def metrics() -> list[Series]:
    """Series of different years, as if they had been of one: each by whole weeks later, so that all
    end in the same week and keep their times of day and days of the week.

    Of each the last whole weeks: so it begins again without a gap.
    """
    read = [_read(file) for file in sorted((DATA / "operations").glob("*.csv.gz"))]
    latest = max(events[-1][0] for _, events in read)
    return [Series(stream, *_moved(events, latest)) for stream, events in read]


def _moved(
    events: list[tuple[float, Values]], latest: float
) -> tuple[list[tuple[float, Values]], float]:
    first, last = events[0][0], events[-1][0]
    lap = (last - first) // WEEK * WEEK
    later = (latest - last) // WEEK * WEEK
    return [(time + later, values) for time, values in events if time > last - lap], lap


def heart_beats() -> list[Series]:
    """Each beat of some patients, from the sixth minute of a record on; the next lap follows as the
    next beat would."""
    read = [_read(file) for file in sorted((DATA / "vitals").glob("*.csv.gz"))]
    spans = [(events, events[-1][0] - events[0][0]) for _, events in read]
    return [
        Series(stream, events, span * len(events) / (len(events) - 1))
        for (stream, _), (events, span) in zip(read, spans, strict=True)
    ]


def card_payments() -> list[Series]:
    """What is paid with each card. Which payments are frauds is not played."""
    cards: dict[str, list[tuple[float, Values]]] = {}
    for paid in payments(seed=0):
        values: Values = {"amount": paid.amount, "shop": paid.shop}
        cards.setdefault(paid.card, []).append((paid.time, values))
    return [Series(card, events, DAYS * DAY) for card, events in sorted(cards.items())]


def _read(file: Path) -> tuple[str, list[tuple[float, Values]]]:
    """A file's stream and events: its columns but `timestamp` are the values."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(text)]
    return file.name.removesuffix(".csv.gz"), [(row.pop("timestamp"), row) for row in rows]


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="operations",
            summary="servers, a sensor, a keyboard and New York's taxis",
            series=metrics,
            detector=DetectorSettings(features=["value"]),
            live_events_per_second=10.0,
            span="7d",
        ),
        Preset(
            name="vitals",
            summary="the heart beats of six patients",
            series=heart_beats,
            detector=DetectorSettings(
                features=["rr_ms", "hr_bpm"],
                artifact=DATA / "vitals" / "artifact",
                direction={"rr_ms": "low"},  # an early beat; the pause behind it is its echo
                false_alarms_per_week=2016.0,  # twelve an hour: a bed is looked at in minutes
            ),
            live_events_per_second=7.5,  # as fast as the six hearts beat
            span="1h",
        ),
        Preset(
            name="transactions",
            summary="the payments of 200 made-up cards",
            series=card_payments,
            detector=DetectorSettings(
                features=["amount"],
                artifact=DATA / "transactions" / "artifact",
                direction={"amount": "high"},  # nobody is robbed of what is not spent
                false_alarms_per_week=0.05,  # of one card: of 200 cards, ten a week
            ),
            live_events_per_second=25.0,
            span="7d",
        ),
    )
}
