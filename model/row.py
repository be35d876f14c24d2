"""One memory: the fixed-size row that a stream is remembered by.

    [ head | features: one block each | tails | block maxima | network states ]

A table of rows is one contiguous buffer; `RowTable` gives typed, strided views of its parts, so
that compiled loops see the same types whatever the number of features.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FORMAT = 1
"""Version of the row's layout, stored with every checkpoint."""

VIEWS = ("hidden", "seen", "short", "long", "magnitude", "away")
"""Views of surprise, in the order in which the row keeps their tails (see `model.surprise`)."""

BLOCKS = 200
"""Block maxima remembered for each view."""

HEAD = np.dtype(
    [
        ("fingerprint", "<u8"),  # of the artifact that made this memory
        ("origin", "<u8"),  # hash of the topic and partition that `offset` belongs to
        ("offset", "<i8"),  # last offset seen, -1 before the first
        ("events", "<u8"),  # events observed
        ("scored", "<u8"),  # events scored: equal to `events` between batches
        ("first_time", "<f8"),  # Unix seconds
        ("time", "<f8"),  # newest event time, Unix seconds
        ("last_time", "<f8"),  # of the last event, which may have come late
        ("gap", "<f8"),  # typical seconds between events: exp of a running mean of logs
        ("pace", "<f8"),  # mean seconds between events, for the rate
        ("last_alarm", "<u8"),  # `scored` at the last alarm, 0 before the first
        ("alarm_score", "<f4"),  # the last alarm's score
        ("score", "<f4"),  # of the last event
        ("level", "<f4"),
        ("threshold", "<f4"),  # tail probability at which the score is 1
        ("tail_probability", "<f4"),
        ("confidence", "<f4"),
        ("short", "<f4"),  # running mean of the hidden view, over about 5 events
        ("long", "<f4"),  # the same, over about 25
        ("away", "<f4"),  # running mean of the distance from the level, over about 50 events
        ("blocks", "<u4"),  # block maxima of this stream so far, for each view
        ("ring", "<u4"),  # how many entries of the ring are in use
        ("late", "<u4"),  # events that came with a time before `time`
        ("late_run", "<u4"),  # events in a row rejected as too late
        ("anomalies", "<u8"),
        ("alarms", "<u8"),
    ],
    align=True,
)

FEATURE = np.dtype(
    [
        ("value", "<f8"),  # the last one
        ("level", "<f8"),
        ("fast", "<f8"),  # running mean, weight 0.2
        ("slow", "<f8"),  # running mean, weight 0.03
        ("expected", "<f8"),  # reconstruction of the next value, made before it comes
        ("scale", "<f8"),  # mean absolute deviation from `level`
        ("step", "<f8"),  # mean absolute increment
        ("spread", "<f8"),  # of `expected`; 0 where nothing is expected yet
        ("count", "<u8"),  # values seen
        ("event", "<u8"),  # number of the event that brought the last one
    ],
    align=True,
)

TAIL = np.dtype(
    [
        ("maximum", "<f4"),  # of the block in progress
        ("top", "<f4"),  # largest remembered block maximum
        ("shape", "<f4"),  # mean log excess of the top tenth over the next one
        ("surprise", "<f4"),  # of the last event
    ]
)

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Where each part of a row lies, for `features` features and `runs` network runs an event.

    `runs` is the number of features for a network that runs feature by feature, 1 for a joint one;
    `memory` is the length of the network's state in each run.
    """

    features: int
    runs: int
    memory: int

    @property
    def features_at(self) -> int:
        return HEAD.itemsize

    @property
    def tails_at(self) -> int:
        return self.features_at + self.features * FEATURE.itemsize

    @property
    def maxima_at(self) -> int:
        return self.tails_at + len(VIEWS) * TAIL.itemsize

    @property
    def states_at(self) -> int:
        return self.maxima_at + len(VIEWS) * BLOCKS

    @property
    def row_bytes(self) -> int:
        used = self.states_at + self.runs * self.memory * 4
        return -(-used // ALIGNMENT) * ALIGNMENT


class RowTable:
    """Rows in one buffer of shape (rows, row_bytes), with typed views of the same bytes.

    `head` (rows,) of HEAD, `features` (rows, F) of FEATURE, `tails` (rows, views) of TAIL,
    `maxima` (rows, views, BLOCKS) of uint8, `states` (rows, runs, memory) of float32.
    """

    __slots__ = ("bytes", "features", "head", "layout", "maxima", "states", "tails")

    def __init__(self, layout: RowLayout, buffer: Bytes) -> None:
        if buffer.dtype != np.uint8 or buffer.shape[1:] != (layout.row_bytes,):
            raise ValueError(f"a table of rows needs shape (rows, {layout.row_bytes}) of uint8")
        rows, size = len(buffer), layout.row_bytes
        self.layout = layout
        self.bytes = buffer
        raw = buffer.data
        self.head = np.ndarray((rows,), HEAD, raw, 0, (size,))
        self.features = np.ndarray(
            (rows, layout.features), FEATURE, raw, layout.features_at, (size, FEATURE.itemsize)
        )
        self.tails = np.ndarray(
            (rows, len(VIEWS)), TAIL, raw, layout.tails_at, (size, TAIL.itemsize)
        )
        self.maxima: Bytes = np.ndarray(
            (rows, len(VIEWS), BLOCKS), np.uint8, raw, layout.maxima_at, (size, BLOCKS, 1)
        )
        self.states: Floats = np.ndarray(
            (rows, layout.runs, layout.memory),
            np.float32,
            raw,
            layout.states_at,
            (size, layout.memory * 4, 4),
        )

    @classmethod
    def zeros(cls, layout: RowLayout, rows: int) -> "RowTable":
        return cls(layout, np.zeros((rows, layout.row_bytes), np.uint8))

    def __len__(self) -> int:
        return len(self.bytes)
