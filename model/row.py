"""One memory: the fixed-size row that a stream is remembered by.

    [ head | features | profiles | pending | tails | block maxima | network states ]

A table of rows is one contiguous buffer; `RowTable` gives typed, strided views of its parts, so
that compiled loops see the same types whatever the number of features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

FORMAT = 10
"""Version of the row's layout, stored with every checkpoint."""

DAY_BINS, WEEK_BINS = 48, 168
PROFILE_BINS = DAY_BINS + WEEK_BINS
"""Half hours of a day, then hours of a week."""

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
        ("overspent", "<f8"),  # alarms beyond the budget
        ("episode", "<i8"),  # offset of the event that the newest episode began with
        ("episode_start", "<f8"),  # its time, Unix seconds
        ("episode_end", "<f8"),  # time of its newest anomalous event
        ("peak", "<f4"),  # the episode's highest score
        ("peak_after", "<u4"),  # offsets from its first event to that of the highest score
        ("episode_anomalies", "<u4"),  # anomalous events of the episode
        ("anomalies", "<u4"),
        ("alarms", "<u4"),
        ("alarm_score", "<f4"),  # the last alarm's score
        ("score", "<f4"),  # of the last event
        ("level", "<f4"),
        ("longer", "<f4"),  # running mean of the surprise
        ("long", "<f4"),  # running mean of `longer`
        ("away", "<f4"),  # running mean of the distance from the level, over about 50 events
        ("errors", "<f4"),  # running mean of the near surprise, over about 12 events
        ("distance", "<f4"),  # the same of the distance from the level
        ("usual_errors", "<f4"),  # slow mean of `errors`
        ("usual_distance", "<f4"),  # and of `distance`
        ("echo", "<f4"),  # of the last great surprises, fading
        ("blocks", "<u4"),  # block maxima of this stream so far, for each view
        ("waiting", "<u4"),  # events since `time` last moved on
        ("late", "<u4"),  # events that came with a time before `time`
        ("ring", "u1"),  # how many entries of the ring are in use
        ("learned", "u1"),  # 1 + the place of the last anomalous block that was learned; else 0
        ("credit", "u1"),  # blocks since an anomalous one was left out or forgotten, up to 20
        ("since_alarm", "u1"),  # 1 + events since the last alarm; 0 before the first
        ("quiet", "u1"),  # events in a row that did not belong to the episode
        ("phase", "u1"),  # of the episode, see `model.episodes`
        ("anomalous", "u1"),  # anomalous events of the block in progress
        ("late_run", "u1"),  # events in a row rejected as too late
        ("repeats", "u1"),  # anomalous events that came soon after one another, up to 3
        ("apart", "u1"),  # events since the last anomalous one, up to 200
        ("tolerance", "i1"),  # what a person said of its anomalies, see `model.feedback`
    ],
    align=True,
)

FEATURE = np.dtype(
    [
        ("last", "<f8"),  # the last value, as it came
        ("value", "<f8"),  # the last step: an event's value, or the mean of several
        ("level", "<f8"),
        ("fast", "<f8"),  # running mean, weight 0.2
        ("slow", "<f8"),  # running mean, weight 0.03
        ("anchor", "<f8"),  # of the profile's codes
        ("sum", "<f8"),  # of the values of the step in progress
        ("scale", "<f8"),  # mean absolute deviation from `level`
        ("step", "<f8"),  # mean absolute increment
        ("start_scale", "<f8"),  # what `scale` was taken to be; 0 where not known
        ("start_step", "<f8"),  # the same of `step`
        ("before", "<f8"),  # the value before the last
        ("jump", "<f4"),  # mean absolute jump, see `normalise.jump_of`
        # Mean square of the near error, in the network's spreads, 0 before any; at the coarsest of
        # several resolutions, where there is no such: what the last step said, see `judge`.
        ("error", "<f4"),
        ("ratio", "<f4"),  # of the scale to the level, where the population says it; else 0
        ("doubt", "<f4"),  # variance of the level as a guess, in squares of the scale
        ("anchor_unit", "<f4"),  # 0 before there is a profile
        ("level_error", "<f4"),  # mean absolute error, in scales, of the level as a forecast
        ("day_error", "<f4"),  # the same of the profile of the day
        ("week_error", "<f4"),
        ("summed", "<u4"),  # values in `sum`
        ("count", "<u4"),  # steps with a value, observed
        ("judged", "<u4"),  # and judged: equal to `count` between batches
        ("jumps", "<u4"),  # values that jumped at all
        ("event", "<u8"),  # number of the event that brought the last value
    ],
    align=True,
)

