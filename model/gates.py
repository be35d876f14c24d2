"""What an LSTM's memory kept, let in and told at each event: its gates, worked out again.

The equations are those of `model.autoencoder`, on the weights of an artifact, in numpy: what serves
does not say how its gates stood. A mean over units says how far a gate was open, 0 to 1.
"""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from model.artifact import Artifact
from model.normalise import Events, Reading, observe
from model.observed import Observed
from model.row import RowTable

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
LAYERS = "encoder", "decoder"


@dataclass(frozen=True, slots=True)
class Gates:
    """Of n events at one resolution, each (n,), NaN where no step of it ended with the event; over
    the units of both layers.

    forget, input, output: how far these gates were open. kept: the share of the cell state that
    was there, in absolute values, which the forget gate left; NaN while there was none. written:
    the mean size of what the input gate added to it.
    """

    forget: F64
    input: F64
    output: F64
    kept: F64
    written: F64

    def only(self, chosen: slice) -> "Gates":
        """Of some of the events."""
        return Gates(*(getattr(self, field.name)[chosen] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Layer:
    """A pass of one layer over T steps: its gates, the candidate, and the cell state before and
    after each step, as well as the hidden state after it; (T, H) each."""

    input: F32
    forget: F32
    candidate: F32
    output: F32
    before: F32
    after: F32
    hidden: F32


def gates_of(artifact: Artifact, times: F64, values: F64, skew: float) -> list[Gates] | None:
    """One for each resolution; None where the artifact's network has no such gates, or reads what
    values do not say. times (n,) Unix seconds, values (n, F), from a fresh memory on: all features
    of a network that reads them together, else one."""
    config = artifact.config
    if config.cell != "lstm" or config.categories:
        return None
    inputs, present = _inputs(artifact, times, values, skew)
    weights = artifact.weights()
    return [
        _on_events(len(times), present[:, r], passed(weights, inputs[present[:, r], r]))
        for r in range(len(config.resolutions))
    ]


def passed(weights: dict[str, F32], inputs: F32) -> list[Layer]:
    """What encoder and decoder do on inputs (T, D), from zeros on."""
    encoder = _pass(weights, LAYERS[0], inputs)
    code = np.tanh(encoder.hidden @ weights["bottleneck.weight"].T + weights["bottleneck.bias"])
    return [encoder, _pass(weights, LAYERS[1], code)]


def _inputs(
    artifact: Artifact, times: F64, values: F64, skew: float
) -> tuple[F32, npt.NDArray[np.bool_]]:
    """What the network reads: (n, R, D), and whether it steps, (n, R)."""
    n, features = values.shape
    layout = artifact.layout(features)
    table = RowTable.copies(artifact.fresh_rows(features), layout, 1)
    seen = Observed.of(artifact.config, layout, n)
    events = Events(
        np.zeros(n, np.int64), np.arange(n), np.uint64(0), times, np.zeros(n, np.bool_), values
    )
    reading = Reading.of(artifact.config, skew)
    observe(table.head, table.features, table.profiles, events, reading, seen)
    return seen.inputs[:, :, 0], np.any(~np.isnan(seen.steps), axis=2)


def _pass(weights: dict[str, F32], name: str, inputs: F32) -> Layer:
    """One layer over inputs (T, I)."""
    w, u, b, d = (
        weights[f"{name}.fused.{part}_l0"]
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    steps, units = len(inputs), u.shape[1]
    stood = np.zeros((steps, 4, units), np.float32)  # input, forget, candidate, output
    cells, hidden = np.zeros((2, steps + 1, units), np.float32)
    from_x = inputs @ w.T + (b + d)
    for t in range(steps):
        asked = (from_x[t] + u @ hidden[t]).reshape(4, units)
        stood[t] = _sigmoid(asked)
        stood[t, 2] = np.tanh(asked[2])
        i, f, g, o = stood[t]
        cells[t + 1] = f * cells[t] + i * g
        hidden[t + 1] = o * np.tanh(cells[t + 1])
    i, f, g, o = stood.transpose(1, 0, 2)
    return Layer(i, f, g, o, cells[:-1], cells[1:], hidden[1:])


def _sigmoid(x: F32) -> F32:
    return np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * x))


def _on_events(n: int, present: npt.NDArray[np.bool_], layers: list[Layer]) -> Gates:
    """Means over the units of both layers, at the events with which a step ended."""
    both = {
        name: np.concatenate([getattr(layer, name) for layer in layers], axis=1).astype(np.float64)
        for name in ("forget", "input", "output", "candidate", "before")
    }
    there = np.abs(both["before"]).sum(axis=1)
    left = np.abs(both["forget"] * both["before"]).sum(axis=1)
    columns = [
        both["forget"].mean(axis=1),
        both["input"].mean(axis=1),
        both["output"].mean(axis=1),
        np.where(there > 0.0, left / np.where(there > 0.0, there, 1.0), np.nan),
        np.abs(both["input"] * both["candidate"]).mean(axis=1),
    ]
    told = np.full((len(columns), n), np.nan)
    told[:, present] = columns
    return Gates(*told)
