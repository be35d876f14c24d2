"""Generated signals: what streams look like in general, for the base artifact and for tests.

Each is a sum and a warping of ordinary parts: daily and weekly shapes, other periods, noise of all
memories, heavy tails, bursts, shifts, on/off states, saw-teeth, volatility regimes, counts,
rounding, clipping, stuck values, irregular times. Seeded; no real data.
"""

import numpy as np
import numpy.typing as npt

from model.series import Series

F64 = npt.NDArray[np.float64]
DAY = 86400.0
INTERVALS = (1.0, 10.0, 60.0, 300.0, 300.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


def generate(seed: int, steps: int) -> Series:
    """One generated stream of `steps` events with one feature."""
    random = np.random.default_rng(seed)
    times = _times(random, steps)
    values = np.zeros(steps)
    for part in random.permutation(len(PARTS))[: random.integers(1, 5)]:
        values += random.lognormal(0.0, 0.7) * PARTS[part](random, times)
    values += random.lognormal(-2.0, 1.2) * noise(random, steps)
    values = _warp(random, values)
    values = values * 10.0 ** random.uniform(-3, 4) + random.choice([0.0, 1.0, 100.0])
    return Series(f"generated-{seed}", times, values[:, None])


def _times(random: np.random.Generator, steps: int) -> F64:
    interval = random.choice(INTERVALS)
    gaps = np.full(steps, interval)
    if random.random() < 0.25:
        gaps = gaps * random.exponential(1.0, steps)
    if random.random() < 0.15:
        gaps[random.integers(0, steps, 3)] *= random.uniform(5, 200)
    return 1.4e9 + random.uniform(0, 7 * DAY) + np.cumsum(gaps)


def noise(random: np.random.Generator, steps: int) -> F64:
    """White, Gaussian or heavy-tailed, now and then with volatility regimes."""
    if random.random() < 0.4:
        white = random.standard_t(random.uniform(2.1, 6), steps)
    else:
        white = random.normal(size=steps)
    if random.random() < 0.3:
        regime = np.exp(0.8 * _held(random, steps, 200.0))
        white = white * regime
    return white


def autoregressive(random: np.random.Generator, times: F64) -> F64:
    """AR(1) of any memory, from white to nearly a random walk."""
    memory = 1.0 - 10.0 ** random.uniform(-3, 0)
    white = noise(random, len(times)) * np.sqrt(1.0 - memory**2)
    out = np.empty_like(white)
    last = 0.0
    for t, shock in enumerate(white):
        last = memory * last + shock
        out[t] = last
    return out


def daily(random: np.random.Generator, times: F64) -> F64:
    """A daily shape, on some streams flatter at the week's end."""
    shape = _harmonics(random, times % DAY / DAY)
    if random.random() < 0.5:
        weekend = (times // DAY).astype(np.int64) % 7 >= 5
        shape = np.where(weekend, shape * random.uniform(0.1, 0.9), shape)
    return shape


def periodic(random: np.random.Generator, times: F64) -> F64:
    """A cycle of 5 to 500 events, its period and size drifting slightly."""
    period = 10.0 ** random.uniform(0.7, 2.7)
    drift = 1.0 + 0.02 * _held(random, len(times), 100.0)
    phase = np.cumsum(drift / period)
    return _harmonics(random, phase % 1.0) * (1.0 + 0.1 * _held(random, len(times), 50.0))


def bursts(random: np.random.Generator, times: F64) -> F64:
    """Rare jumps that decay."""
    steps = len(times)
    shocks = random.exponential(3.0, steps) * (
        random.random(steps) < 10.0 ** random.uniform(-3, -1)
    )
    decay = random.uniform(0.0, 0.95)
    out = np.empty(steps)
    last = 0.0
    for t, shock in enumerate(shocks):
        last = decay * last + shock
        out[t] = last
    return out


def shifts(random: np.random.Generator, times: F64) -> F64:
    """A level that holds and now and then moves."""
    return 2.0 * _held(random, len(times), 10.0 ** random.uniform(2, 3.3))


def on_off(random: np.random.Generator, times: F64) -> F64:
    """Two states, held for a while."""
    level = _held(random, len(times), 10.0 ** random.uniform(0.7, 2.3))
    return np.where(level > random.uniform(-0.5, 1), 2.0, 0.0)


def saw_tooth(random: np.random.Generator, times: F64) -> F64:
    """Fills up and falls back."""
    period = 10.0 ** random.uniform(1, 2.7)
    return 2.0 * ((np.arange(len(times)) / period + random.random()) % 1.0)


def counts(random: np.random.Generator, times: F64) -> F64:
    """Poisson counts around a daily rate."""
    rate = 10.0 ** random.uniform(-1, 1.5) * np.exp(np.clip(0.7 * daily(random, times), -20, 20))
    return random.poisson(np.minimum(rate, 1e6)) / np.sqrt(rate.mean() + 1.0)


PARTS = (autoregressive, daily, daily, periodic, bursts, shifts, on_off, saw_tooth, counts)


def _harmonics(random: np.random.Generator, phase: F64) -> F64:
    out = np.zeros_like(phase)
    for k in range(1, random.integers(2, 6)):
        out += random.normal() / k * np.sin(2 * np.pi * (k * phase + random.random()))
    if random.random() < 0.3:
        out = np.exp(random.uniform(0.5, 2.0) * out)
        out /= out.std() + 1e-9
    return out


def _held(random: np.random.Generator, steps: int, mean_length: float) -> F64:
    """Normal levels, each held for a random number of events."""
    changes = random.random(steps) < 1.0 / mean_length
    levels: F64 = random.normal(size=steps + 1)
    return levels[np.cumsum(changes)]


def _warp(random: np.random.Generator, values: F64) -> F64:
    """Clip, round, repeat or exponentiate, now and then."""
    kind = random.random()
    spread = values.std() + 1e-9
    if kind < 0.12:
        return np.maximum(values, np.quantile(values, random.uniform(0.1, 0.7)))
    if kind < 0.24:
        step = spread * random.uniform(0.2, 1.5)
        return np.round(values / step) * step
    if kind < 0.32:
        stuck = random.random(len(values)) < random.uniform(0.1, 0.8)
        kept = np.maximum.accumulate(np.where(stuck, 0, np.arange(len(values))))
        return values[kept]
    if kind < 0.45:
        return np.exp(np.clip(values / spread * random.uniform(0.3, 1.0), -8, 8))
    return values
