import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.evaluation.intervals import F64, I64, Bools, intervals_of
from model.evaluation.labelled import read_series
from model.evaluation.nab import (
    PROFILES,
    Profile,
    best_threshold,
    corpus_score,
    corpus_score_at,
    probation_rows,
    raw_score,
    row_worths,
    scaled_sigmoid,
    scores_of_halves,
)
from tests.model.evaluation.samples import scored

NONE = np.empty((0, 2), np.int64)
UNUSUAL = Profile(detected=1.1, false_alarm=0.11, missed=1.2)
EVEN = Profile(detected=1.0, false_alarm=1.0, missed=1.0)

HALFWAY, FIRST_ROW = 0.8482836399575131, 0.9866142981514305  # of the sigmoid

every_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())


def alarms_at(rows: int, *alarms: int) -> Bools:
    return np.isin(np.arange(rows), alarms)


def windows(*limits: tuple[int, int]) -> I64:
    """First and last rows, both within."""
    return np.array([(first, last + 1) for first, last in limits], np.int64).reshape(-1, 2)


@pytest.mark.parametrize(
    ("rows", "probation"), [(6, 0), (100, 15), (4032, 604), (5000, 750), (22695, 750)]
)
def test_probation_is_a_share_of_the_rows_up_to_a_limit(rows: int, probation: int) -> None:
    assert probation_rows(rows) == probation


@pytest.mark.parametrize(
    ("position", "worth"),
    [(-1.0, FIRST_ROW), (-0.5, HALFWAY), (0.0, 0.0), (0.5, -HALFWAY), (1.0, -FIRST_ROW),
     (3.0, -1.0), (100.0, -1.0)],
)  # fmt: skip
def test_the_sigmoid_falls_from_the_first_row_to_far_behind(position: float, worth: float) -> None:
    assert scaled_sigmoid(np.array([position]))[0] == pytest.approx(worth, abs=1e-9)


# The benchmark's own examples, which have no probation: six rows have none, and a seventh is idle.
@pytest.mark.parametrize(
    ("alarms", "limits", "expected"),
    [
        ((), (), 0.0),
        ((1, 3), (), -2.0 * 0.11),
        ((), ((1, 2), (4, 5)), -2.0 * 1.2),
        ((2,), ((1, 2),), 1.1 * HALFWAY / FIRST_ROW),
        ((2,), ((1, 2), (4, 5)), 1.1 * HALFWAY / FIRST_ROW - 1.2),
        ((4,), ((4, 5),), 1.1),
        ((4, 5), ((4, 5),), 1.1),
        ((2, 4), ((1, 2), (4, 5)), 1.1 * HALFWAY / FIRST_ROW + 1.1),
    ],
)
def test_raw_scores_are_the_published_examples(
    alarms: tuple[int, ...], limits: tuple[tuple[int, int], ...], expected: float
) -> None:
    found = raw_score(alarms_at(6, *alarms), windows(*limits), UNUSUAL)
    assert found == pytest.approx(expected, abs=1e-12)


def test_hits_a_miss_and_a_false_alarm_add_up() -> None:
    """Another published example: the false alarm comes three quarters of a width behind."""
    found = raw_score(alarms_at(100, 30, 31, 37), windows((30, 34), (65, 69)), EVEN)
    assert found == pytest.approx(-0.9540, abs=5e-5)


@pytest.mark.parametrize(("row", "worth"), [(6, -HALFWAY), (7, -FIRST_ROW), (150, -1.0), (1, -1.0)])
def test_a_false_alarm_costs_less_soon_after_a_window(row: int, worth: float) -> None:
    assert row_worths(200, windows((3, 5)), EVEN)[row] == pytest.approx(worth)


def test_a_window_of_one_row_earns_in_full_and_is_soon_past() -> None:
    worths = row_worths(10, windows((4, 4)), EVEN)
    assert worths[4] == pytest.approx(1.0)
    assert worths[5] == pytest.approx(-FIRST_ROW)


def test_only_the_first_alarm_in_a_window_counts() -> None:
    window = windows((50, 59))
    once = raw_score(alarms_at(100, 54), window, EVEN)
    assert raw_score(alarms_at(100, 54, 55, 59), window, EVEN) == once
    assert raw_score(alarms_at(100, 53, 54), window, EVEN) > once


def test_probation_counts_for_nothing() -> None:
    window = windows((50, 59))
    assert raw_score(alarms_at(100, 3, 14), window, EVEN) == -1.0
    assert raw_score(alarms_at(100, 3, 14, 15), window, EVEN) == -2.0


def test_a_window_within_probation_is_not_missed() -> None:
    assert raw_score(alarms_at(100), windows((2, 9), (40, 50)), EVEN) == -1.0


def corpus() -> tuple[list[I64], list[int]]:
    return [windows((30, 39), (75, 95)), NONE, windows((60, 80))], [100, 50, 200]


@every_profile
def test_silence_scores_nothing(profile: Profile) -> None:
    limits, lengths = corpus()
    assert corpus_score([alarms_at(n) for n in lengths], limits, profile) == 0.0


