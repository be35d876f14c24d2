"""From what the network gave to a calibrated score, a level and an alarm.

The threshold comes from the budget alone: the surprise that a normal stream's block of events
reaches at the allowed rate of false alarms.
"""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.config import VALUE_CHANNELS
from model.normalise import LEVEL_STEPS
from model.population import rarity
from model.row import Bytes
from model.tails import BLOCK_EVENTS, combined, combined_in_population, learn_blocks
from model.views import (
    ABSENT,
    AWAY,
    COARSE_NEAR,
    DAY,
    HELD,
    LARGEST_LOG_PERPLEXITY,
    LONG,
    NEAR,
    POOLED,
    RARE,
    VIEW_COUNT,
    directed,
    error_surprise,
    fill_views,
    pool,
    pooled,
)

CONFIDENT_EVENTS = 4.0 * BLOCK_EVENTS
THRESHOLD_LOW, THRESHOLD_HIGH = 0.7, 6.0
REFRACTORY_EVENTS = 100
TOLERATED = 4.0  # alarms beyond the budget, before what is worth one must be twice as rare
ESCALATION = 1.6  # times the last alarm's score: worth another alarm within the refractory period
BAND = 4.6  # spreads on either side: 99 % of a Student-t with 4 degrees of freedom
WEEK = 604800.0

LOG_SPREAD_LIMIT = 7.0
WIDEST = 1e38  # spread, in input units: what a float32 holds
SLOW_WEIGHT = 1.0 / 3000.0  # of what is usual
USUAL_ERROR_EVENTS = 200.0  # the weight of its start, at what the network says
USUAL_ERROR_CLIP = 8.0  # times the usual: what one error counts for
USUAL_LEVEL_EVENTS = 40.0  # the weight of the start of what is usual of the level
LEVEL_WEIGHT = 2.0 / 13.0  # a running mean of about 12 events
LEVEL_CLIP = 8.0  # scales of values: what one error counts for in the level
USUAL_CLIP = 6.0  # times the usual
SMALLEST_USUAL = 1e-3

LOW, BOTH, HIGH = -1, 0, 1

