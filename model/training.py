"""Training by truncated back-propagation through time, the state carried across chunks.

Williams and Peng 1990: gradients run back CHUNK events at most; the memory runs on. Runs of values
are hidden from the input now and then (masking noise), the targets stay whole. Training stops when
the held-out tail no longer gets better, and keeps the weights that were best there.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.autoencoder import Autoencoder
from model.config import VALUE_CHANNELS
from model.series import Described
from model.surprise import FREEDOM, LOG_SPREAD_LIMIT

LOSS_LIMIT = 30.0  # a point: a few wild values must not steer the weights

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train; the defaults suit 1,000 to 1,000,000 events."""

    epochs: int = 40
    chunk: int = 100  # events that gradients run back over
    lanes: int = 32  # stretches trained side by side
    learning_rate: float = 4e-3
    patience: int = 5  # epochs without a better held-out loss
    hide: float = 0.02  # chance that a run of hidden values starts at an event
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Lanes:
    """Stretches side by side: inputs (T, B, D), targets and weights (T, B, W, TARGETS)."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor

    def select(self, lanes: Tensor) -> "Lanes":
        return Lanes(self.inputs[:, lanes], self.targets[:, lanes], self.weights[:, lanes])

    def chunks(self, size: int) -> Iterator["Lanes"]:
        for start in range(0, len(self.inputs), size):
            at = slice(start, start + size)
            yield Lanes(self.inputs[at], self.targets[at], self.weights[at])


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training came to: losses are mean negative log-likelihoods in nats."""

    epochs: int
    loss: float
    held_out_loss: float


def lay_out(parts: list[Described], length: int) -> Lanes:
    """Cut every part into stretches of `length` events, the last one padded with weight 0."""
    stretches = [(part, start) for part in parts for start in range(0, len(part.inputs), length)]
    shape = (length, len(stretches))
    first = parts[0]
    inputs = np.zeros((*shape, first.inputs.shape[1]), np.float32)
    targets = np.zeros((*shape, *first.targets.shape[1:]), np.float32)
    weights = np.zeros_like(targets)
    for lane, (part, start) in enumerate(stretches):
        size = min(length, len(part.inputs) - start)
        inputs[:size, lane] = part.inputs[start : start + size]
        targets[:size, lane] = part.targets[start : start + size]
        weights[:size, lane] = part.weights[start : start + size]
    return Lanes(*(torch.from_numpy(a) for a in (inputs, targets, weights)))


def fit(
    network: Autoencoder,
    train: Lanes,
    held_out: Lanes,
    settings: TrainingSettings,
    progress: Progress = lambda _: None,
) -> Fitted:
    """Train in place; the network ends with the weights that were best on `held_out`."""
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate)
    groups = math.ceil(train.inputs.shape[1] / settings.lanes)
    updates = settings.epochs * groups * math.ceil(len(train.inputs) / settings.chunk)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, updates))
    best, best_weights, best_epoch = math.inf, copy.deepcopy(network.state_dict()), 0
    loss, epoch = math.inf, 0
    for epoch in range(1, settings.epochs + 1):
        order = torch.randperm(train.inputs.shape[1], generator=generator)
        losses = [
            _fit_group(network, train.select(lanes), settings, optimiser, schedule, generator)
            for lanes in torch.split(order, settings.lanes)
        ]
        loss, held = float(np.mean(losses)), evaluate(network, held_out, settings.chunk)
        progress(f"loss {loss:.3f}, held out {held:.3f}")
        if held < best:
            best, best_weights, best_epoch = held, copy.deepcopy(network.state_dict()), epoch
        elif epoch - best_epoch >= settings.patience:
            break
    network.load_state_dict(best_weights)
    return Fitted(epoch, loss, best)


def _fit_group(
    network: Autoencoder,
    group: Lanes,
    settings: TrainingSettings,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
) -> float:
    """One pass over lanes side by side, the memory carried from chunk to chunk; mean loss."""
    network.train()
    memory = network.fresh_memory(group.inputs.shape[1])
    losses = []
    for chunk in group.chunks(settings.chunk):
        hidden = hide(chunk.inputs, network.config.width, settings.hide, generator)
        outputs, memory = network(hidden, memory.detach())
        loss = loss_of(network, outputs, chunk)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


@torch.no_grad()
def evaluate(network: Autoencoder, lanes: Lanes, chunk: int) -> float:
    """Mean loss without hiding anything, the memory carried throughout."""
    network.eval()
    memory = network.fresh_memory(lanes.inputs.shape[1])
    total, weight = 0.0, 0.0
    for part in lanes.chunks(chunk):
        outputs, memory = network(part.inputs, memory)
        present = float(part.weights.sum())
        total += float(loss_of(network, outputs, part)) * present
        weight += present
    return total / max(weight, 1.0)


def loss_of(network: Autoencoder, outputs: Tensor, lanes: Lanes) -> Tensor:
    """Weighted mean of the Student-t's negative log-likelihood, up to its constant."""
    location, log_spread = network.targets(outputs)
    log_spread = log_spread.clamp(-LOG_SPREAD_LIMIT, LOG_SPREAD_LIMIT)
    error = (lanes.targets - location) * torch.exp(-log_spread)
    tail = 0.5 * (FREEDOM + 1) * torch.log1p(error.square() / FREEDOM)
    loss = (log_spread + tail).clamp(max=LOSS_LIMIT)
    return (loss * lanes.weights).sum() / lanes.weights.sum().clamp(min=1.0)


def hide(inputs: Tensor, width: int, chance: float, generator: torch.Generator) -> Tensor:
    """Masking noise: runs of 1 to 8 events of a feature are zeroed, its mask included.

    inputs (T, B, D) -> the same shape.
    """
    T, B, _ = inputs.shape
    hidden = torch.zeros(T, B, width, dtype=torch.bool)
    starts = torch.rand(T, B, width, generator=generator) < chance
    for t, b, f in starts.nonzero().tolist():
        length = int(torch.randint(1, 9, (), generator=generator))
        hidden[t : t + length, b, f] = True
    result = inputs.clone()
    channels = hidden.repeat_interleave(VALUE_CHANNELS, dim=2)
    result[:, :, : width * VALUE_CHANNELS].masked_fill_(channels, 0.0)
    return result
