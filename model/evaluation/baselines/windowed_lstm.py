"""The windowed LSTM autoencoder of the tutorials: what the product is without a memory.

Windows of 30 events are squeezed through the last state of one LSTM and unrolled by another; the
score of an event is the mean absolute error of the window that ends with it. It begins each window
anew, and needs training: on the training rows, or on a series' first events where there are none.
What it was trained on it also scores; those rows are not counted.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.evaluation.baselines.online import Directions, judged, one_sided
from model.evaluation.detector import Events, Outputs
from model.evaluation.intervals import F64
from model.series import Series

WINDOW_EVENTS = 30
HIDDEN = 32
EPOCHS, MOST_UPDATES, BATCH, LEARNING_RATE = 20, 1500, 64, 1e-3
SCORED_BATCH = 512
LIMIT = 10.0  # deviations


class WindowedAutoencoder(nn.Module):
    """Windows (B, 30, F) -> their reconstruction (B, 30, F)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.encoder = nn.LSTM(features, HIDDEN, batch_first=True)
        self.decoder = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.readout = nn.Linear(HIDDEN, features)

    def forward(self, windows: Tensor) -> Tensor:
        _, (last, _) = self.encoder(windows)  # (1, B, H)
        repeated = last[0][:, None].expand(-1, windows.shape[1], -1)  # (B, 30, H)
        unrolled, _ = self.decoder(repeated)
        result: Tensor = self.readout(unrolled)
        return result


@dataclass(frozen=True, slots=True)
class Scaler:
    """The mean and deviation (F,) of the rows that were trained on."""

    mean: F64
    deviation: F64

    @classmethod
    def of(cls, values: F64) -> "Scaler":
        """Of values (n, F); NaN are left out."""
        masked = np.ma.masked_invalid(values)
        mean = masked.mean(axis=0).filled(0.0)
        deviation = masked.std(axis=0).filled(1.0)
        return cls(mean, np.maximum(deviation, 1e-6 * np.abs(mean) + 1e-12))

    def __call__(self, values: F64, directions: Directions) -> Tensor:
        """(n, F), missing values as the mean."""
        scaled = np.clip((values - self.mean) / self.deviation, -LIMIT, LIMIT)
        return torch.from_numpy(one_sided(np.nan_to_num(scaled), directions).astype(np.float32))


@dataclass(frozen=True, slots=True)
class WindowedLstm:
    """The baseline as a Detector."""

    seed: int = 0
    name: str = "windowed-lstm"
    trained_only: bool = False
    promised_per_day: float = math.nan

    def score(self, series: Sequence[Events], training: Sequence[Series]) -> list[Outputs]:
        torch.set_num_threads(1)
        if not training:
            return [self._score([one], _first_rows(one))[0] for one in series]
        return self._score(series, [one.values for one in training])

    def _score(self, series: Sequence[Events], lessons: list[F64]) -> list[Outputs]:
        scaler = Scaler.of(np.concatenate(lessons))
        scaled = [scaler(lesson, series[0].directions) for lesson in lessons]
        network = fit(scaled, self.seed)
        return [_judge(network, scaler, one) for one in series]


def _first_rows(events: Events) -> list[F64]:
    """The warm-up of each stream."""
    early = events.values[: events.warm_up]
    rows = [at[at < events.warm_up] for at in events.rows_of_streams()]
    return [early[at] for at in rows]


def fit(lessons: Sequence[Tensor], seed: int) -> WindowedAutoencoder:
    """Train on every window of lessons (n, F): at most 20 epochs, or 1,500 updates."""
    torch.manual_seed(seed)
    network = WindowedAutoencoder(lessons[0].shape[1])
    windows = [_windows(lesson) for lesson in lessons if len(lesson) >= WINDOW_EVENTS]
    if not windows:
        return network
    places = torch.tensor([(n, at) for n, part in enumerate(windows) for at in range(len(part))])
    updates = min(EPOCHS * math.ceil(len(places) / BATCH), MOST_UPDATES)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    for _ in range(updates):
        chosen = places[torch.randint(len(places), (BATCH,))].tolist()
        batch = torch.stack([windows[n][at] for n, at in chosen])
        optimiser.zero_grad()
        loss = nn.functional.l1_loss(network(batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network


def _judge(network: WindowedAutoencoder, scaler: Scaler, events: Events) -> Outputs:
    scores = np.zeros(len(events))
    started = time.process_time()
    for rows in events.rows_of_streams():
        scores[rows] = window_errors(network, scaler(events.values[rows], events.directions))
    return judged(events, scores, time.process_time() - started)


def window_errors(network: WindowedAutoencoder, values: Tensor) -> F64:
    """values (n, F) -> (n,): the error of the window that ends with each event, 0 before the first.

    Batches are all of one size, so that an event's error does not depend on how many follow.
    """
    errors = np.zeros(len(values))
    if len(values) < WINDOW_EVENTS:
        return errors
    windows = _windows(values)
    with torch.inference_mode():
        for start in range(0, len(windows), SCORED_BATCH):
            part = windows[start : start + SCORED_BATCH]
            whole = torch.zeros(SCORED_BATCH, *part.shape[1:])
            whole[: len(part)] = part
            error = (network(whole) - whole).abs().mean(dim=(1, 2))[: len(part)]
            first = WINDOW_EVENTS - 1 + start
            errors[first : first + len(part)] = error.double().numpy()
    return errors


def _windows(values: Tensor) -> Tensor:
    """(n, F) -> (n - 29, 30, F), views of the same numbers."""
    return values.unfold(0, WINDOW_EVENTS, 1).transpose(1, 2)