TAIL = np.dtype(
    [
        ("maximum", "<f4"),  # of the block in progress, below 0 where the view said nothing
        ("top", "<f4"),  # log of the largest remembered block maximum
        ("shape", "<f4"),  # mean log excess of the top tenth over the next one
        ("surprise", "<f4"),  # of the last event
    ]
)

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The sizes of a row's parts.

    `features` of an event; `resolutions` at which each is followed; `runs` of the network at each
    (the number of features for a network that runs feature by feature, 1 for a joint one);
    `memory`, the length of the network's state in each run; `pending` reconstructions that wait,
    for each feature and resolution; `views` whose tails are kept, with `blocks` maxima each;
    `profiled`, whether features have profiles of day and week.
    """

    features: int
    resolutions: int
    runs: int
    memory: int
    pending: int
    views: int
    blocks: int
    profiled: bool

    def parts(self) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
        """Name, type and shape of each part of a row, in order."""
        bins = PROFILE_BINS if self.profiled else 0
        each = (self.resolutions, self.features)
        return [
            ("head", HEAD, ()),
            ("features", FEATURE, each),
            ("locations", np.dtype("<f8"), (*each, self.pending)),
            ("spreads", np.dtype("<f4"), (*each, self.pending)),
            ("tails", TAIL, (self.views,)),
            ("states", np.dtype("<f4"), (self.resolutions, self.runs, self.memory)),
            ("profiles", np.dtype("<i2"), (self.features, bins)),
            ("maxima", np.dtype("u1"), (self.views, self.blocks)),
        ]

    @property
    def row_bytes(self) -> int:
        used = sum(kind.itemsize * int(np.prod(shape)) for _, kind, shape in self.parts())
        return -(-used // ALIGNMENT) * ALIGNMENT


class RowTable:
    """Rows in one buffer of shape (rows, row_bytes), with typed views of the same bytes.

    `head` (rows,) of HEAD; `features` (rows, R, F) of FEATURE; `locations` and `spreads`
    (rows, R, F, pending), in input units, a spread of 0 where nothing waits; `tails` (rows, views)
    of TAIL; `states` (rows, R, runs, memory); `profiles` (rows, F, PROFILE_BINS) of int16;
    `maxima` (rows, views, blocks) of uint8.
    """

    __slots__ = (
        "bytes", "features", "head", "layout", "locations", "maxima", "profiles", "spreads",
        "states", "tails",
    )  # fmt: skip

    head: npt.NDArray[np.void]
    features: npt.NDArray[np.void]
    locations: npt.NDArray[np.float64]
    spreads: Floats
    tails: npt.NDArray[np.void]
    states: Floats
    profiles: npt.NDArray[np.int16]
    maxima: Bytes

    def __init__(self, layout: RowLayout, buffer: Bytes) -> None:
        if buffer.dtype != np.uint8 or buffer.shape[1:] != (layout.row_bytes,):
            raise ValueError(f"a table of rows needs shape (rows, {layout.row_bytes}) of uint8")
        rows, size = len(buffer), layout.row_bytes
        self.layout = layout
        self.bytes = buffer
        at = 0
        for name, kind, shape in layout.parts():
            strides = np.ndarray(shape, kind, np.empty(0, np.uint8) if 0 in shape else None).strides
            view = np.ndarray((rows, *shape), kind, buffer.data, at, (size, *strides))
            setattr(self, name, view)
            at += kind.itemsize * int(np.prod(shape))

    @classmethod
    def zeros(cls, layout: RowLayout, rows: int) -> "RowTable":
        return cls(layout, np.zeros((rows, layout.row_bytes), np.uint8))

    @classmethod
    def copies(cls, row: Bytes, layout: RowLayout, n: int) -> "RowTable":
        """A row (1, row_bytes) so many times, and once more: numpy says of a table of one row that
        there are no gaps in it, and for such all that is compiled would be compiled anew."""
        return cls(layout, np.repeat(row, n + 1, axis=0))

    def __len__(self) -> int:
        return len(self.bytes)
