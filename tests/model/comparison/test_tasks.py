import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.comparison.tasks import (
    ADDING,
    COPIED,
    COPYING,
    SYMBOLS,
    TASKS,
    Task,
    draw_adding,
    draw_copying,
)

modest = settings(deadline=None, max_examples=30)
lengths, seeds = st.integers(2, 60), st.integers(0, 2**32 - 1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@modest
@given(lengths, seeds)
def test_two_numbers_are_marked_one_in_each_half(length: int, seed: int) -> None:
    """And their sum is what is asked for."""
    inputs, sums = draw_adding(length, 7, generator(seed))
    numbers, marks = inputs.unbind(dim=2)
    assert inputs.shape == (length, 7, ADDING.inputs)
    assert (marks[: length // 2].sum(dim=0) == 1.0).all()
    assert (marks[length // 2 :].sum(dim=0) == 1.0).all()
    torch.testing.assert_close((numbers * marks).sum(dim=0), sums)


@modest
@given(lengths, seeds)
def test_symbols_come_back_after_so_many_steps_of_nothing(length: int, seed: int) -> None:
    """They are said first, then nothing, then the cue for each of them."""
    inputs, symbols = draw_copying(length, 7, generator(seed))
    assert inputs.shape == (length + 2 * COPIED, 7, COPYING.inputs)
    assert torch.equal(inputs[:COPIED, :, :SYMBOLS].argmax(dim=2), symbols)
    assert not inputs[COPIED:-COPIED].any()
    assert (inputs[-COPIED:, :, SYMBOLS] == 1.0).all()
    assert not inputs[-COPIED:, :, :SYMBOLS].any()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_who_knows_recalls_all_and_who_guesses_nothing(task: Task) -> None:
    """The answer itself recalls 1, the best guess about 0."""
    _, targets = task.draw(40, 4000, generator(0))
    if task is ADDING:
        known, guess = targets[None, :, None], torch.ones(1, 4000, 1)
    else:
        known = torch.nn.functional.one_hot(targets, SYMBOLS).float()
        guess = torch.zeros_like(known)
        guess[:, :, 0] = 1.0
    assert task.recall(known, targets) == pytest.approx(1.0)
    assert task.recall(guess, targets) == pytest.approx(0.0, abs=0.05)
    assert task.loss(known, targets) < task.loss(guess, targets)
