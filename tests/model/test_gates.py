"""The gates that are worked out again are those of torch's own LSTM, and of what serves."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.artifact import Artifact
from model.gates import LAYERS, gates_of, passed
from tests.model.conftest import F32, F64, Exported, noisy, ticks

CLOSE = 2e-6


def inputs_of(artifact: Artifact, seed: int, steps: int, size: float) -> F32:
    random = np.random.default_rng(seed)
    return random.normal(0.0, size, (steps, artifact.config.inputs)).astype(np.float32)


def by_torch(weights: dict[str, F32], name: str, inputs: F32) -> tuple[F32, F32]:
    """(T, H) each: hidden and cell states of torch's own cell, step by step."""
    parts = {
        part: torch.from_numpy(weights[f"{name}.fused.{part}_l0"])
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    cell = torch.nn.LSTMCell(parts["weight_ih"].shape[1], parts["weight_hh"].shape[1])
    cell.load_state_dict(parts)
    state, told = None, []
    with torch.no_grad():
        for x in torch.from_numpy(inputs):
            state = cell(x[None], state)
            told.append([part[0].numpy() for part in state])
    hidden, cells = np.moveaxis(np.array(told), 1, 0)
    return hidden, cells


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 60), size=st.floats(0.01, 4.0))
def test_states_are_those_of_torchs_own_cell_and_gates_make_them(
    base: Artifact, seed: int, steps: int, size: float
) -> None:
    weights, inputs = base.weights(), inputs_of(base, seed, steps, size)
    encoder, decoder = passed(weights, inputs)
    code = encoder.hidden @ weights["bottleneck.weight"].T + weights["bottleneck.bias"]
    for name, layer, read in ((LAYERS[0], encoder, inputs), (LAYERS[1], decoder, np.tanh(code))):
        hidden, cells = by_torch(weights, name, read)
        np.testing.assert_allclose(layer.hidden, hidden, atol=CLOSE)
        np.testing.assert_allclose(layer.after, cells, atol=10 * CLOSE)
        made = layer.forget * layer.before + layer.input * layer.candidate
        np.testing.assert_allclose(made, layer.after, atol=CLOSE)
        np.testing.assert_allclose(layer.output * np.tanh(layer.after), hidden, atol=CLOSE)


def test_each_gate_is_what_its_equation_says(base: Artifact) -> None:
    """By torch's functions, from the states that torch's own cell had."""
    weights, inputs = base.weights(), inputs_of(base, 4, 50, 1.0)
    (layer, _) = passed(weights, inputs)
    hidden, _ = by_torch(weights, LAYERS[0], inputs)
    before = np.vstack([np.zeros_like(hidden[:1]), hidden[:-1]])
    w = {
        part: torch.from_numpy(weights[f"encoder.fused.{part}_l0"])
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    asked = torch.nn.functional.linear(torch.from_numpy(inputs), w["weight_ih"], w["bias_ih"])
    asked = asked + torch.nn.functional.linear(
        torch.from_numpy(before), w["weight_hh"], w["bias_hh"]
    )
    i, f, g, o = asked.chunk(4, dim=1)
    for found, expected in (
        (layer.input, torch.sigmoid(i)),
        (layer.forget, torch.sigmoid(f)),
        (layer.candidate, torch.tanh(g)),
        (layer.output, torch.sigmoid(o)),
    ):
        np.testing.assert_allclose(found, expected.numpy(), atol=CLOSE)


def test_states_are_those_that_are_served(base: Artifact) -> None:
    inputs = inputs_of(base, 7, 80, 1.0)
    layers = passed(base.weights(), inputs)
    memory = np.zeros((1, base.config.memory), np.float32)
    for t, x in enumerate(inputs):
        _, memory = base.step(x[None], memory)
        states = [part[t] for layer in layers for part in (layer.hidden, layer.after)]
        np.testing.assert_allclose(memory[0], np.concatenate(states), atol=CLOSE * 10)


def values_of(artifact: Artifact, n: int) -> F64:
    return noisy(3, n, max(1, len(artifact.config.features)))


def test_gates_are_told_where_a_step_ended_alone(base: Artifact, joint: Artifact) -> None:
    for artifact in (base, joint):
        values = values_of(artifact, 100)
        values[10] = np.nan
        told = gates_of(artifact, ticks(100), values, 1e9)
        assert told is not None
        assert len(told) == len(artifact.config.resolutions)
        for gates, length in zip(told, artifact.config.resolutions, strict=True):
            ends = (1 + np.arange(100)) % length == 0
            ends[10] &= length > 1
            for column in (gates.forget, gates.input, gates.output, gates.written):
                np.testing.assert_array_equal(np.isfinite(column), ends)
                assert ((column[ends] > 0.0) & (column[ends] < 1.0)).all()
            first = np.flatnonzero(ends)[0]
            assert np.isnan(gates.kept[first])
            later = gates.kept[ends][1:]
            assert ((later > 0.0) & (later < 1.0)).all()


def test_of_a_network_without_gates_nothing_is_told(exported: Exported) -> None:
    artifact = exported.artifact
    told = gates_of(artifact, ticks(20), values_of(artifact, 20), 1e9)
    assert (told is None) == (artifact.config.cell != "lstm")


def test_after_a_warm_up_gates_are_nearly_those_of_a_longer_past(base: Artifact) -> None:
    n, shown, warm_up = 3000, 200, 500
    values = 10.0 * np.sin(np.arange(n)[:, None] / 30.0) + noisy(5, n)
    whole = gates_of(base, ticks(n), values, 1e9)
    part = slice(n - shown - warm_up, None)
    short = gates_of(base, ticks(n)[part], values[part], 1e9)
    assert whole is not None
    assert short is not None
    for name in ("forget", "input", "output", "kept"):
        after, before = getattr(short[0], name)[-shown:], getattr(whole[0], name)[-shown:]
        assert np.abs(after - before).max() < 0.05
