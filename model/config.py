"""Every number that shapes a tensor of the network or a field of a memory row."""

import math
from dataclasses import dataclass
from typing import Literal

from model.views import VIEWS

Cell = Literal["lstm", "gru", "rnn", "linear", "mean"]
"""What predicts: a recurrent network, a linear map of the inputs, or the stream's mean so far."""

Unit = Literal["increments", "values"]

VALUE_CHANNELS = 11
"""Inputs for each feature: see `model.normalise.describe_value`."""

EVENT_CHANNELS = 2
"""Inputs for each event: its gap, and the stream's age."""

CAUTIOUS_STEPS = 40.0

MOST_HORIZONS = 3  # the views near, middle and far
LEAST_BLOCKS, MOST_BLOCKS = 10, 254

EMBEDDED = 4
"""Length of the vector that a category's bucket is read as."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The network's shape, and what is remembered of a stream.

    `features` is empty for a network that runs feature by feature with shared weights (it takes
    streams of any features); else the names that the network reads jointly, in this order.
    `categories` are fields that are no numbers: read beside the features, never scored.

    `resolutions` are the time scales at which the same weights run, each with a memory of its own:
    one step on the mean of so many events. `horizons` are how many steps before it came a value was
    hidden when it was reconstructed. Moves are counted in the scale of `unit`: of the stream's
    increments or of its values. One value counts for `level_clip` scales at most in what is learnt
    of the stream's level: the fewer, the longer until a change becomes the new normal. `views` are
    those of `model.views.VIEWS` that count, `persistence` the steps over which the view `long`
    averages, twice, and `blocks` how many block maxima of each are remembered: a byte each.

    `scales` are, for each feature, the scale of its values and that of its increments, in input
    units, that a new stream is taken to have; 0 where streams differ, none at all where nothing is
    known of them.
    """

    features: tuple[str, ...] = ()
    cell: Cell = "lstm"
    hidden: int = 32
    bottleneck: int = 16
    decoder_hidden: int = 16
    resolutions: tuple[int, ...] = (1, 24)
    horizons: tuple[int, ...] = (1, 4, 16)
    unit: Unit = "increments"
    level_clip: float = 6.0
    views: tuple[str, ...] = (
        "near", "middle", "far", "day", "week", "away",
        "coarse near", "coarse middle", "coarse far",
    )  # fmt: skip
    persistence: float = 25.0
    blocks: int = 80
    categories: tuple[str, ...] = ()
    scales: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.horizons) > MOST_HORIZONS:
            raise ValueError(f"{len(self.horizons)} horizons, there are views of {MOST_HORIZONS}")
        if list(self.views) != [view for view in VIEWS if view in self.views]:
            known = ", ".join(VIEWS)
            raise ValueError(f"views {', '.join(self.views)}: not some of {known}, in this order")
        if not LEAST_BLOCKS <= self.blocks <= MOST_BLOCKS:
            raise ValueError(f"{self.blocks} blocks, not {LEAST_BLOCKS} to {MOST_BLOCKS}")
        if self.scales and len(self.scales) != len(self.features):
            raise ValueError(f"scales of {len(self.scales)} features, not of {len(self.features)}")
        if not all(0.0 <= scale < math.inf for pair in self.scales for scale in pair):
            raise ValueError(f"scales {self.scales} are not all finite and at least 0")

    @property
    def cautious_events(self) -> float:
        """A stream's first events that cannot prove much: those of a cycle, or of CAUTIOUS_STEPS
        where none is known."""
        return max(CAUTIOUS_STEPS, 2.0 * self.persistence) * self.resolutions[0]

    @property
    def joint(self) -> bool:
        """Whether one network reads all features of an event together."""
        return bool(self.features)

    @property
    def in_population(self) -> bool:
        """Whether a stream is held against many others, and not against its own past alone."""
        return "rare" in self.views

    @property
    def width(self) -> int:
        """Features that one run of the network reads."""
        return max(1, len(self.features))

    @property
    def inputs(self) -> int:
        """Length of one input vector: values, the buckets of categories, the event."""
        return self.width * VALUE_CHANNELS + len(self.categories) + EVENT_CHANNELS

    @property
    def category_places(self) -> slice:
        """Where in an input vector the buckets of categories are."""
        end = self.inputs - EVENT_CHANNELS
        return slice(end - len(self.categories), end)

    @property
    def embedded_inputs(self) -> int:
        """The same, once a vector stands for each bucket."""
        return self.inputs + len(self.categories) * (EMBEDDED - 1)

    @property
    def targets(self) -> int:
        """Reconstructed for each feature: the value just read, and one hidden for each horizon."""
        return 1 + len(self.horizons)

    @property
    def outputs(self) -> int:
        """Length of one output vector: (feature, target, location and log-spread)."""
        return self.width * self.targets * 2

    @property
    def memory(self) -> int:
        """Length of the network's memory: encoder h, c, decoder h, c (no c for gru and rnn)."""
        if self.cell in {"linear", "mean"}:
            return 0
        states = 2 if self.cell == "lstm" else 1
        return states * (self.hidden + self.decoder_hidden)

    @property
    def pending(self) -> int:
        """Reconstructions of hidden values that wait for their value, for each feature."""
        return sum(self.horizons)
