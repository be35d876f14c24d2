import numpy as np
import torch

from model.evaluation.baselines.windowed_lstm import (
    SCORED_BATCH,
    WINDOW_EVENTS,
    Scaler,
    WindowedAutoencoder,
    WindowedLstm,
    fit,
    window_errors,
)
from model.series import Series
from tests.model.evaluation.folders import events, waves

BOTH = np.zeros(2, np.int8)


def test_an_event_s_score_is_the_error_of_the_window_that_ends_with_it() -> None:
    values = torch.from_numpy(waves(0, SCORED_BATCH + 100).astype(np.float32))
    network = WindowedAutoencoder(2)
    errors = window_errors(network, values)
    assert not errors[: WINDOW_EVENTS - 1].any()
    for i in (WINDOW_EVENTS - 1, 300, len(values) - 1):
        window = values[i - WINDOW_EVENTS + 1 : i + 1][None]
        with torch.inference_mode():
            expected = float((network(window) - window).abs().mean())
        np.testing.assert_allclose(errors[i], expected, rtol=1e-4)


def test_nothing_is_remembered_from_one_window_to_the_next() -> None:
    values = waves(0, 400).astype(np.float32)
    other = values.copy()
    other[:300] = 0.0
    network = WindowedAutoencoder(2)
    errors = [window_errors(network, torch.from_numpy(one))[330:] for one in (values, other)]
    np.testing.assert_array_equal(errors[0], errors[1])


def test_training_makes_the_error_of_what_it_has_seen_small() -> None:
    lesson = waves(0, 600)
    scaled = Scaler.of(lesson)(lesson, BOTH)
    untrained, trained = WindowedAutoencoder(2), fit([scaled], seed=0)
    assert window_errors(trained, scaled).mean() < 0.8 * window_errors(untrained, scaled).mean()


def test_the_scale_is_that_of_the_rows_that_were_trained_on() -> None:
    lesson = np.array([[1.0, 7.0], [3.0, 7.0], [np.nan, 7.0]])
    scaled = Scaler.of(lesson)(np.array([[4.0, 7.0], [np.nan, 9.0]]), BOTH)
    assert scaled.tolist() == [[2.0, 0.0], [0.0, 10.0]]


def test_training_rows_are_preferred_to_the_first_events() -> None:
    given = events(waves(0, 200), warm_up=60)
    detector = WindowedLstm()
    lesson = Series("lesson", np.arange(200.0), 3.0 * waves(1, 200))
    (by_itself,), (taught,) = detector.score([given], []), detector.score([given], [lesson])
    assert not np.array_equal(by_itself.score, taught.score)


def test_without_enough_to_learn_from_it_still_answers() -> None:
    (found,) = WindowedLstm().score([events(waves(0, 20))], [])
    assert not found.score.any()
