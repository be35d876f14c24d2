"""What came of it: a table, and what is wrong with it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.faults.soak.scenes import BROKER, CALM, SINKS, Window
from tests.faults.soak.watching import Sample

WARM_UP_SHARE = 0.25  # of the samples, at least
MOST_GROWTH = 1.0  # percent an hour
MOST_SLOWER = 2.0
MUST_NOT_GROW = {"rss", "files", "threads"}
TROUBLE = {"500", "502", "504"}  # 503 is said while it waits for something
MOST_RECOVERY = 60.0  # seconds after a broker's return: half to end what hangs, half to catch up
SHARE = 0.99
WHOLE = "whole"  # a kind of its own: of all together in which the broker was up
LEAST_SAMPLES = 100  # of a kind, for its quantile to mean something


@dataclass(frozen=True)
class Growth:
    """Percent an hour of the mean, by least squares; `least` is its lower bound, by two standard
    errors of the means of tenths."""

    first: float
    last: float
    slope: float
    least: float


def growth(samples: Sequence[Sample], what: str) -> Growth:
    """Of a measure of the process once it is warm."""
    warm = samples[int(WARM_UP_SHARE * len(samples)) :]
    times = np.array([one.time for one in warm]) / 3600.0
    values = np.array([float(getattr(one, what)) for one in warm])
    parts = np.array_split(np.arange(len(warm)), min(10, len(warm)))
    t, v = (np.array([column[part].mean() for part in parts]) for column in (times, values))
    centred = t - t.mean()
    slope = float((centred * v).sum() / (centred**2).sum())
    residuals = v - v.mean() - slope * centred
    error = float(np.sqrt((residuals**2).sum() / max(len(t) - 2, 1) / (centred**2).sum()))
    percent = 100.0 / values.mean()
    return Growth(
        float(values[0]), float(values[-1]), slope * percent, (slope - 2.0 * error) * percent
    )


@dataclass(frozen=True)
class Waited:
    """Of anomalies in windows of a name: how many, and for how long they were waited for."""

    kind: str
    name: str
    windows: int
    anomalies: int
    p50: float
    p99: float
    longest: float
    recoveries: list[float]


def waited(windows: Sequence[Window], heard: Sequence[tuple[float, float]]) -> list[Waited]:
    """By name, calm ones first, then the slowest; and of all in which the broker was up."""
    of: dict[tuple[str, str], list[Window]] = {}
    for one in windows:
        of.setdefault((one.kind, one.name), []).append(one)
        if one.kind != BROKER:
            of.setdefault((WHOLE, "all with a broker"), []).append(one)
    found = [_waited(kind, name, some, heard) for (kind, name), some in of.items()]
    return sorted(found, key=lambda one: (one.kind != CALM, -one.p99))


def _waited(
    kind: str, name: str, windows: Sequence[Window], heard: Sequence[tuple[float, float]]
) -> Waited:
    due, seconds = np.array(heard).reshape(-1, 2).T
    inside = np.zeros(len(due), np.bool_)
    for one in windows:
        inside |= (due >= one.start) & (due < one.end)
    these = seconds[inside] if inside.any() else np.array([np.nan])
    p50, p99 = np.quantile(these, (0.5, SHARE)).tolist()
    recoveries = [round(one.recovery, 2) for one in windows if one.recovery is not None]
    return Waited(
        kind, name, len(windows), int(inside.sum()), p50, p99, float(these.max()),
        recoveries if kind != WHOLE else [],
    )  # fmt: skip


@dataclass
class Verdict:
    """All that was measured."""

    samples: list[Sample]
    minutes: float
    events_per_second: float
    sent: int
    missing: dict[str, int]
    """What of it was lost, doubled, or differs; empty where all is as it should be."""
    growths: dict[str, Growth]
    waited: list[Waited]
    answers: dict[str, int]
    reloads: int
    connected: int

    def wrong(self) -> list[str]:
        """Why it is not good enough."""
        found = [f"{count} {what}" for what, count in self.missing.items()]
        found += [
            f"{what} grows by {grown.slope:.1f} %/h, surely by {grown.least:.1f}"
            for what, grown in self.growths.items()
            if what in MUST_NOT_GROW and grown.least > MOST_GROWTH
        ]
        found += [f"{n} answers {code}" for code, n in self.answers.items() if code in TROUBLE]
        calm = next(one for one in self.waited if one.kind == CALM)
        for one in self.waited:
            if one.anomalies < LEAST_SAMPLES:
                found.append(f"{one.name}: only {one.anomalies} anomalies were heard of")
            elif one.kind in (SINKS, WHOLE) and one.p99 > MOST_SLOWER * calm.p99:
                found.append(f"{one.name}: p99 is {one.p99 / calm.p99:.1f} of that when calm")
            if one.kind == BROKER and (slowest := max(one.recoveries, default=0.0)) > MOST_RECOVERY:
                found.append(f"{one.name}: it kept up again only after {slowest:.0f} s")
        return found

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "wrong": self.wrong()}

    def to_text(self) -> str:
        lines = [
            f"{self.minutes:.1f} minutes at {self.events_per_second:,.0f} events/s: "
            f"{self.sent:,} sent, {self.reloads} reloads",
            f"{'':34}{'windows':>8}{'heard':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}  recovery s",
        ]
        lines += [
            f"{one.name:34}{one.windows:8}{one.anomalies:8}{1e3 * one.p50:9.0f}{1e3 * one.p99:9.0f}"
            f"{1e3 * one.longest:9.0f}  {' '.join(map(str, one.recoveries))}"
            for one in self.waited
        ]
        lines += [
            f"{what:10}{one.first:9.1f} -> {one.last:7.1f}   {one.slope:+.2f} %/h, at least "
            f"{one.least:+.2f}"
            for what, one in self.growths.items()
        ]
        lines.append(f"answers: {self.answers}; the page connected {self.connected} times")
        return "\n".join([*lines, *(f"WRONG: {one}" for one in self.wrong() or ["nothing"])])
