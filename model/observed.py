"""What the normaliser says of a batch of events."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from model.config import ModelConfig
from model.normalise import CONTEXTS
from model.row import RowLayout

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Observed:
    """What `model.normalise.observe` says of n events; see there for the shapes."""

    verdicts: npt.NDArray[np.uint8]
    steps: F64
    inputs: F32
    units: F64
    scales: F64
    contexts: F64
    paces: F64

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
        )

    def only(self, events: I64) -> "Observed":
        """The same of some of the events."""
        return Observed(*(getattr(self, field.name)[events] for field in fields(self)))

    def read_categories(self, config: ModelConfig, buckets: I64 | None) -> None:
        """Put the buckets of categories (n, C) where the network reads them."""
        given = 0 if buckets is None else buckets.shape[1]
        if given != len(config.categories):
            raise ValueError(f"{given} categories, the network reads {config.categories}")
        if buckets is not None:
            self.inputs[:, :, :, config.category_places] = buckets[:, None, None, :]
