"""Training by truncated back-propagation through time, the state carried across chunks.

Williams and Peng 1990: gradients run back CHUNK steps at most; the memory runs on. Runs of values
are hidden from the input now and then (masking noise), the targets stay whole. Training stops when
the held-out tail no longer gets better, and keeps the weights that were best there.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.autoencoder import Autoencoder, split
from model.config import VALUE_CHANNELS
from model.judge import LOG_SPREAD_LIMIT
from model.series import Described
from model.views import FREEDOM

LOSS_LIMIT = 30.0  # a point: a few wild values must not steer the weights

PLACE_CHANNELS = 4

MOST_SIDE_BY_SIDE = 64  # held-out parts

Progress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train; the defaults suit 500 to 1,000,000 steps."""

    updates: int = 1500
    chunk: int = 96  # steps that gradients run back over
    chunks: int = 4  # of one stretch, the memory carried from one to the next
    lanes: int = 16  # stretches trained side by side
    learning_rate: float = 5e-3
    patience: int = 5  # checks of the held-out loss without a better one
    checks: int = 20  # of the held-out loss, spread over the updates
    hide: float = 0.02  # chance that a run of hidden values starts at a step
    noise: float = 0.03  # on the values read
    gain: float = 0.1  # log of the factor by which a stretch is larger or smaller
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Lanes:
    """Stretches side by side: inputs (T, B, D), targets and weights (T, B, W, targets)."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor

    def chunks(self, size: int) -> Iterator["Lanes"]:
        for start in range(0, len(self.inputs), size):
            at = slice(start, start + size)
            yield Lanes(self.inputs[at], self.targets[at], self.weights[at])


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training came to: losses are mean negative log-likelihoods in nats."""

    updates: int
    loss: float
    held_out_loss: float


def side_by_side(parts: Sequence[Described]) -> Lanes:
    """Every part whole, the shorter ones padded with weight 0."""
    length = max(len(part.inputs) for part in parts)
    return _stacked([_cut(part, 0, length) for part in parts])


def _of_like_length(parts: Sequence[Described]) -> Iterator[Sequence[Described]]:
    """The parts in groups: not a thousand short ones padded to the length of a long one."""
    ordered = sorted(parts, key=lambda part: len(part.inputs), reverse=True)
    for start in range(0, len(ordered), MOST_SIDE_BY_SIDE):
        yield ordered[start : start + MOST_SIDE_BY_SIDE]


class Stretches:
    """Random stretches of `length` steps of some parts, the longer ones more often."""

    def __init__(self, parts: Sequence[Described], length: int, seed: int) -> None:
        self._parts = parts
        self._length = length
        self._random = np.random.default_rng(seed)
        sizes = np.array([len(part.inputs) for part in parts], float)
        self._share = sizes / sizes.sum()

    def draw(self, lanes: int) -> Lanes:
        chosen = self._random.choice(len(self._parts), lanes, p=self._share)
        cuts = []
        for part in (self._parts[i] for i in chosen):
            latest = max(0, len(part.inputs) - self._length)
            cuts.append(_cut(part, int(self._random.integers(0, latest + 1)), self._length))
        return _stacked(cuts)


def _cut(part: Described, start: int, length: int) -> Described:
    """`length` steps of a part from `start`, padded with weight 0."""
    at = slice(start, start + length)
    arrays = part.inputs[at], part.targets[at], part.weights[at]
    missing = length - len(arrays[0])
    if not missing:
        return Described(*arrays)
    return Described(*(np.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)) for a in arrays))


def _stacked(cuts: Sequence[Described]) -> Lanes:
    return Lanes(
        torch.from_numpy(np.stack([cut.inputs for cut in cuts], axis=1)),
        torch.from_numpy(np.stack([cut.targets for cut in cuts], axis=1)),
        torch.from_numpy(np.stack([cut.weights for cut in cuts], axis=1)),
    )


