"""From events to scores: admit and describe, step the network in waves, judge.

A batch may hold several events of one stream. The compiled loops take them in arrival order; the
network takes waves of distinct streams, each wave one batched call. Nothing here depends on how
events were cut into batches.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.admission import ADMITTED
from model.artifact import LARGEST_BATCH
from model.config import ModelConfig
from model.judge import BOTH, Memory, Terms, Verdicts, judge
from model.normalise import Events, Reading, observe
from model.observed import Observed
from model.population import Population, tail_table
from model.row import RowTable
from model.suppression import rule_table
from model.views import VIEW_COUNT, Pools, view_numbers

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Structured = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Scored:
    """Verdicts on n events, and the scores of the m admitted ones.

    verdicts: (n,), see `model.admission`. admitted: (m,), indices into the n events.
    scores: (m,) of SCORE. expected, spread, surprise, size_among_kin: (m, F), NaN where not known.
    views: (m, V), the config's views, see `model.views`. episodes: (m,), see `model.episodes`.
    late, ages, grown: (m,), see Observed.
    """

    verdicts: npt.NDArray[np.uint8]
    admitted: I64
    scores: Structured
    expected: F64
    spread: F64
    surprise: F64
    size_among_kin: F64
    views: F64
    episodes: Structured
    late: npt.NDArray[np.bool_]
    ages: F64
    grown: F64

    def only(self, events: slice) -> "Scored":
        """The same of some events in a row, where all were admitted."""
        part = Scored(*(getattr(self, field.name)[events] for field in fields(self)))
        return replace(part, admitted=part.admitted - events.start)


class Network(Protocol):
    """What steps: an artifact, or a network that is not exported yet."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def population(self) -> Population | None: ...

    def step(self, inputs: F32, memory: F32) -> tuple[F32, F32]:
        """inputs (B, D), memory (B, M) -> outputs (B, O), memory' (B, M)."""
        ...


