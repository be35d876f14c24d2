"""What others do with the same events, one thread."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.errors import WakefulError


@dataclass(frozen=True, slots=True)
class Given:
    """Decoded events, so that a peer is timed on its own work: (stream, values (F,))."""

    events: list[tuple[str, list[float]]]

    @classmethod
    def of(cls, records: Sequence[tuple[bytes, bytes]]) -> "Given":
        bodies = ((key.decode(), json.loads(value)) for key, value in records)
        return cls([(key, [x for n, x in body.items() if n != "time"]) for key, body in bodies])


def torch_lstm(given: Given, hidden: int) -> float:
    """Events a second of an LSTM autoencoder that steps one event at a time, its states in a dict:
    an encoder and a decoder of torch.nn.LSTM, as tutorials have them."""
    try:
        import torch  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise WakefulError("torch is not installed: .venv/bin/pip install -e '.[train]'") from error
    torch.set_num_threads(1)
    features = len(given.events[0][1])
    encoder = torch.nn.LSTM(features, hidden)
    decoder = torch.nn.LSTM(hidden, hidden)
    head = torch.nn.Linear(hidden, features)
    states: dict[str, tuple[object, object]] = {}
    started = time.perf_counter()
    with torch.no_grad():
        for stream, values in given.events:
            first, second = states.get(stream, (None, None))
            x = torch.tensor([[values]])
            code, first = encoder(x, first)
            decoded, second = decoder(code, second)
            float((head(decoded) - x).square().mean())
            states[stream] = first, second
    return len(given.events) / (time.perf_counter() - started)


def river_trees(given: Given, trees: int = 25) -> float:
    """Events a second of one forest of river's half-space trees, all streams in it."""
    try:
        from river.anomaly import HalfSpaceTrees  # noqa: PLC0415 - an extra
    except ImportError as error:
        detail = "river is not installed: .venv/bin/pip install -e '.[evaluate]'"
        raise WakefulError(detail) from error
    forest = HalfSpaceTrees(n_trees=trees, seed=1)
    low, high = np.min([v for _, v in given.events], 0), np.max([v for _, v in given.events], 0)
    width = np.maximum(high - low, 1e-9)
    scaled = [(np.array(values) - low) / width for _, values in given.events]
    rows = [dict(enumerate(row.tolist())) for row in scaled]
    started = time.perf_counter()
    for row in rows:
        forest.score_one(row)  # type: ignore[no-untyped-call]
        forest.learn_one(row)  # type: ignore[no-untyped-call]
    return len(rows) / (time.perf_counter() - started)
