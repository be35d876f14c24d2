"""What the normaliser says of a batch of events."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.row import RowLayout

CONTEXTS = 3  # distances from the profiles of day and week, and a jump
JUMPED = 2  # where the jump is among them

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Observed(NamedTuple):
    """What `model.normalise.observe` says of n events.

    verdicts: (n,), see `model.admission`. steps: (n, R, F), the value of the step that ends with
    the event, NaN where none does. inputs: (n, R, 1, D) for a network that reads all features, else
    (n, R, F, D). units: (n, R, F), the scale (of values or of increments) in which the network's
    locations and spreads are counted, 0 while too few values were seen. scales: (n, R, F), of
    values. Neither means anything where `steps` is NaN. contexts: (n, F, CONTEXTS), distances in
    scales and a jump in usual ones, NaN where nothing is said. paces: (n,), mean seconds between
    events. ages: (n,), seconds from the stream's first event to its newest so far. grown: (n,), how
    many of them the event brought, below 0 where a wrong clock was turned back. late: (n,), whether
    it came with a time before its stream's newest.
    """

    verdicts: npt.NDArray[np.uint8]
    steps: F64
    inputs: F32
    units: F64
    scales: F64
    contexts: F64
    paces: F64
    ages: F64
    grown: F64
    late: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, config: ModelConfig, layout: RowLayout, n: int) -> "Observed":
        """Room for what is said of n events."""
        each = (n, layout.resolutions, layout.features)
        return cls(
            verdicts=np.empty(n, np.uint8),
            steps=np.full(each, np.nan),
            inputs=np.zeros((n, layout.resolutions, layout.runs, config.inputs), np.float32),
            units=np.ones(each),
            scales=np.ones(each),
            contexts=np.full((n, layout.features, CONTEXTS), np.nan),
            paces=np.ones(n),
            ages=np.zeros(n),
            grown=np.zeros(n),
            late=np.zeros(n, np.bool_),
        )

    def only(self, events: I64) -> "Observed":
        """The same of some of the events."""
        return Observed(
            self.verdicts[events], self.steps[events], self.inputs[events], self.units[events],
            self.scales[events], self.contexts[events], self.paces[events], self.ages[events],
            self.grown[events], self.late[events],
        )  # fmt: skip

    def read_categories(self, config: ModelConfig, buckets: I64 | None) -> None:
        """Put the buckets of categories (n, C) where the network reads them."""
        given = 0 if buckets is None else buckets.shape[1]
        if given != len(config.categories):
            raise ValueError(f"{given} categories, the network reads {config.categories}")
        if buckets is not None:
            self.inputs[:, :, :, config.category_places] = buckets[:, None, None, :]
