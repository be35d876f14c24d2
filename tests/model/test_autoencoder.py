import pytest
import torch
from torch import Tensor, nn

from model.autoencoder import FORGET_BIAS, Autoencoder, Recurrent, split
from model.config import Cell, ModelConfig
from tests.model.conftest import RECURRENT, network_of

INPUTS, HIDDEN, BATCH, STEPS = 5, 7, 3, 20
TORCH_LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

each_cell = pytest.mark.parametrize("cell", RECURRENT)
each_features = pytest.mark.parametrize("features", [(), ("a", "b", "c")], ids=["alone", "joint"])


def torch_states(cell: Cell, layer: Recurrent, x: Tensor, state: Tensor) -> Tensor:
    """(T, B, S): the flat state after each event, by torch's own layer with the same weights."""
    own = TORCH_LAYERS[cell](INPUTS, HIDDEN).double()
    own.load_state_dict(layer.fused.state_dict())
    h = state[None, :, :HIDDEN].contiguous()
    c = state[None, :, HIDDEN:].contiguous()
    states = []
    for t in range(len(x)):
        if cell == "lstm":
            _, (h, c) = own(x[t : t + 1], (h, c))
        else:
            _, h = own(x[t : t + 1], h)
        states.append(torch.cat([h[0], c[0]], dim=1) if cell == "lstm" else h[0])
    return torch.stack(states)


def recurrent_case(cell: Cell) -> tuple[Recurrent, Tensor, Tensor]:
    torch.manual_seed(1)
    layer = Recurrent(cell, INPUTS, HIDDEN).double()
    x = torch.randn(STEPS, BATCH, INPUTS, dtype=torch.float64)
    return layer, x, torch.randn(BATCH, layer.state, dtype=torch.float64)


@each_cell
@torch.no_grad()
def test_a_step_gives_the_numbers_of_torchs_own_layer(cell: Cell) -> None:
    """The gate equations that are served equal nn.LSTM, nn.GRU and nn.RNN event after event."""
    layer, x, state = recurrent_case(cell)
    for event, expected in zip(x, torch_states(cell, layer, x, state), strict=True):
        h, state = layer.step(event, state)
        torch.testing.assert_close(h, expected[:, :HIDDEN], rtol=0, atol=1e-12)
        torch.testing.assert_close(state, expected, rtol=0, atol=1e-12)


@each_cell
@torch.no_grad()
def test_a_stretch_gives_the_numbers_of_torchs_own_layer(cell: Cell) -> None:
    """What is trained equals nn.LSTM, nn.GRU and nn.RNN over the whole sequence."""
    layer, x, state = recurrent_case(cell)
    expected = torch_states(cell, layer, x, state)
    h, after = layer(x, state)
    torch.testing.assert_close(h, expected[:, :, :HIDDEN], rtol=0, atol=1e-12)
    torch.testing.assert_close(after, expected[-1], rtol=0, atol=1e-12)


def test_the_forget_gates_start_with_memories_from_a_few_to_a_hundred_events() -> None:
    """A new LSTM's forget biases spread evenly over FORGET_BIAS; other gates are torch's own."""
    hidden = 32
    bias = Recurrent("lstm", INPUTS, hidden).weight("bias_ih_l0").detach()
    forget = bias[hidden : 2 * hidden]
    torch.testing.assert_close(forget, torch.linspace(*FORGET_BIAS, hidden))
    remembered = 1.0 / (1.0 - torch.sigmoid(forget))
    assert 2.0 < remembered.min() < 3.0
    assert 100.0 < remembered.max() < 200.0
    others = torch.cat([bias[:hidden], bias[2 * hidden :]])
    assert others.abs().max() <= 1.0 / hidden**0.5


def case(features: tuple[str, ...], cell: Cell) -> tuple[Autoencoder, Tensor, Tensor]:
    network = network_of(ModelConfig(features, cell))
    inputs = 2.0 * torch.randn(STEPS, BATCH, network.config.inputs)
    return network, inputs, torch.rand(BATCH, network.config.memory) - 0.5


