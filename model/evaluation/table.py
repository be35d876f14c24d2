"""Figures as a table to read and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.evaluation.run import Measured

DIGITS = 6  # of a figure in JSON: more would be noise
MEANINGS = {
    "nab_standard": "NAB's score, standard profile, at the detector's own alarms",
    "nab_low_fp": "the same, profile that punishes false alarms",
    "nab_low_fn": "the same, profile that punishes missed windows",
    "nab_standard_halves_low": "19 in 20 random halves of the series score more than this",
    "nab_standard_halves_high": "and 19 in 20 less than this",
    "nab_standard_best": "at the one threshold chosen with the labels, no rest between alarms",
    "nab_standard_best_rested": "the same with a rest of 100 events between alarms",
    "vus_pr": "volume under the precision-recall surface of the level, mean over series",
    "peak_accuracy": "share of series whose highest score falls on the anomaly",
    "level_peak_accuracy": "the same of the level",
    "range_precision": "precision of ranges of anomalous events",
    "range_recall": "recall of ranges by anomalous events",
    "range_f1": "their harmonic mean",
    "best_range_f1": "the same at the threshold chosen with the labels",
    "level_best_range_f1": "the same of the level",
    "average_precision": "of the score, pooled",
    "auroc": "area under the ROC curve, pooled",
    "best_f1": "at the one threshold chosen with the labels, pooled",
    "best_f1_false_alarm_rate": "share of normal events above that threshold",
    "level_average_precision": "of the level",
    "level_auroc": "of the level",
    "level_best_f1": "of the level",
    "level_best_f1_false_alarm_rate": "of the level",
    "delay_seconds": "median from an anomaly's start to its first alarm",
    "share_detected": "share of anomalies that hold an alarm",
    "false_alarms_per_day": "alarms outside anomalies, for each stream and day",
    "promised_per_day": "what the detector's budget says of that",
    "average_precision_scenarios_1_3": "of the score, scenario 2 left out",
    "precision_at_top_1_percent": "share of frauds in the highest hundredth of scores",
    "card_recall_at_top_1_percent": "share of compromised cards seen there",
    "microseconds_per_event": "processor time of scoring one event; differs from run to run",
}
"""Every metric, in the order in which a table has them."""


@dataclass(frozen=True, slots=True)
class SetFigures:
    """What came out for one set; `series` is how many were scored."""

    name: str
    series: int
    detectors: tuple[Measured, ...]


def to_json(sets: Sequence[SetFigures]) -> dict[str, Any]:
    """The contract of `--json`."""
    return {
        "sets": [
            {
                "name": one.name,
                "series": one.series,
                "detectors": [
                    {
                        "name": d.name,
                        "metrics": {m: rounded(v) for m, v in d.metrics.items()},
                        "predictors": dict(d.predictors),
                    }
                    for d in one.detectors
                ],
            }
            for one in sets
        ]
    }


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def to_text(figures: SetFigures) -> str:
    """A line for each metric that is defined, a column for each detector; then what each predicts
    with, where it chose."""
    names = [m for m in MEANINGS if any(m in d.metrics for d in figures.detectors)]
    head = [f"{figures.name} ({figures.series} series)", *(d.name for d in figures.detectors)]
    rows = [[name, *(shown(d.metrics.get(name)) for d in figures.detectors)] for name in names]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [_line(row, widths) for row in [head, *rows]]
    for d in figures.detectors:
        if d.predictors:
            shares = ", ".join(f"{cell} on {count}" for cell, count in sorted(d.predictors.items()))
            lines.append(f"{d.name} predicts with {shares}")
    return "\n".join(lines) + "\n"


def shown(value: float | None) -> str:
    """Three decimals, or fewer for what is large; a dash for what is not defined."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10.0 else f"{value:.1f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([first, *rest])