@every_profile
def test_an_alarm_at_the_first_row_of_each_window_is_perfect(profile: Profile) -> None:
    limits, lengths = corpus()
    alarms = [alarms_at(n, *w[:, 0]) for n, w in zip(lengths, limits, strict=True)]
    assert corpus_score(alarms, limits, profile) == 100.0


def test_false_alarms_alone_score_less_than_silence() -> None:
    limits, lengths = corpus()
    assert corpus_score([alarms_at(n, 25) for n in lengths], limits) < 0.0


def test_halves_of_equal_series_score_as_the_whole() -> None:
    """Where every series is the same, no half is better than another; where not, they differ."""
    window = np.array([[300, 320]])
    hit, missed = np.zeros(1000, np.bool_), np.zeros(1000, np.bool_)
    hit[300] = True
    same = scores_of_halves([hit] * 9, [window] * 9)
    np.testing.assert_allclose(same, corpus_score([hit], [window]))
    mixed = scores_of_halves([hit] * 4 + [missed] * 5, [window] * 9)
    assert mixed.min() < corpus_score([hit] * 4 + [missed] * 5, [window] * 9) < mixed.max()
    np.testing.assert_array_equal(mixed, scores_of_halves([hit] * 4 + [missed] * 5, [window] * 9))


def test_a_corpus_without_windows_has_no_score() -> None:
    assert math.isnan(corpus_score([alarms_at(20)], [NONE]))


@every_profile
def test_silence_may_be_best(profile: Profile) -> None:
    chosen = best_threshold([np.ones(100), np.ones(40)], [windows((99, 99)), NONE], profile)
    assert (chosen.threshold, chosen.score) == (math.inf, 0.0)


def test_one_threshold_is_chosen_for_the_whole_corpus() -> None:
    """Alone, the first stream would choose 0.4; with the second's false alarms, 0.6 is better."""
    first, second = np.zeros(100), np.zeros(100)
    first[[40, 70]] = 0.6, 0.4
    second[50:80] = 0.4
    limits = windows((40, 49), (70, 79))
    assert best_threshold([first], [limits]).threshold == 0.4
    chosen = best_threshold([first, second], [limits, NONE])
    assert chosen.threshold == 0.6
    assert chosen.score == pytest.approx(50.0)


@settings(deadline=None)
@given(st.lists(scored(), min_size=1, max_size=3), st.sampled_from(sorted(PROFILES)))
def test_no_threshold_scores_higher_than_the_best(
    streams: list[tuple[F64, Bools]], profile_name: str
) -> None:
    profile = PROFILES[profile_name]
    scores = [one for one, _ in streams]
    limits = [intervals_of(labels) for _, labels in streams]
    best = best_threshold(scores, limits, profile)
    tried = [
        corpus_score_at(scores, limits, threshold, profile)
        for threshold in [math.inf, *np.unique(np.concatenate(scores))]
    ]
    if math.isnan(tried[0]):
        assert math.isnan(best.score)
        return
    assert best.score == pytest.approx(max(tried))
    assert corpus_score_at(scores, limits, best.threshold, profile) == pytest.approx(best.score)


# Published raw scores, standard profile, of the benchmark's own windowed Gaussian detector, which
# alarms where its score, printed to 12 digits, is 1.
PUBLISHED = {
    "artificialWithAnomaly__art_daily_jumpsup": -1.0,
    "realAWSCloudwatch__ec2_cpu_utilization_24ae8d": -1.26667875935,
    "realAWSCloudwatch__ec2_cpu_utilization_825cc2": 0.956537840284,
    "realAWSCloudwatch__ec2_cpu_utilization_c6585a": -1.32,
    "realAWSCloudwatch__ec2_disk_write_bytes_1ef3de": -4.19089678552,
    "realAWSCloudwatch__elb_request_count_8c0756": -0.138449197924,
    "realAdExchange__exchange-3_cpc_results": 2.50266326119,
    "realAdExchange__exchange-4_cpc_results": 0.292288463428,
    "realKnownCause__ec2_request_latency_system_failure": 2.02150685678,
    "realKnownCause__rogue_agent_key_updown": -1.3964908955,
    "realTraffic__TravelTime_387": -1.79598133079,
    "realTraffic__speed_t4013": 1.76631783122,
}


def windowed_gaussian(values: F64) -> F64:
    """1 less the tail probability of each value under a normal distribution of those before.

    For series that fit its window of 6,400 values.
    """
    scores = np.zeros(len(values))
    for i in range(1, len(values)):
        spread = values[:i].std() or 1e-6
        z = abs(values[i] - values[:i].mean()) / spread
        scores[i] = float(f"{1.0 - 0.5 * math.erfc(z / math.sqrt(2.0)):.12g}")
    return scores


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_known_detector_scores_what_was_published(labelled_data: Path, name: str) -> None:
    series = read_series(labelled_data / "nab" / f"{name}.csv.gz")
    alarms = windowed_gaussian(series.values[:, 0]) >= 1.0
    found = raw_score(alarms, series.windows, PROFILES["standard"])
    assert found == pytest.approx(PUBLISHED[name], abs=1e-10)
