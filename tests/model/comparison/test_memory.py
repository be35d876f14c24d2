import pytest
import torch

from model.autoencoder import Recurrent
from model.comparison.memory import gradient_norm, recall_of
from model.comparison.tasks import ADDING

HIDDEN = 8


def test_what_is_recalled_is_the_same_twice() -> None:
    """The same seed, updates and length give the same figure; it lies between 0 and 1."""
    first, again = (recall_of("rnn", ADDING, 6, HIDDEN, 20, seed=1) for _ in range(2))
    assert first == again
    assert 0.0 <= first <= 1.0


def test_a_cell_that_learns_recalls_more() -> None:
    """Ten steps back, hundreds of updates: most of the sum comes back; without any, nothing."""
    told: list[int] = []
    assert recall_of("gru", ADDING, 10, 32, 0, seed=0) < 0.2
    assert recall_of("gru", ADDING, 10, 32, 400, seed=0, progress=told.append) > 0.8
    assert sum(told) == 400


def test_the_gradient_is_that_of_the_steps_between() -> None:
    """Of a plain layer without its squashing: the product of its matrix, step by step."""
    layer = Recurrent("rnn", 1, HIDDEN)
    with torch.no_grad():
        for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"):
            layer.weight(name).zero_()
        layer.weight("weight_hh_l0").copy_(0.5 * torch.eye(HIDDEN))
    inputs = torch.zeros(20, 3, 1)
    for steps in (1, 5, 12):
        assert gradient_norm(layer, inputs, steps, seed=0) == pytest.approx(0.5**steps, rel=1e-4)


def test_an_lstm_that_forgets_nothing_keeps_its_gradient() -> None:
    """Its cell state carries it: with the forget gate open a hundred steps back weigh as one."""
    layer = Recurrent("lstm", 1, HIDDEN)
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            layer.weight(name).zero_()
        layer.weight("bias_ih_l0")[HIDDEN : 2 * HIDDEN] = 20.0
    inputs = torch.zeros(150, 2, 1)
    near, far = (gradient_norm(layer, inputs, steps, seed=0) for steps in (2, 100))
    assert far == pytest.approx(near, rel=1e-3)
