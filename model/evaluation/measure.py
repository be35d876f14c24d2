"""A detector's outputs on a set against its labels: the metrics that are defined for the set.

What each is, is said where it is printed (`model.evaluation.table`) and computed (the modules
beside this one). Only `test` rows count, but NAB's score, which leaves out probation by itself.
Metrics that begin with `level_` are of the smoothed score, the others of the score.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.alarming import best_rested_score
from model.evaluation.alarms import detection_delays, false_alarms, pooled
from model.evaluation.detector import Outputs
from model.evaluation.intervals import F64, I64, Bools, intervals_of, rows_of
from model.evaluation.labelled import LabelledSeries
from model.evaluation.nab import PROFILES, best_threshold, corpus_score, scores_of_halves
from model.evaluation.peak import peak_accuracy, peak_found
from model.evaluation.ranges import best_range_f1, range_quality
from model.evaluation.ranking import (
    area_under_roc,
    average_precision,
    best_f1,
    error_rates_at,
)
from model.evaluation.sets import LabelledSet, streams_of
from model.evaluation.transactions import Transactions, transaction_metrics
from model.evaluation.vus import sliding_window, vus_pr

Metrics = dict[str, float]
NAB_NAMES = {
    "nab_standard": "standard",
    "nab_low_fp": "reward_low_FP_rate",
    "nab_low_fn": "reward_low_FN_rate",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """The rows of one stream that count. windows: (K, 2), in these rows."""

    times: F64
    first_feature: F64
    labels: Bools
    windows: I64
    outputs: Outputs


def measure(
    labelled: LabelledSet, outputs: Mapping[int, Outputs], promised_per_day: float
) -> Metrics:
    """outputs: of each counted series, by its number. Metrics that are not defined are left out."""
    places = labelled.counted
    parts = [
        part for n in places for part in counted_rows(labelled.series[n], labelled.key, outputs[n])
    ]
    metrics = nab_metrics(labelled, outputs) if labelled.windowed else {}
    if labelled.key is None:
        metrics |= series_metrics(parts) | range_metrics(parts)
    metrics |= rank_metrics(parts) | alarm_metrics(parts, promised_per_day)
    metrics |= transaction_metrics(_transactions(labelled, outputs))
    seconds = sum(outputs[n].seconds for n in places)
    events = sum(len(outputs[n].score) for n in places)
    metrics["microseconds_per_event"] = 1e6 * seconds / events
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def counted_rows(series: LabelledSeries, key: str | None, outputs: Outputs) -> list[Counted]:
    """The `test` rows, stream by stream; of a keyed series the windows are the runs of labels."""
    inside = rows_of(series.windows, len(series))
    test = np.flatnonzero(~series.training)
    streams = streams_of(series, key)[test]
    order = np.argsort(streams, kind="stable")
    ends = np.flatnonzero(np.diff(streams[order])) + 1
    return [
        Counted(
            times=series.times[rows],
            first_feature=series.values[rows, 0],
            labels=series.labels[rows],
            windows=intervals_of(inside[rows]),
            outputs=part_of(outputs, rows),
        )
        for rows in np.split(test[order], ends)
    ]


def part_of(outputs: Outputs, rows: I64) -> Outputs:
    return Outputs(
        outputs.score[rows],
        outputs.level[rows],
        outputs.anomalous[rows],
        outputs.alarm[rows],
        outputs.seconds,
    )


def nab_metrics(labelled: LabelledSet, outputs: Mapping[int, Outputs]) -> Metrics:
    """NAB's score at the detector's own alarms, of random halves of the series too, and at the best
    threshold, with rest and without."""
    windows = [labelled.series[n].windows for n in labelled.counted]
    alarms = [outputs[n].alarm for n in labelled.counted]
    scores = [outputs[n].score for n in labelled.counted]
    metrics = {
        name: corpus_score(alarms, windows, PROFILES[profile])
        for name, profile in NAB_NAMES.items()
    }
    halves = scores_of_halves(alarms, windows)
    if len(halves):
        metrics["nab_standard_halves_low"] = float(np.quantile(halves, 0.05))
        metrics["nab_standard_halves_high"] = float(np.quantile(halves, 0.95))
    metrics["nab_standard_best"] = best_threshold(scores, windows).score
    metrics["nab_standard_best_rested"] = best_rested_score(scores, windows)
    return metrics


def series_metrics(parts: Sequence[Counted]) -> Metrics:
    """Means over series: the volume under the surface, and whether the peak is the anomaly."""
    volumes = [
        vus_pr(part.outputs.level, part.labels, sliding_window(part.first_feature))
        for part in parts
        if part.labels.any() and not part.labels.all()
    ]
    metrics = {"vus_pr": float(np.mean(volumes)) if volumes else math.nan}
    if all(len(intervals_of(part.labels)) == 1 for part in parts):
        metrics["peak_accuracy"] = _peaks([part.outputs.score for part in parts], parts)
        metrics["level_peak_accuracy"] = _peaks([part.outputs.level for part in parts], parts)
    return metrics


def _peaks(scores: Sequence[F64], parts: Sequence[Counted]) -> float:
    return peak_accuracy(
        [
            peak_found(one, part.labels, np.ones(len(one), np.bool_))
            for one, part in zip(scores, parts, strict=True)
        ]
    )


def rank_metrics(parts: Sequence[Counted]) -> Metrics:
    """Pooled over the set: one ranking, one threshold."""
    labels = np.concatenate([part.labels for part in parts])
    metrics: Metrics = {}
    for prefix in ("", "level_"):
        scores = np.concatenate([_scores(part.outputs, prefix) for part in parts])
        best = best_f1(scores, labels)
        rates = error_rates_at(scores, labels, best.threshold)
        known = not math.isnan(best.threshold)
        metrics[f"{prefix}average_precision"] = average_precision(scores, labels)
        metrics[f"{prefix}auroc"] = area_under_roc(scores, labels)
        metrics[f"{prefix}best_f1"] = best.quality.f1
        metrics[f"{prefix}best_f1_false_alarm_rate"] = rates.false_alarms if known else math.nan
    return metrics


def range_metrics(parts: Sequence[Counted]) -> Metrics:
    """By ranges, pooled: at the detector's own anomalous events, and at the best threshold."""
    labels = _apart([part.labels for part in parts])
    own = range_quality(_apart([part.outputs.anomalous for part in parts]), labels)
    metrics = {"range_precision": own.precision, "range_recall": own.recall, "range_f1": own.f1}
    for prefix in ("", "level_"):
        scores = [_scores(part.outputs, prefix) for part in parts]
        metrics[f"{prefix}best_range_f1"] = _best_range_f1(scores, labels)
    return metrics


