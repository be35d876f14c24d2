import numpy as np
import pytest

import model.rehearsal
from model.config import ModelConfig
from model.linear import Linear
from model.rehearsal import InTorch, rehearse
from model.scorer import Scorer, directions_of
from model.series import Series
from tests.model.conftest import network_of, noisy, ticks

CONFIG = ModelConfig(
    ("a", "b"), "linear", resolutions=(1,), horizons=(1, 2), views=("near", "away")
)


@pytest.mark.parametrize("together", [1, 500, 100_000])
def test_levels_are_those_that_serving_would_give(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each series from a fresh memory, in order, whatever shares the batch, event by event."""
    monkeypatch.setattr(model.rehearsal, "TOGETHER", together)
    series = [Series(str(n), ticks(n), noisy(n, n, 2)) for n in (300, 301, 302)]
    network = InTorch(Linear(CONFIG))
    said = list(rehearse(network, series))
    assert [one.name for one, _ in said] == ["300", "301", "302"]
    for one, scored in said:
        ((_, alone),) = rehearse(network, [one])
        levels = scored.scores["level"]
        np.testing.assert_allclose(alone.scores["level"], levels, rtol=1e-4)
        assert np.isfinite(levels).all() and len(levels) == len(one)


def test_a_network_that_is_not_exported_steps_as_it_would() -> None:
    """`InTorch` is a Network as the scorer wants it, without gradients."""
    network = network_of(ModelConfig(("a", "b"), hidden=6, bottleneck=4, decoder_hidden=4))
    stepped = InTorch(network)
    inputs = np.ones((3, network.config.inputs), np.float32)
    memory = np.zeros((3, network.config.memory), np.float32)
    outputs, after = stepped.step(inputs, memory)
    assert outputs.shape == (3, network.config.outputs)
    assert after.shape == memory.shape
    assert Scorer(stepped, directions_of(("a", "b"), {}), 1.0, 0.0).network is stepped
