"""What a stream's memory says of an event before the network reads it.

`observe` visits events in arrival order. For each it decides whether the event is new to its
stream, moves the stream's clock, and at each resolution whose step ends with it turns the values
into the network's inputs and learns level, scale and increments. Those are learnt robustly: one
wild value counts as a few scales at most, so a burst does not become the new normal. A shift that
stays does, the sooner the younger the stream is. The two short contexts follow each value as it is.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from model.admission import ADMITTED, SHORTEST_GAP, admit, advance_clock
from model.compiled import compiled, inlined
from model.config import EVENT_CHANNELS, VALUE_CHANNELS, ModelConfig
from model.elementary import asinh, log
from model.observed import JUMPED, Observed
from model.profile import (
    ANCHORED_AT,
    DAY,
    WEEK,
    day_bin,
    expected_at,
    follow_error,
    learn_bin,
    useful,
    week_bin,
)
from model.row import DAY_BINS, PROFILE_BINS, WEEK_BINS

LEVEL_STEPS = 3000.0  # the level's and the scale's memory, in steps
INCREMENT_STEPS = 300.0
INCREMENT_CLIP = 8.0  # in mean absolute increments
FAST, SLOW = 0.2, 0.03
SMALLEST_SHARE, SMALLEST = 1e-6, 1e-30  # of a value, and in input units: below it is rounding
MOST = np.uint32(2**32 - 1)  # values, and jumps, that are counted
SMALLEST_STEP = 0.02  # of the scale: a floor under the increments' scale
INPUT_CLIP = 8.0
LARGEST_RATIO = 1e6  # of a distance to its unit: far beyond the clip
GROWN_UP_EVENTS = 1000.0  # a stream's scales are settled
LARGER_AFTER, SMALLER_AFTER = 20.0, 300.0  # steps, until a start's scale is half forgotten
FEWEST_VALUES = 3  # before anything is expected of the next one
LARGEST_UNIT = 1e38  # what a float32 holds
PROFILE_CHANNELS = 7  # where the channels of the profiles begin
KNOWN_JUMPS = 20  # before anything is said of the next one
LARGEST_JUMP = 1e6  # usual ones

I16 = npt.NDArray[np.int16]
I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Structured = npt.NDArray[np.void]


class Events(NamedTuple):
    """n events in arrival order.

    slots, offsets: (n,). origin: the hash of their topic and partition. times: (n,) Unix seconds.
    timed: (n,) whether the event carried its own time. values: (n, F), NaN where missing.
    """

    slots: I64
    offsets: I64
    origin: np.uint64
    times: F64
    timed: npt.NDArray[np.bool_]
    values: F64

    def only(self, chosen: I64) -> "Events":
        """Some of them."""
        return Events(
            self.slots[chosen], self.offsets[chosen], self.origin, self.times[chosen],
            self.timed[chosen], self.values[chosen],
        )  # fmt: skip


class Reading(NamedTuple):
    """How events are read.

    lengths: (R,), events in a step at each resolution. joint: whether one network reads all
    features. by_values: whether units are scales of values, else of increments. level_clip: see
    ModelConfig. jumps: whether anything is said of them. skew: seconds that an event may be late.
    """

    lengths: I64
    joint: bool
    by_values: bool
    level_clip: float
    jumps: bool
    skew: float

    @classmethod
    def of(cls, config: ModelConfig, skew: float) -> "Reading":
        return cls(
            np.array(config.resolutions, np.int64),
            config.joint,
            config.unit == "values",
            config.level_clip,
            "jump" in config.views,
            skew,
        )


@compiled
def observe(
    head: Structured,
    blocks: Structured,
    profiles: I16,
    events: Events,
    reading: Reading,
    seen: Observed,
) -> None:
    """Admit and describe events; the rows of `head`, `blocks` and `profiles` at their slots move
    on, and what is said of them is written to `seen`.

    Whatever is later said of an event is said from there: its row may already have moved on.
    """
    values = events.values
    for i in range(events.slots.shape[0]):
        slot, time = events.slots[i], events.times[i]
        row, features = head[slot], blocks[slot]
        age = row["time"] - row["first_time"]
        seen.verdicts[i] = admit(
            row, features[0], events.origin, events.offsets[i], time, events.timed[i], values[i],
            reading.skew,
        )  # fmt: skip
        if seen.verdicts[i] != ADMITTED:
            continue
        seen.late[i] = row["events"] > 0 and time < row["time"]
        gap = advance_clock(row, time)
        seen.ages[i] = row["time"] - row["first_time"]
        seen.grown[i] = seen.ages[i] - age
        seen.paces[i] = row["pace"]
        for f in range(values.shape[1]):
            if profiles.shape[2] == PROFILE_BINS:
                observe_context(
                    row, features[0, f], profiles[slot, f], values[i, f], seen.contexts[i, f]
                )
            if reading.jumps:
                seen.contexts[i, f, JUMPED] = observe_jump(features[0, f], values[i, f])
        for r in range(reading.lengths.shape[0]):
            observe_step(row, features, profiles[slot], values[i], r, gap, reading, seen, i)
        for f in range(values.shape[1]):
            if not math.isnan(values[i, f]):
                features[0, f]["before"] = features[0, f]["last"]
                features[0, f]["last"] = values[i, f]
                features[0, f]["event"] = row["events"]
                learn_profile(row, features[0, f], profiles[slot, f], values[i, f])


@inlined
def observe_step(
    row: np.void,
    features: Structured,
    profiles: I16,
    values: F64,
    r: int,
    gap: float,
    reading: Reading,
    seen: Observed,
    i: int,
) -> None:
    """Add the values (F,) of event i to the steps in progress at resolution r; where they end with
    it, describe and learn them. features: (R, F) of FEATURE, profiles: (F, PROFILE_BINS or 0)."""
    length = reading.lengths[r]
    ends = row["events"] % np.uint64(length) == 0
    for f in range(values.shape[0]):
        feature = features[r, f]
        x = step_value(feature, values[f], ends) if length > 1 else values[f]
        if math.isnan(x):
            continue
        seen.steps[i, r, f] = x
        run, start = (0, f * VALUE_CHANNELS) if reading.joint else (f, 0)
        channels = seen.inputs[i, r, run, start : start + VALUE_CHANNELS]
        scale = value_scale(feature)
        unit = increment_unit(feature, scale)
        describe_value(feature, x, scale, unit, channels)
        if profiles.shape[1] == PROFILE_BINS:
            describe_profile(row, features[0, f], profiles[f], length, x, unit, channels)
        learn_value(feature, x, scale, unit, reading.level_clip)
        scale = value_scale(feature)
        known = feature["count"] >= FEWEST_VALUES
        unit = scale if reading.by_values else increment_unit(feature, scale)
        seen.units[i, r, f] = unit if known else 0.0
        seen.scales[i, r, f] = scale
    if ends:
        for run in range(seen.inputs.shape[2]):
            describe_event(row, gap, seen.inputs[i, r, run, -EVENT_CHANNELS:])


@compiled
def step_value(feature: np.void, x: float, ends: bool) -> float:
    """Add a value to the step in progress; the step's mean where it ends, else NaN."""
    if not math.isnan(x):
        feature["sum"] += x
        feature["summed"] += np.uint32(1)
    if not ends or feature["summed"] == 0:
        return math.nan
    mean = feature["sum"] / feature["summed"]
    feature["sum"] = 0.0
    feature["summed"] = 0
    return float(mean)


