"""What a stream's memory says of an event before the network reads it.

`observe` visits events in arrival order. For each it decides whether the event is new to its
stream, moves the stream's clock, turns the values into the network's inputs, and learns level,
scale and increments. It learns robustly: one wild value counts as six scales at most, so a burst
does not become the new normal, and a shift that stays does (within about LEVEL_STEPS events).
"""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.config import EVENT_CHANNELS, VALUE_CHANNELS

ADMITTED = 0
REPLAYED = 1  # at or below the offset that the memory has seen: changes nothing
LATE = 2  # further behind the stream's newest time than the allowed skew; not the 10th in a row
REPEATED = 3  # the same time and the same values as the stream's last event

LEVEL_STEPS = 3000.0  # the level's and the scale's memory, in events
INCREMENT_STEPS = 300.0
LEVEL_CLIP = 6.0  # in scales
INCREMENT_CLIP = 8.0  # in mean absolute increments
FAST, SLOW = 0.2, 0.03
SMALLEST_STEP = 0.02  # of the scale: a floor under the increments' scale
INPUT_CLIP = 8.0
GAP_WEIGHT = 0.02
PACE_CLIP = 20.0  # mean gaps: a longer silence counts as this
SHORTEST_GAP = 1e-3  # seconds
FEWEST_VALUES = 3  # before anything is expected of the next one
LATE_RUN = 10  # late events in a row that turn the stream's clock back
DAY, WEEK = 86400.0, 604800.0

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Structured = npt.NDArray[np.void]


@compiled
def observe(
    head: Structured,
    blocks: Structured,
    slots: I64,
    offsets: I64,
    origin: np.uint64,
    times: F64,
    timed: npt.NDArray[np.bool_],
    values: F64,
    skew: float,
    joint: bool,
    verdicts: npt.NDArray[np.uint8],
    inputs: F32,
    units: F64,
    scales: F64,
    paces: F64,
) -> None:
    """Admit and describe n events; the rows of `head` and `blocks` named by `slots` move on.

    slots, offsets: (n,). origin: the hash of the events' topic and partition.
    times: (n,) Unix seconds. timed: (n,) whether the event carried its own time.
    values: (n, F), NaN where missing. skew: seconds that an event may be late.
    Writes verdicts: (n,); inputs: (n, 1, D) if `joint`, else (n, F, D); units: (n, F), the
    increment scale in which the network's next location and spread are counted, 0 while too few
    values were seen; scales: (n, F); paces: (n,) mean seconds between events. Whatever is later
    said of an event is said from these copies: its row may already have moved on.
    """
    for i in range(slots.shape[0]):
        row = head[slots[i]]
        features = blocks[slots[i]]
        if row["origin"] == origin and offsets[i] <= row["offset"]:
            verdicts[i] = REPLAYED
            continue
        row["origin"] = origin
        row["offset"] = offsets[i]
        if row["events"] > 0 and times[i] < row["time"] - skew:
            row["late_run"] += np.uint32(1)
            if row["late_run"] < LATE_RUN:
                verdicts[i] = LATE
                continue
            row["time"] = times[i]  # so many in a row: the clock was wrong, not the events
        row["late_run"] = 0
        if timed[i] and repeats(row, features, times[i], values[i]):
            verdicts[i] = REPEATED
            continue
        verdicts[i] = ADMITTED
        gap = advance_clock(row, times[i])
        paces[i] = row["pace"]
        for f in range(values.shape[1]):
            run, start = (0, f * VALUE_CHANNELS) if joint else (f, 0)
            if math.isnan(values[i, f]):
                inputs[i, run, start : start + VALUE_CHANNELS] = 0.0
            else:
                describe_value(features[f], values[i, f], inputs[i, run, start:])
                learn_value(features[f], values[i, f])
                features[f]["event"] = row["events"]
            known = features[f]["count"] >= FEWEST_VALUES
            units[i, f] = increment_unit(features[f]) if known else 0.0
            scales[i, f] = max(features[f]["scale"], smallest_unit(features[f]))
        for run in range(inputs.shape[1]):
            describe_event(row, gap, inputs[i, run, inputs.shape[2] - EVENT_CHANNELS :])


@compiled
def repeats(row: np.void, features: Structured, time: float, values: F64) -> bool:
    """Whether an event is its stream's last one again."""
    if row["events"] == 0 or time != row["last_time"]:
        return False
    for f in range(values.shape[0]):
        was_there = features[f]["event"] == row["events"]
        if was_there == math.isnan(values[f]):
            return False
        if was_there and features[f]["value"] != values[f]:
            return False
    return True