I8 = npt.NDArray[np.int8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Structured = npt.NDArray[np.void]


SCORE = np.dtype(
    [
        ("score", "<f8"),
        ("level", "<f8"),
        ("threshold", "<f8"),  # a tail probability, as the next field
        ("tail_probability", "<f8"),
        ("confidence", "<f8"),
        ("alarm", "?"),
    ],
    align=True,
)


@compiled
def judge(
    head: Structured,
    blocks: Structured,
    locations: F64,
    spreads: F32,
    tails: Structured,
    maxima: Bytes,
    slots: I64,
    steps: F64,
    inputs: F32,
    units: F64,
    scales: F64,
    contexts: F64,
    paces: F64,
    outputs: F32,
    joint: bool,
    directions: I8,
    horizons: I64,
    active: I64,
    persistence: float,
    cautious_events: float,
    error_tails: F64,
    view_tails: F64,
    budget_per_week: float,
    scores: Structured,
    told: F64,
    said: F64,
) -> None:
    """Score n admitted events in arrival order; their rows learn the tails.

    slots: (n,). steps, units, scales: (n, R, F), contexts: (n, F, CONTEXTS), paces: (n,), as
    `normalise.observe` gave them. inputs: (n, R, runs, D) and outputs: (n, R, runs, O) of the
    network, O = (feature, target, location and log-spread). directions: (F,) of LOW, BOTH or HIGH.
    horizons: (H,); active: (V,), the views that count; persistence: steps; cautious_events: as
    many of a stream's first cannot prove much. error_tails: (F, K) and
    view_tails: (V, K), those of a population, see `population.rarity`; K = 0 where a stream is held
    against its own past.
    budget_per_week: false alarms. Writes scores: (n,) of SCORE; told: (n, F, 4), what was expected
    of each value and in which spread (input units), its surprise, and the size of its error among
    its kin's; NaN where a value is missing or nothing was expected yet; said: (n, V), the views
    that count.
    """
    features, coarsest = steps.shape[2], steps.shape[1] - 1
    largest, largest_errors = np.zeros((VIEW_COUNT, POOLED)), np.zeros(POOLED)
    present = np.zeros(VIEW_COUNT, np.int64)
    views = np.zeros(VIEW_COUNT)
    errors, widths = np.zeros(horizons.shape[0]), np.zeros(horizons.shape[0])
    told[:] = math.nan
    for i in range(slots.shape[0]):
        row = head[slots[i]]
        largest[:] = 0.0
        largest_errors[:] = 0.0
        present[:] = 0
        views[:] = HELD
        views[DAY:AWAY] = ABSENT
        for f in range(features):
            say(contexts[i, f], DAY, directions[f], largest, present)
            for r in range(steps.shape[1]):
                x, scale = steps[i, r, f], scales[i, r, f]
                if math.isnan(x):
                    continue
                feature = blocks[slots[i], r, f]
                waits, reach = locations[slots[i], r, f], spreads[slots[i], r, f]
                run, part = (0, f) if joint else (f, 0)
                compare(feature, x, waits, reach, horizons, errors, widths)
                if r == 0:
                    value = inputs[i, r, run, part * VALUE_CHANNELS]
                    say_one(value, AWAY, directions[f], largest, present)
                    place = feature["judged"] % np.uint32(horizons[0])
                    tell(feature, waits[place], errors[0], widths[0], directions[f], told[i, f])
                    told[i, f, 3] = size_among_kin(feature, errors[0], scale)
                    judge_value(
                        feature, errors, widths, scale, directions[f], error_tails[f],
                        largest, largest_errors, present,
                    )  # fmt: skip
                elif r == coarsest:
                    say(errors / scale, COARSE_NEAR, directions[f], largest, present)
                width = outputs.shape[3] // features if joint else outputs.shape[3]
                given = outputs[i, r, run, part * width : (part + 1) * width]
                expect(feature, x, units[i, r, f], given, horizons, waits, reach)
        level = follow_level(row, largest, largest_errors, present)
        fill_views(row, largest, present, persistence, cautious_events, views)
        said[i] = views[active]
        kept, ring, alone = tails[slots[i]], maxima[slots[i]], view_tails.shape[1] == 0
        if alone:
            total = cautious(row, combined(kept, ring, row["ring"], active, views), cautious_events)
        else:
            total = combined_in_population(row, view_tails, active, views)
        decide(row, total, level, paces[i], budget_per_week, scores[i])
        if alone:
            learn_blocks(kept, ring, row, active, views, scores[i]["score"] >= 1.0)


@compiled
def compare(
    feature: np.void, x: float, waits: F64, reach: F32, horizons: I64, errors: F64, widths: F64
) -> None:
    """The errors of what was reconstructed for this step, and their spreads, in input units.

    NaN where nothing waited.
    """
    start = 0
    for j in range(horizons.shape[0]):
        place = start + feature["judged"] % np.uint32(horizons[j])
        errors[j] = x - waits[place] if reach[place] > 0.0 else math.nan
        widths[j] = reach[place]
        start += horizons[j]


@compiled
def expect(
    feature: np.void, x: float, unit: float, given: F32, horizons: I64, waits: F64, reach: F32
) -> None:
    """Let what the network says of hidden values wait for them. given: (targets * 2,).

    Spreads are the wider, the less the stream's level is known yet.
    """
    # The level is a mean that one more value has joined: part old guess, part that value's noise.
    joined = max(1.0 / (feature["judged"] + 1.0), 1.0 / LEVEL_STEPS)
    feature["doubt"] = np.float32((1.0 - joined) ** 2 * feature["doubt"] + joined**2)
    unsure = math.sqrt(1.0 + feature["doubt"])
    start = 0
    for j in range(horizons.shape[0]):
        place = start + feature["judged"] % np.uint32(horizons[j])
        waits[place] = x + unit * given[2 + 2 * j]
        log_spread = min(max(given[3 + 2 * j], -LOG_SPREAD_LIMIT), LOG_SPREAD_LIMIT)
        reach[place] = min(unit * math.exp(log_spread) * unsure, WIDEST)
        start += horizons[j]
    feature["judged"] += np.uint32(1)


@compiled
def say_one(x: float, view: int, direction: int, largest: F64, present: I64) -> None:
    """One feature's part of a view."""
    pool(largest[view], directed(x, direction))
    present[view] += 1


@compiled
def say(xs: F64, first: int, direction: int, largest: F64, present: I64) -> None:
    """The same of views in a row, from `first`; NaN says nothing."""
    for j in range(xs.shape[0]):
        if not math.isnan(xs[j]):
            say_one(xs[j], first + j, direction, largest, present)


@compiled
def usual_error(feature: np.void) -> float:
    """The root mean square of a feature's errors, in the network's spreads: 1 is as it said."""
    return math.sqrt(feature["error"]) if feature["error"] > 0.0 else 1.0


@compiled
def size_among_kin(feature: np.void, error: float, scale: float) -> float:
    """An error in input units as it is held against those of other streams.

    Where scales go with levels it stands as it is: there, the view `near` is in proportion. Else it
    is taken half-way, as a factor, to the stream's own scale: of two streams the noisier one errs
    more, and a stream of many anomalies has a larger scale for them, which must not excuse them.
    """
    return error if feature["ratio"] > 0.0 else error / math.sqrt(scale)


@compiled
def tell(
    feature: np.void, location: float, error: float, width: float, direction: int, told: F64
) -> None:
    """What was expected of a value, in which spread, and its surprise."""
    if not math.isnan(error):
        told[0] = location
        told[1] = width * usual_error(feature)
        told[2] = error_surprise(directed(error, direction) / told[1])


@compiled
def judge_value(
    feature: np.void,
    errors: F64,
    widths: F64,
    scale: float,
    direction: int,
    error_tail: F64,
    largest: F64,
    largest_errors: F64,
    present: I64,
) -> None:
    """The surprises of one value: its errors, in spreads as they are usual here."""
    usual = usual_error(feature)
    weight = SLOW_WEIGHT
    if error_tail.shape[0] == 0:  # a young stream among its kin is held against theirs
        weight = max(1.0 / (feature["judged"] + USUAL_ERROR_EVENTS), SLOW_WEIGHT)
    log_likelihood, horizons = 0.0, 0
    for j in range(errors.shape[0]):
        if math.isnan(errors[j]):
            continue
        error = directed(errors[j], direction) / (usual * widths[j])
        if j == 0:
            if error_tail.shape[0] > 0:
                size = directed(size_among_kin(feature, errors[0], scale), direction)
                pool(largest[RARE], rarity(error_tail, size, 0.0))
                present[RARE] += 1
            most = LEVEL_CLIP * scale / widths[0]
            pool(largest_errors, error_surprise(min(error, most / usual)))
            seen = min(abs(errors[0]) / widths[0], most, USUAL_ERROR_CLIP * usual)
            feature["error"] = np.float32(usual**2 + weight * (seen**2 - usual**2))
        pool(largest[NEAR + j], error_surprise(error))
        present[NEAR + j] += 1
        log_likelihood -= error_surprise(error) + math.log(usual * widths[j] / scale)
        horizons += 1
    if horizons > 0:
        perplexity = math.exp(min(-log_likelihood / horizons, LARGEST_LOG_PERPLEXITY))
        pool(largest[LONG], perplexity)
        present[LONG] += 1


@compiled
def follow_level(row: np.void, largest: F64, largest_errors: F64, present: I64) -> float:
    """How abnormal the stream is now: 1 is usual.

    The mean of two: of the near surprises and of the distances from the stream's level, each as a
    mean over some 12 events against its own slow mean.
    """
    # What is usual starts at 1, about what both are by design, with the weight of so many events.
    weight = max(1.0 / (row["scored"] + USUAL_LEVEL_EVENTS), SLOW_WEIGHT)
    if present[NEAR] > 0:
        now = pooled(largest_errors, present[NEAR])
        row["errors"] += np.float32(LEVEL_WEIGHT * (now - row["errors"]))
        row["usual_errors"] = usual_after(row["usual_errors"], row["errors"], weight)
    if present[AWAY] > 0:
        now = pooled(largest[AWAY], present[AWAY])
        row["distance"] += np.float32(LEVEL_WEIGHT * (now - row["distance"]))
        row["usual_distance"] = usual_after(row["usual_distance"], row["distance"], weight)
    errors = row["errors"] / row["usual_errors"]
    distance = row["distance"] / row["usual_distance"]
    return float(0.5 * (errors + distance))


@compiled
def usual_after(usual: float, now: float, weight: float) -> np.float32:
    """A slow mean moved on; what is far from usual counts for USUAL_CLIP times as much at most."""
    moved = usual + weight * (min(now, USUAL_CLIP * usual) - usual)
    return np.float32(max(moved, SMALLEST_USUAL))


@compiled
def cautious(row: np.void, total: float, events: float) -> float:
    """The first events cannot prove much: their scales are guesses, and the network knows it least.

    In a population they can: the others know the scale.
    """
    return total * min(1.0, (row["scored"] + 1) / events)


@compiled
def threshold_of(pace: float, budget_per_week: float) -> float:
    """The surprise that a normal stream's blocks pass at the budget's rate."""
    blocks_per_week = WEEK / (BLOCK_EVENTS * max(pace, 1e-3))
    threshold = math.log10(max(blocks_per_week / budget_per_week, 1e-9))
    return min(max(threshold, THRESHOLD_LOW), THRESHOLD_HIGH)


@compiled
def decide(
    row: np.void, total: float, level: float, pace: float, budget_per_week: float, out: np.void
) -> None:
    """Score and alarm of one event; the row keeps the last of each."""
    row["scored"] += np.uint64(1)
    total = max(total, 0.0)
    threshold = threshold_of(pace, budget_per_week)
    score = total / threshold
    anomalous = score >= 1.0
    rested = row["last_alarm"] == 0 or row["scored"] - row["last_alarm"] >= REFRACTORY_EVENTS
    # A stream that wakes people more often than the budget says must have something rarer to tell.
    row["overspent"] = max(0.0, row["overspent"] - budget_per_week * pace / WEEK)
    worth = total >= threshold + math.log10(1.0 + row["overspent"] / TOLERATED)
    alarm = anomalous and worth and (rested or score >= ESCALATION * row["alarm_score"])
    if alarm:
        row["overspent"] += 1.0
        row["last_alarm"] = row["scored"]
        row["alarm_score"] = np.float32(score)
        row["alarms"] += np.uint64(1)
    if anomalous:
        row["anomalies"] += np.uint64(1)
    row["score"] = np.float32(score)
    row["level"] = np.float32(level)
    row["threshold"] = np.float32(10.0**-threshold)
    row["tail_probability"] = np.float32(10.0**-total)
    confidence = min(1.0, row["scored"] / CONFIDENT_EVENTS)
    row["confidence"] = np.float32(confidence)
    out["score"] = score
    out["level"] = level
    out["threshold"] = 10.0**-threshold
    out["tail_probability"] = 10.0**-total
    out["confidence"] = confidence
    out["alarm"] = alarm
