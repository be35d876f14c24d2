"""Every number that shapes a tensor of the network or a field of a memory row."""

from dataclasses import dataclass
from typing import Literal

Cell = Literal["lstm", "gru", "rnn"]

VALUE_CHANNELS = 7
"""Inputs for each feature: see `model.normalise.observe`."""

EVENT_CHANNELS = 6
"""Inputs for each event: gap, age, sine and cosine of day and of week."""

TARGETS = 2
"""What is reconstructed for each feature: the value just read, and the next one, still hidden."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The network's shape.

    `features` is empty for a network that runs feature by feature with shared weights (it takes
    streams of any features); else the names that the network reads jointly, in this order.
    """

    features: tuple[str, ...] = ()
    cell: Cell = "lstm"
    hidden: int = 32
    bottleneck: int = 16
    decoder_hidden: int = 16

    @property
    def joint(self) -> bool:
        """Whether one network reads all features of an event together."""
        return bool(self.features)

    @property
    def width(self) -> int:
        """Features that one run of the network reads."""
        return max(1, len(self.features))

    @property
    def inputs(self) -> int:
        """Length of one input vector."""
        return self.width * VALUE_CHANNELS + EVENT_CHANNELS

    @property
    def outputs(self) -> int:
        """Length of one output vector: (feature, target, location and log-spread)."""
        return self.width * TARGETS * 2

    @property
    def memory(self) -> int:
        """Length of the network's memory: encoder h, c, decoder h, c (no c for gru and rnn)."""
        states = 2 if self.cell == "lstm" else 1
        return states * (self.hidden + self.decoder_hidden)