@compiled
def clipped(x: float, limit: float) -> float:
    return min(max(x, -limit), limit)


@compiled
def smallest_unit(feature: np.void) -> float:
    """The resolution below which a difference is rounding, in input units."""
    largest = max(abs(feature["level"]), abs(feature["value"]))
    return float(SMALLEST_SHARE * largest + SMALLEST)


@compiled
def started(own: float, start: float, count: int) -> float:
    """A stream's own scale, of `count` values, with the one that it was taken to have at its start.

    That it is larger is soon believed, that it is smaller late: an hour is quieter than a day.
    """
    if start <= 0.0:
        return own
    weight = LARGER_AFTER if own > start else SMALLER_AFTER
    return start + (own - start) * (count / (weight + count))


@compiled
def value_scale(feature: np.void) -> float:
    """The scale of values, floored, in input units."""
    scale = started(feature["scale"], feature["start_scale"], feature["count"])
    if feature["ratio"] > 0.0:
        scale = feature["ratio"] * abs(feature["level"])
    return float(max(scale, smallest_unit(feature)))


@compiled
def increment_unit(feature: np.void, scale: float) -> float:
    """The scale of increments, floored, in input units; scale: of values."""
    step = started(feature["step"], feature["start_step"], feature["count"])
    return float(max(step, SMALLEST_STEP * scale, smallest_unit(feature)))


