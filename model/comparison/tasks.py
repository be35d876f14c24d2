"""Two tasks that need a memory: adding (Hochreiter and Schmidhuber 1997, Neural Computation 9(8))
and copying (in the form of Arjovsky, Shah and Bengio 2016, ICML).

Copying asks for what was said `length` steps before; adding for one number that lies up to half as
far back, and one that lies farther: who remembers the nearer alone recalls 0.5. Recall is the share
that comes back: 0 is what a guess reaches, 1 is all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

ADDED = 2  # numbers to be added
SUM_VARIANCE = ADDED / 12.0  # of numbers spread evenly over 0 to 1
SYMBOLS, COPIED = 8, 5  # how many there are, and how many of them are to be copied

Draw = Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Task:
    """draw: (length, batch, generator) -> inputs (T, B, inputs), targets. Of what a layer gives,
    (T, B, outputs), loss and recall are taken at the task's end."""

    name: str
    inputs: int
    outputs: int
    draw: Draw
    loss: Callable[[Tensor, Tensor], Tensor]
    recall: Callable[[Tensor, Tensor], float]


def draw_adding(length: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Numbers, two of them marked, one in each half: targets (B,), their sum."""
    numbers = torch.rand(length, batch, generator=generator)
    marks = torch.zeros(length, batch)
    half = length // 2
    lanes = torch.arange(batch)
    marks[torch.randint(0, half, (batch,), generator=generator), lanes] = 1.0
    marks[torch.randint(half, length, (batch,), generator=generator), lanes] = 1.0
    return torch.stack([numbers, marks], dim=2), (numbers * marks).sum(dim=0)


def adding_loss(given: Tensor, targets: Tensor) -> Tensor:
    return functional.mse_loss(given[-1, :, 0], targets)


def adding_recall(given: Tensor, targets: Tensor) -> float:
    """The share of the sums' variance that is told."""
    return 1.0 - float(adding_loss(given, targets)) / SUM_VARIANCE


def draw_copying(length: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Symbols, nothing for `length` steps, then a cue: targets (COPIED, B), the symbols."""
    symbols = torch.randint(0, SYMBOLS, (COPIED, batch), generator=generator)
    inputs = torch.zeros(length + 2 * COPIED, batch, SYMBOLS + 1)
    inputs[:COPIED, :, :SYMBOLS] = functional.one_hot(symbols, SYMBOLS).float()
    inputs[-COPIED:, :, SYMBOLS] = 1.0
    return inputs, symbols


def copying_loss(given: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(given[-COPIED:].reshape(-1, SYMBOLS), targets.reshape(-1))


def copying_recall(given: Tensor, targets: Tensor) -> float:
    """The share of the symbols that is right, beyond what a guess gets."""
    right = float((given[-COPIED:].argmax(dim=2) == targets).float().mean())
    return (right - 1.0 / SYMBOLS) / (1.0 - 1.0 / SYMBOLS)


ADDING = Task("adding", ADDED, 1, draw_adding, adding_loss, adding_recall)
COPYING = Task("copying", SYMBOLS + 1, SYMBOLS, draw_copying, copying_loss, copying_recall)
TASKS = (ADDING, COPYING)