@each_features
@each_cell
@torch.no_grad()
def test_what_is_served_is_what_was_trained(features: tuple[str, ...], cell: Cell) -> None:
    """T calls of `step` give the outputs and the memory of one `forward` over T events."""
    network, inputs, memory = case(features, cell)
    expected, memory_after = network(inputs, memory)
    outputs = []
    for event in inputs:
        output, memory = network.step(event, memory)
        outputs.append(output)
    torch.testing.assert_close(torch.stack(outputs), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(memory, memory_after, rtol=0, atol=1e-5)


@each_features
@each_cell
@torch.no_grad()
def test_a_sequence_may_be_cut_anywhere(features: tuple[str, ...], cell: Cell) -> None:
    """Chunks with the memory carried give the outputs and the memory of the whole sequence."""
    network, inputs, memory = case(features, cell)
    expected, memory_after = network(inputs, memory)
    outputs = []
    for chunk in torch.split(inputs, [1, 6, 2, STEPS - 9]):
        output, memory = network(chunk, memory)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(memory, memory_after, rtol=0, atol=1e-5)


@each_cell
@torch.no_grad()
def test_what_a_stream_lived_through_changes_what_it_is_told(cell: Cell) -> None:
    """The same event read with another memory, of encoder or decoder, gives another output."""
    network, inputs, memory = case((), cell)
    output, _ = network.step(inputs[0], memory)
    for place in (0, -1):
        other = memory.clone()
        other[:, place] += 0.5
        assert not torch.allclose(network.step(inputs[0], other)[0], output, rtol=0, atol=1e-6)


@each_features
@each_cell
def test_the_configs_sizes_are_the_networks(features: tuple[str, ...], cell: Cell) -> None:
    """`ModelConfig` says the lengths of input, output and memory that the network works with."""
    network = Autoencoder(ModelConfig(features, cell))
    config = network.config
    fresh = network.fresh_memory(BATCH)
    assert fresh.shape == (BATCH, config.memory)
    assert not fresh.any()
    assert network.encoder.state + network.decoder.state == config.memory
    outputs, memory = network.step(torch.zeros(BATCH, config.inputs), fresh)
    assert outputs.shape == (BATCH, config.outputs)
    assert memory.shape == (BATCH, config.memory)


@pytest.mark.parametrize("horizons", [(1,), (1, 4, 16)], ids=["one", "three"])
def test_each_target_of_each_feature_has_a_location_and_a_log_spread(
    horizons: tuple[int, ...],
) -> None:
    """An output vector is ordered by feature, then target, then location and log-spread."""
    config = ModelConfig(("a", "b", "c"), horizons=horizons)
    outputs = torch.arange(float(config.outputs)).expand(STEPS, BATCH, -1)
    location, log_spread = split(config, outputs)
    assert location.shape == log_spread.shape == (STEPS, BATCH, 3, 1 + len(horizons))
    evens = torch.arange(0.0, config.outputs, 2.0).reshape(3, -1)
    assert torch.equal(location[0, 0], evens)
    assert torch.equal(log_spread[0, 0], evens + 1.0)


@each_features
@torch.no_grad()
def test_what_was_read_comes_back_through_the_bottleneck_alone(features: tuple[str, ...]) -> None:
    """With the bottleneck shut, what was just read has no part in its own reconstruction.

    Hidden values are told past it as well.
    """
    network, inputs, memory = case(features, "lstm")
    network.bottleneck.weight.zero_()
    first, again = (split(network.config, network(x, memory)[0]) for x in (inputs, inputs + 1.0))
    for part, other in zip(first, again, strict=True):
        assert torch.equal(part[..., 0], other[..., 0])
        assert (part[..., 1:] != other[..., 1:]).all()