@compiled
def squashed(x: float) -> float:
    """asinh, clipped: linear near zero, logarithmic in the tails."""
    return clipped(asinh(clipped(x, LARGEST_RATIO)), INPUT_CLIP)


@compiled
def describe_value(feature: np.void, x: float, scale: float, unit: float, out: F32) -> None:
    """Seven channels: level, increment, two short contexts, smoothness, repeated, present."""
    out[6] = 1.0
    if feature["count"] == 0:
        out[0:6] = 0.0
        return
    out[0] = np.float32((x - feature["level"]) / scale)
    out[1] = np.float32((x - feature["value"]) / unit)
    out[2] = np.float32((x - feature["fast"]) / unit)
    out[3] = np.float32((x - feature["slow"]) / unit)
    for k in range(4):
        out[k] = np.float32(squashed(out[k]))
    out[4] = np.float32(clipped(log(unit / scale), INPUT_CLIP))
    out[5] = np.float32(1.0 if x == feature["value"] else 0.0)


@compiled
def describe_profile(
    row: np.void,
    profiled: np.void,
    profile: I16,
    length: int,
    x: float,
    unit: float,
    out: F32,
) -> None:
    """Four channels: how far it is to what day and week say of the next step, and whether they do.

    `profiled` is the feature at the finest resolution, whose profile it is. unit: of increments.
    """
    ahead = row["last_time"] + row["gap"] * 0.5 * (length + 1)
    for k in range(2):
        at = day_bin(ahead) if k == 0 else week_bin(ahead)
        expected = expected_at(profiled, profile, at)
        known = not math.isnan(expected) and useful(
            profiled, profiled["day_error"] if k == 0 else profiled["week_error"]
        )
        place = PROFILE_CHANNELS + 2 * k
        out[place] = np.float32(squashed((expected - x) / unit)) if known else np.float32(0.0)
        out[place + 1] = np.float32(known)


@compiled
def learn_value(feature: np.void, x: float, scale: float, unit: float, level_clip: float) -> None:
    """Expanding means at first, exponential ones later; deviations clipped to a few scales.

    scale, unit: of values and of increments, before this one.
    """
    count = feature["count"]
    if count == 0:
        feature["level"] = x
        feature["fast"] = x
        feature["slow"] = x
    else:
        weight = max(1.0 / (count + 1), 1.0 / LEVEL_STEPS)
        deviation = x - feature["level"]
        if feature["scale"] > 0.0:
            widest = max(scale, feature["scale"])  # a ratio must not hold it back
            deviation = clipped(deviation, level_clip * widest)
        feature["level"] += weight * deviation
        feature["scale"] += max(1.0 / count, 1.0 / LEVEL_STEPS) * (
            abs(deviation) - feature["scale"]
        )
        increment = abs(x - feature["value"])
        if feature["step"] > 0.0:
            increment = min(increment, INCREMENT_CLIP * unit)
        feature["step"] += max(1.0 / count, 1.0 / INCREMENT_STEPS) * (increment - feature["step"])
        feature["fast"] += FAST * (x - feature["fast"])
        feature["slow"] += max(1.0 / (count + 1), SLOW) * (x - feature["slow"])
    feature["value"] = x
    feature["count"] += np.uint32(feature["count"] != MOST)


@compiled
def observe_context(row: np.void, feature: np.void, profile: I16, x: float, out: F64) -> None:
    """Distances of x, in scales, from what day and week say of it.

    Follows the errors of the profiles and of the level; a profile that is retired says nothing.
    """
    out[:] = math.nan
    if math.isnan(x) or feature["count"] < FEWEST_VALUES:
        return
    scale = value_scale(feature)
    by_day = (x - expected_at(feature, profile, day_bin(row["last_time"]))) / scale
    if math.isnan(by_day) or row["time"] - row["first_time"] < DAY:
        return
    feature["level_error"] = follow_error(feature["level_error"], (x - feature["level"]) / scale)
    feature["day_error"] = follow_error(feature["day_error"], by_day)
    if useful(feature, feature["day_error"]):
        out[0] = by_day
    by_week = (x - expected_at(feature, profile, week_bin(row["last_time"]))) / scale
    if math.isnan(by_week) or row["time"] - row["first_time"] < WEEK:
        return
    feature["week_error"] = follow_error(feature["week_error"], by_week)
    if useful(feature, feature["week_error"]):
        out[1] = by_week