@compiled
def advance_clock(row: np.void, time: float) -> float:
    """Count the event and move the stream's time forward; return the gap in seconds."""
    gap = 0.0
    if row["events"] == 0:
        row["first_time"] = time
        row["time"] = time
    else:
        gap = max(0.0, time - row["time"])
        if time < row["time"]:
            row["late"] += np.uint32(1)
        row["time"] = max(row["time"], time)
        seconds = max(gap, SHORTEST_GAP)
        weight = max(GAP_WEIGHT, 1.0 / row["events"])
        if row["events"] == 1:
            row["gap"] = seconds
            row["pace"] = gap
        else:
            # The arithmetic mean, for a rate: events that share a time do not make it faster.
            longest = PACE_CLIP * max(row["pace"], SHORTEST_GAP)
            row["pace"] += weight * (min(gap, longest) - row["pace"])
            row["gap"] = row["gap"] * math.exp(weight * math.log(seconds / row["gap"]))
    row["last_time"] = time
    row["events"] += np.uint64(1)
    return gap


@compiled
def clipped(x: float, limit: float) -> float:
    return min(max(x, -limit), limit)


@compiled
def smallest_unit(feature: np.void) -> float:
    """The resolution below which a difference is rounding, in input units."""
    return 1e-6 * max(abs(feature["level"]), abs(feature["value"])) + 1e-30


@compiled
def increment_unit(feature: np.void) -> float:
    """The scale of increments, floored, in input units."""
    return max(feature["step"], SMALLEST_STEP * feature["scale"], smallest_unit(feature))


@compiled
def squashed(x: float) -> np.float32:
    """asinh, clipped: linear near zero, logarithmic in the tails."""
    return np.float32(clipped(math.asinh(x), INPUT_CLIP))


@compiled
def describe_value(feature: np.void, x: float, out: F32) -> None:
    """Seven channels: level, increment, two short contexts, smoothness, repeated, present."""
    if feature["count"] == 0:
        out[0:6] = 0.0
        out[6] = 1.0
        return
    unit = increment_unit(feature)
    scale = max(feature["scale"], smallest_unit(feature))
    out[0] = squashed((x - feature["level"]) / scale)
    out[1] = squashed((x - feature["value"]) / unit)
    out[2] = squashed((x - feature["fast"]) / unit)
    out[3] = squashed((x - feature["slow"]) / unit)
    out[4] = np.float32(clipped(math.log(unit / scale), INPUT_CLIP))
    out[5] = np.float32(1.0 if x == feature["value"] else 0.0)
    out[6] = 1.0


@compiled
def learn_value(feature: np.void, x: float) -> None:
    """Expanding means at first, exponential ones later; deviations clipped to a few scales."""
    count = feature["count"]
    if count == 0:
        feature["level"] = x
        feature["fast"] = x
        feature["slow"] = x
    else:
        weight = max(1.0 / (count + 1), 1.0 / LEVEL_STEPS)
        deviation = x - feature["level"]
        if feature["scale"] > 0.0:
            # A shift that stays carries the running mean along, and so widens its own limit.
            stays = abs(feature["slow"] - feature["level"])
            deviation = clipped(deviation, max(LEVEL_CLIP * feature["scale"], stays))
        feature["level"] += weight * deviation
        feature["scale"] += max(1.0 / count, 1.0 / LEVEL_STEPS) * (
            abs(deviation) - feature["scale"]
        )
        increment = abs(x - feature["value"])
        if feature["step"] > 0.0:
            increment = min(increment, INCREMENT_CLIP * increment_unit(feature))
        feature["step"] += max(1.0 / count, 1.0 / INCREMENT_STEPS) * (increment - feature["step"])
        feature["fast"] += FAST * (x - feature["fast"])
        feature["slow"] += max(1.0 / (count + 1), SLOW) * (x - feature["slow"])
    feature["value"] = x
    feature["count"] += np.uint64(1)


@compiled
def describe_event(row: np.void, gap: float, out: F32) -> None:
    """Six channels: gap against the usual one, age, and the clock's place in day and week."""
    usual = max(row["gap"], SHORTEST_GAP)
    out[0] = np.float32(clipped(math.log(max(gap, SHORTEST_GAP) / usual), INPUT_CLIP))
    out[1] = np.float32(math.log1p(row["events"]) * 0.25)
    day = 2.0 * math.pi * (row["time"] % DAY) / DAY
    week = 2.0 * math.pi * (row["time"] % WEEK) / WEEK
    out[2] = np.float32(math.sin(day))
    out[3] = np.float32(math.cos(day))
    out[4] = np.float32(math.sin(week))
    out[5] = np.float32(math.cos(week))