class Scorer:
    """Scores events of streams whose memories are rows of a RowTable.

    `budget_per_week` is the false alarms that one stream may raise in a week of event time; `skew`
    the seconds that an event may be behind its stream's newest one.
    """

    def __init__(
        self,
        network: Network,
        directions: npt.NDArray[np.int8],
        budget_per_week: float,
        skew: float,
    ) -> None:
        self.network = network
        self.directions = directions
        self.rules = rule_table([""] * len(directions), {})
        """(F,) of RULE, see `model.suppression`."""
        self.budget_per_week = budget_per_week
        self.skew = skew
        config = network.config
        self._reading = Reading.of(config, skew)
        self._horizons = np.array(config.horizons, np.int64)
        self._views = view_numbers(config.views)
        self._counts = np.isin(np.arange(VIEW_COUNT), self._views)
        self._error_tails, self._view_tails = _tails(network, len(directions))

    def score(
        self,
        table: RowTable,
        slots: I64,
        offsets: I64,
        origin: int,
        times: F64,
        timed: npt.NDArray[np.bool_],
        values: F64,
        categories: I64 | None = None,
        muted: Bools | None = None,
    ) -> Scored:
        """Score n events in arrival order; the rows named by `slots` move on.

        slots, offsets, times (Unix seconds), timed: (n,); values: (n, F), NaN where missing;
        categories: (n, C), the buckets of what is no number, None where there is none; muted:
        (n, F), values that raise no alarm; origin: a hash of the topic and partition that the
        offsets belong to.
        """
        config = self.network.config
        values = np.ascontiguousarray(values)  # for others all would be compiled anew
        events = Events(slots, offsets, np.uint64(origin), times, timed, values)
        muted = np.zeros(values.shape, np.bool_) if muted is None else muted
        seen = Observed.of(config, table.layout, len(slots))
        # Of no feature there is no event: rows without any are of another layout to the compiler,
        # which would take seconds for the first record that is rejected.
        if len(slots):
            observe(table.head, table.features, table.profiles, events, self._reading, seen)
        seen.read_categories(config, categories)
        verdicts = seen.verdicts
        admitted = np.flatnonzero(verdicts == ADMITTED)
        if len(admitted) < len(slots):
            events, seen, muted = events.only(admitted), seen.only(admitted), muted[admitted]
        outputs = self._step(table, events.slots, seen)
        said = self._judged(table, events, muted, seen, outputs)
        expected, spread, surprise, size = np.moveaxis(said.told, 2, 0)
        return Scored(
            verdicts, admitted, said.scores, expected, spread, surprise, size, said.views,
            said.episodes, seen.late, seen.ages, seen.grown,
        )  # fmt: skip

    def compile_judge(self, table: RowTable) -> None:
        """Compile or load the longest loop alone, on an event of a memory that is nobody's."""
        slots, values = np.zeros(1, np.int64), np.zeros((1, len(self.directions)))
        events = Events(slots, slots, np.uint64(0), np.zeros(1), np.zeros(1, np.bool_), values)
        seen = Observed.of(self.network.config, table.layout, 1)
        muted = np.zeros(values.shape, np.bool_)
        self._judged(table, events, muted, seen, self._step(table, slots, seen))

    def _judged(
        self, table: RowTable, events: Events, muted: Bools, seen: Observed, outputs: F32
    ) -> Verdicts:
        config, (n, features) = self.network.config, events.values.shape
        said = Verdicts.of(n, features, len(config.views))
        pools = Pools.of(features, len(config.horizons))
        if n:
            judge(Memory.of(table), events, muted, seen, outputs, self._terms(), pools, said)
        return said

    def _terms(self) -> Terms:
        config = self.network.config
        return Terms(
            config.joint, self.directions, self.rules, self._horizons, self._views,
            self._counts, config.persistence, config.cautious_events, self._error_tails,
            self._view_tails, self.budget_per_week,
        )  # fmt: skip

    def _step(self, table: RowTable, slots: I64, seen: Observed) -> F32:
        """Run the network over every step that ended, wave by wave; (m, R, runs, O)."""
        present: npt.NDArray[np.bool_] = ~np.isnan(seen.steps)
        if self.network.config.joint:
            present = np.any(present, axis=2, keepdims=True)
        event, resolution, run = np.nonzero(present)
        turn = turns(slots)[event]
        order = np.argsort(turn, kind="stable")
        event, resolution, run = event[order], resolution[order], run[order]
        row, states = slots[event], table.states
        read = seen.inputs[event, resolution, run]  # in the order in which they are run
        outputs = np.zeros((*present.shape, self.network.config.outputs), np.float32)
        for part in _calls(turn[order]):
            at = row[part], resolution[part], run[part]
            given, states[at] = self.network.step(read[part], states[at])
            outputs[event[part], resolution[part], run[part]] = given
        return outputs


def _calls(turn: I64) -> Iterator[slice]:
    """Slices of equal turns, none longer than LARGEST_BATCH; `turn` is in rising order."""
    ends = np.flatnonzero(np.diff(turn)) + 1
    for start, end in pairwise([0, *ends.tolist(), len(turn)]):
        for first in range(start, end, LARGEST_BATCH):
            yield slice(first, min(first + LARGEST_BATCH, end))


def turns(slots: I64) -> I64:
    """(n,): how many events of the same stream came before, for each event.

    Events of equal turn are of distinct streams: a wave, that one batched call may step.

    >>> turns(np.array([7, 8, 7, 7])).tolist()
    [0, 0, 1, 2]
    """
    turn = np.zeros(len(slots), np.int64)
    if len(slots) == 0:
        return turn
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[first, len(slots)])
    turn[order] = np.arange(len(slots)) - np.repeat(first, lengths)
    return turn


def _tails(network: Network, features: int) -> tuple[F64, F64]:
    """Those of a population, of errors (F, K) and of views (V, K); K = 0 where there is none."""
    config, population = network.config, network.population
    if population is None:
        return np.zeros((features, 0)), np.zeros((len(config.views), 0))
    return (
        tail_table([population.features[name].errors for name in config.features]),
        tail_table([population.views.get(name, ()) for name in config.views]),
    )


def directions_of(features: tuple[str, ...], declared: Mapping[str, int]) -> npt.NDArray[np.int8]:
    """(F,) of LOW, BOTH, HIGH for `model.judge.judge`."""
    return np.array([declared.get(name, BOTH) for name in features], np.int8)