@compiled
def usual_at(features: Structured, profiles: I16, time: float, out: F64) -> None:
    """What values of features (F,) at the finest resolution usually are at a time; profiles: (F,
    PROFILE_BINS or 0). out: (F, 2, 2), by day and by week, the value and how far others usually are
    from it; NaN where nothing was learnt of that time, and where a profile is retired."""
    out[:] = math.nan
    for f in range(features.shape[0]):
        feature = features[f]
        for k in range(2):
            at = day_bin(time) if k == 0 else week_bin(time)
            error = feature["day_error"] if k == 0 else feature["week_error"]
            expected = expected_at(feature, profiles[f], at)
            if useful(feature, error) and not math.isnan(expected):
                out[f, k, 0], out[f, k, 1] = expected, error * value_scale(feature)


@compiled
def jump_of(feature: np.void, x: float) -> float:
    """How far x is from the last value, or from the one before it where that is nearer; 0 if it is
    between the two, so that the way back from a spike is no jump. In input units, with its sign.
    """
    from_last, from_before = x - feature["last"], x - feature["before"]
    if (from_last > 0.0) != (from_before > 0.0):
        return 0.0
    return float(from_last if abs(from_last) < abs(from_before) else from_before)


@compiled
def observe_jump(feature: np.void, x: float) -> float:
    """A value's jump, in what is usual of them, which is followed; NaN while too few are known.

    What stands still most of the time is held against the jumps that it does make.
    """
    if math.isnan(x) or feature["count"] == 0:
        return math.nan
    jump = clipped(jump_of(feature, x), LARGEST_UNIT)
    usual = max(feature["jump"], smallest_unit(feature))
    known = feature["jumps"] >= KNOWN_JUMPS
    if jump != 0.0:
        feature["jumps"] += np.uint32(feature["jumps"] != MOST)
        size = min(abs(jump), INCREMENT_CLIP * usual) if known else abs(jump)
        weight = max(1.0 / feature["jumps"], 1.0 / INCREMENT_STEPS)
        feature["jump"] = np.float32(feature["jump"] + weight * (size - feature["jump"]))
    return clipped(jump / usual, LARGEST_JUMP) if known else math.nan


@compiled
def learn_profile(row: np.void, feature: np.void, profile: I16, x: float) -> None:
    """Move the bins of day and week that an event fell into."""
    if profile.shape[0] != PROFILE_BINS or feature["count"] < ANCHORED_AT:
        return
    if feature["anchor_unit"] == 0.0:
        if value_scale(feature) <= smallest_unit(feature):
            return  # what never moved yet has no unit to be told in
        feature["anchor"] = feature["level"]
        feature["anchor_unit"] = np.float32(min(value_scale(feature), LARGEST_UNIT))
    age, time = row["time"] - row["first_time"], row["last_time"]  # it may have come late
    gap = max(row["pace"], SHORTEST_GAP)  # the mean one: events that share a time fill no bin
    learn_bin(feature, profile, day_bin(time), x, DAY / DAY_BINS / gap, age / DAY)
    learn_bin(feature, profile, week_bin(time), x, WEEK / WEEK_BINS / gap, age / WEEK)


@compiled
def describe_event(row: np.void, gap: float, out: F32) -> None:
    """Two channels: the gap against the usual one, and how far the stream's scales can be trusted.

    No clock: what a time of day or week means is learnt in the profiles, for each stream; a network
    that had read a few days' clock would not know the next.
    """
    usual = max(row["gap"], SHORTEST_GAP)
    out[0] = np.float32(clipped(math.log(max(gap, SHORTEST_GAP) / usual), INPUT_CLIP))
    out[1] = np.float32(min(1.0, math.log1p(row["events"]) / math.log1p(GROWN_UP_EVENTS)))