def fit(
    network: Autoencoder,
    train: Sequence[Described],
    held_out: Sequence[Described],
    settings: TrainingSettings,
    progress: Progress = lambda _, __: None,
) -> Fitted:
    """Train in place; the network ends with the weights that were best on `held_out`.

    `progress` is told how many updates were made since the last time, and the losses.
    """
    test = [side_by_side(group) for group in _of_like_length(held_out)]
    if settings.updates == 0:
        untrained = evaluate(network, test, settings.chunk)
        return Fitted(0, untrained, untrained)
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.updates)
    stretches = Stretches(train, settings.chunk * settings.chunks, settings.seed)
    best, best_weights, since_best = math.inf, copy.deepcopy(network.state_dict()), 0
    losses: list[float] = []
    check = max(settings.chunks, settings.updates // settings.checks)
    told = 0
    while len(losses) < settings.updates and since_best < settings.patience:
        drawn = disturbed(stretches.draw(settings.lanes), network.config.width, settings, generator)
        losses += _fit_stretch(network, drawn, settings.chunk, optimiser, schedule)
        if len(losses) < min(told + check, settings.updates):
            continue
        loss, held = float(np.mean(losses[told:])), evaluate(network, test, settings.chunk)
        progress(len(losses) - told, f"loss {loss:.3f}, held out {held:.3f}")
        told = len(losses)
        since_best += 1
        if held < best:
            best, best_weights, since_best = held, copy.deepcopy(network.state_dict()), 0
    network.load_state_dict(best_weights)
    return Fitted(len(losses), float(np.mean(losses[-check:])), best)


def _fit_stretch(
    network: Autoencoder,
    stretch: Lanes,
    chunk: int,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> list[float]:
    """One update for each chunk, the memory carried from one to the next; their losses."""
    network.train()
    memory = network.fresh_memory(stretch.inputs.shape[1])
    losses: list[float] = []
    for part in stretch.chunks(chunk):
        if losses and not part.weights.any():
            break  # behind the ends of short parts there is nothing to learn
        outputs, memory = network(part.inputs, memory.detach())
        loss = loss_of(network, outputs, part)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def evaluate(network: Autoencoder, groups: Sequence[Lanes], chunk: int) -> float:
    """Mean loss without disturbing anything, the memory carried throughout."""
    network.eval()
    total, weight = 0.0, 0.0
    for lanes in groups:
        memory = network.fresh_memory(lanes.inputs.shape[1])
        for part in lanes.chunks(chunk):
            outputs, memory = network(part.inputs, memory)
            present = float(part.weights.sum())
            total += float(loss_of(network, outputs, part)) * present
            weight += present
    return total / max(weight, 1.0)


def loss_of(network: Autoencoder, outputs: Tensor, lanes: Lanes) -> Tensor:
    """Weighted mean of the Student-t's negative log-likelihood, up to its constant."""
    location, log_spread = split(network.config, outputs)
    log_spread = log_spread.clamp(-LOG_SPREAD_LIMIT, LOG_SPREAD_LIMIT)
    error = (lanes.targets - location) * torch.exp(-log_spread)
    tail = 0.5 * (FREEDOM + 1) * torch.log1p(error.square() / FREEDOM)
    loss = (log_spread + tail).clamp(max=LOSS_LIMIT)
    return (loss * lanes.weights).sum() / lanes.weights.sum().clamp(min=1.0)


def disturbed(
    lanes: Lanes, width: int, settings: TrainingSettings, generator: torch.Generator
) -> Lanes:
    """The same stretches, a little larger or smaller, noisier, and with values hidden.

    Size and noise change the channels that describe a value's place (see `normalise`); the targets
    follow the size and not the noise.
    """
    B = lanes.inputs.shape[1]
    channels = torch.zeros(width, VALUE_CHANNELS)
    channels[:, :PLACE_CHANNELS] = 1.0
    places = torch.zeros(lanes.inputs.shape[2])
    places[: width * VALUE_CHANNELS] = channels.reshape(-1)
    gain = torch.exp(settings.gain * torch.randn(B, 1, generator=generator))
    noise = settings.noise * torch.randn(lanes.inputs.shape, generator=generator)
    inputs = lanes.inputs * (1.0 + (gain - 1.0) * places) + noise * places
    targets = lanes.targets * gain[:, :, None]
    return Lanes(hide(inputs, width, settings.hide, generator), targets, lanes.weights)


def hide(inputs: Tensor, width: int, chance: float, generator: torch.Generator) -> Tensor:
    """Masking noise: runs of 1 to 8 events of a feature are zeroed, its mask included.

    inputs (T, B, D) -> the same shape.
    """
    T, B, _ = inputs.shape
    hidden = np.zeros((T, B, width), np.bool_)  # single values are set faster than in a Tensor
    starts = (torch.rand(T, B, width, generator=generator) < chance).nonzero()
    lengths = torch.randint(1, 9, (len(starts),), generator=generator)
    for (t, b, f), length in zip(starts.tolist(), lengths.tolist(), strict=True):
        hidden[t : t + length, b, f] = True
    result = inputs.clone()
    channels = torch.from_numpy(hidden).repeat_interleave(VALUE_CHANNELS, dim=2)
    result[:, :, : width * VALUE_CHANNELS].masked_fill_(channels, 0.0)
    return result