def _best_range_f1(scores: Sequence[F64], labels: Bools) -> float:
    lowest = min(float(one.min()) for one in scores)
    padded = np.concatenate([np.append(one, np.nextafter(lowest, -np.inf)) for one in scores])
    return best_range_f1(padded, labels).quality.f1


def _apart(flags: Sequence[Bools]) -> Bools:
    """Streams one after another, each followed by a row that is False: no run crosses a border."""
    return np.concatenate([np.append(one, False) for one in flags])


def alarm_metrics(parts: Sequence[Counted], promised_per_day: float) -> Metrics:
    """What an operator notices: a day is a day of one stream."""
    delays = [detection_delays(part.times, part.outputs.alarm, part.windows) for part in parts]
    seconds = np.concatenate([delay.seconds for delay in delays])
    found = seconds[~np.isnan(seconds)]
    false = pooled(false_alarms(part.times, part.outputs.alarm, part.windows) for part in parts)
    return {
        "delay_seconds": float(np.median(found)) if len(found) else math.nan,
        "share_detected": len(found) / len(seconds) if len(seconds) else math.nan,
        "false_alarms_per_day": false.per_day,
        "promised_per_day": promised_per_day,
    }


def _scores(outputs: Outputs, prefix: str) -> F64:
    return outputs.level if prefix else outputs.score


def _transactions(labelled: LabelledSet, outputs: Mapping[int, Outputs]) -> Transactions | None:
    if labelled.key is None:
        return None
    return Transactions.of(
        [labelled.series[n] for n in labelled.counted],
        [outputs[n].score for n in labelled.counted],
        labelled.key,
    )
