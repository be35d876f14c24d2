"""How far back a cell remembers: recall on tasks, and how much gradient comes through time."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.autoencoder import Recurrent
from model.comparison.tasks import Task

BATCH = 32
TESTED = 256  # sequences that recall is measured on
LEARNING_RATE = 5e-3
LARGEST_GRADIENT = 1.0

Progress = Callable[[int], None]


class Reader(nn.Module):
    """The layer that serves, with a linear read-out: inputs (T, B, I) -> (T, B, O)."""

    def __init__(self, cell: str, task: Task, hidden: int) -> None:
        super().__init__()
        self.layer = Recurrent(cell, task.inputs, hidden)
        self.read = nn.Linear(hidden, task.outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        states, _ = self.layer(inputs, torch.zeros(inputs.shape[1], self.layer.state))
        given: Tensor = self.read(states)
        return given


def recall_of(
    cell: str,
    task: Task,
    length: int,
    hidden: int,
    updates: int,
    seed: int,
    progress: Progress = lambda _: None,
) -> float:
    """What a cell recalls of a task over `length` steps, after so many updates on it; 0 to 1."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    reader = Reader(cell, task, hidden)
    optimiser = torch.optim.Adam(reader.parameters(), LEARNING_RATE)
    for _ in range(updates):
        inputs, targets = task.draw(length, BATCH, generator)
        loss = task.loss(reader(inputs), targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(reader.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        progress(1)
    with torch.no_grad():
        inputs, targets = task.draw(length, TESTED, generator)
        return min(max(task.recall(reader(inputs), targets), 0.0), 1.0)


def gradient_norm(layer: Recurrent, inputs: Tensor, steps: int, seed: int) -> float:
    """How much the hidden state now would move with the state `steps` before it.

    inputs (T, B, I), T > steps. The norm of the gradient, through time, of a random direction of
    the last hidden state, of length 1; the geometric mean over B.
    """
    with torch.no_grad():
        fresh = torch.zeros(inputs.shape[1], layer.state)
        _, state = layer(inputs[: len(inputs) - steps], fresh)
    state = state.detach().requires_grad_()
    states, _ = layer(inputs[len(inputs) - steps :], state)
    generator = torch.Generator().manual_seed(seed)
    direction = nn.functional.normalize(torch.randn(states[-1].shape, generator=generator), dim=1)
    (gradient,) = torch.autograd.grad((states[-1] * direction).sum(), state)
    return float(gradient.norm(dim=1).clamp(min=1e-30).log().mean().exp())
