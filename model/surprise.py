"""From reconstruction errors to a calibrated score, an alarm and what to blame.

Views of surprise, each at least 0, pooled over an event's features (the largest for `hidden`, the
mean of the three largest for the others):

    hidden     the newest value, hidden from the network, against its reconstruction from memory
    seen       the newest value against its reconstruction through the bottleneck
    short/long running means of `hidden` over about 5 and 25 events: small errors that persist
    magnitude  the hidden error in the stream's own units, not excused by a wide spread
    away       running mean over about 50 events of the distance from the stream's own level: a
               state that is wrong but steady, which every forecast soon follows

A view's tail counts episodes, not points: its maxima over blocks of BLOCK_EVENTS events are
remembered (a log-scaled byte each), and the surprise of a value is -log10 of its smoothed rank
among them; above the largest, a Hill estimate (Hill 1975) of the top tenth extrapolates. Views are
combined without fitted weights: log10 of the mean of their inverse tail probabilities.

The threshold comes from the budget alone: the surprise that a normal stream's block of events
reaches at the allowed rate of false alarms.
"""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.config import TARGETS, VALUE_CHANNELS
from model.row import BLOCKS, VIEWS, Bytes

HIDDEN, SEEN, SHORT, LONG, MAGNITUDE, AWAY = range(6)
VIEW_COUNT = len(VIEWS)

BLOCK_EVENTS = 50
POOLED = 3  # features whose mean is the event's surprise
FREEDOM = 4.0  # degrees of freedom of the reconstruction's Student-t
ERROR_LIMIT = 1e6  # in spreads
SHORT_WEIGHT, LONG_WEIGHT, AWAY_WEIGHT = 1.0 / 3.0, 1.0 / 13.0, 1.0 / 25.0
PERSISTENCE_CLIP = 20.0
CAUTIOUS_EVENTS = 40.0
LEVEL_WEIGHT = 0.08
PRIOR_BLOCKS = 4  # of the artifact, that a new stream starts with
CONFIDENT_EVENTS = float(PRIOR_BLOCKS * BLOCK_EVENTS)  # by then its own blocks replaced them
SURPRISE_LIMIT = 8.0
THRESHOLD_LOW, THRESHOLD_HIGH = 1.0, 6.0
LEARNED_GROWTH = 1.25
PRIOR_EXCESSES, PRIOR_EXCESS = 20.0, 0.05  # the tail's light prior, in log units
REFRACTORY_EVENTS = 100
ESCALATION = 1.6  # times the last alarm's score: worth another alarm within the refractory period
BAND = 4.6  # spreads on either side: 99 % of a Student-t with 4 degrees of freedom
LOG_SPREAD_LIMIT = 7.0
WEEK = 604800.0

BYTE_LOW, BYTE_STEP = math.log(1e-3), math.log(1e6) / 254.0

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
    tails: Structured,
    maxima: Bytes,
    slots: I64,
    values: F64,
    inputs: F32,
    units: F64,
    scales: F64,
    paces: F64,
    outputs: F32,
    joint: bool,
    directions: I8,
    budget_per_week: float,
    scores: Structured,
    expected: F64,
    spread: F64,
    surprise: F64,
) -> None:
    """Score n admitted events in arrival order; their rows learn the tails.

    slots: (n,). values, units, scales: (n, F); paces: (n,), as `normalise.observe` gave them.
    inputs: (n, runs, D) and outputs: (n, runs, O) of the network, O = (feature, target, location
    and log-spread). directions: (F,) of LOW, BOTH or HIGH. budget_per_week: false alarms.
    Writes scores: (n,) of SCORE; expected, spread (input units) and surprise of each feature:
    (n, F), NaN where a value is missing or nothing was expected yet.
    """
    pooled = np.zeros((VIEW_COUNT, POOLED))
    views = np.zeros(VIEW_COUNT)
    for i in range(slots.shape[0]):
        row = head[slots[i]]
        pooled[:] = 0.0
        present = 0
        for f in range(values.shape[1]):
            expected[i, f] = np.nan
            spread[i, f] = np.nan
            surprise[i, f] = np.nan
            if math.isnan(values[i, f]):
                continue
            present += 1
            feature = blocks[slots[i], f]
            run, channel, at = (0, f * VALUE_CHANNELS, f * TARGETS * 2) if joint else (f, 0, 0)
            out = outputs[i, run, at : at + TARGETS * 2]
            z = inputs[i, run, channel]
            insert_largest(pooled[AWAY], max(0.0, directions[f] * z) if directions[f] else abs(z))
            seen = error_surprise(z, out[0], spread_of(out[1]), directions[f])
            insert_largest(pooled[SEEN], seen)
            if feature["spread"] > 0.0:
                x = values[i, f]
                expected[i, f] = feature["expected"]
                spread[i, f] = feature["spread"]
                hidden = error_surprise(x, expected[i, f], spread[i, f], directions[f])
                surprise[i, f] = hidden
                insert_largest(pooled[HIDDEN], hidden)
                magnitude = error_surprise(x, expected[i, f], scales[i, f], directions[f])
                insert_largest(pooled[MAGNITUDE], magnitude)
            feature["expected"] = values[i, f] + units[i, f] * out[2]
            feature["spread"] = units[i, f] * spread_of(out[3])
        fill_views(row, pooled, min(present, POOLED), views)
        total = combined(tails[slots[i]], maxima[slots[i]], row, views)
        decide(row, total, paces[i], budget_per_week, scores[i])
        learn_blocks(tails[slots[i]], maxima[slots[i]], row, views, scores[i]["score"] >= 1.0)


@compiled
def spread_of(log_spread: float) -> float:
    return math.exp(min(max(log_spread, -LOG_SPREAD_LIMIT), LOG_SPREAD_LIMIT))


@compiled
def error_surprise(x: float, location: float, width: float, direction: int) -> float:
    """The Student-t's negative log-likelihood above its least: 0 at the location; shape ()."""
    error = (x - location) / width
    if direction * error < 0.0:
        return 0.0
    error = min(abs(error), ERROR_LIMIT)
    return 0.5 * (FREEDOM + 1.0) * math.log1p(error * error / FREEDOM)


@compiled
def insert_largest(largest: F64, x: float) -> None:
    """Keep the POOLED largest values, in falling order."""
    for k in range(largest.shape[0]):
        if x > largest[k]:
            x, largest[k] = largest[k], x


@compiled
def fill_views(row: np.void, pooled: F64, present: int, views: F64) -> None:
    """Pool the features and follow the persistence of the hidden view."""
    count = max(present, 1)
    views[HIDDEN] = pooled[HIDDEN, 0]
    views[SEEN] = pooled[SEEN].sum() / count
    views[MAGNITUDE] = pooled[MAGNITUDE].sum() / count
    # A single wild event is the hidden view's business: persistence counts it once, clipped.
    steady = min(pooled[HIDDEN].sum() / count, PERSISTENCE_CLIP)
    row["short"] += np.float32(SHORT_WEIGHT * (steady - row["short"]))
    row["long"] += np.float32(LONG_WEIGHT * (steady - row["long"]))
    views[SHORT] = row["short"]
    views[LONG] = row["long"]
    row["away"] += np.float32(AWAY_WEIGHT * (pooled[AWAY].sum() / count - row["away"]))
    views[AWAY] = row["away"]


@compiled
def byte_of(x: float) -> int:
    """A view's value as a log-scaled byte: 1e-3 to 1e3 in steps of 5.6 %."""
    if x <= 1e-3:
        return 0
    return min(254, math.floor((math.log(x) - BYTE_LOW) / BYTE_STEP + 0.5))


@compiled
def tail_surprise(tail: np.void, ring: Bytes, used: int, x: float) -> float:
    """-log10 of the probability that a normal block reaches x, from the remembered maxima."""
    byte = byte_of(x)
    above, equal = 0, 0
    for k in range(used):
        above += ring[k] > byte
        equal += ring[k] == byte
    rank = above + 0.5 * equal
    result = -math.log10((rank + 0.5) / (used + 1.0))
    excess = math.log(max(x, 1e-3)) - tail["top"]
    if excess > 0.0:
        result += excess / tail["shape"] / math.log(10.0)
    return min(result, SURPRISE_LIMIT)


@compiled
def combined(tails: Structured, maxima: Bytes, row: np.void, views: F64) -> float:
    """log10 of the mean of the views' inverse tail probabilities; the two means are one group."""
    used = row["ring"]
    for v in range(views.shape[0]):
        tails[v]["surprise"] = np.float32(tail_surprise(tails[v], maxima[v], used, views[v]))
    persistence = 0.5 * (tails[SHORT]["surprise"] + tails[LONG]["surprise"])
    total = 10.0 ** tails[HIDDEN]["surprise"] + 10.0 ** tails[SEEN]["surprise"]
    total += 10.0 ** tails[MAGNITUDE]["surprise"] + 10.0**persistence
    total += 10.0 ** tails[AWAY]["surprise"]
    return math.log10(total / 5.0)


@compiled
def learn_blocks(
    tails: Structured, maxima: Bytes, row: np.void, views: F64, anomalous: bool
) -> None:
    """Follow the maxima of the block in progress; at its end, remember them.

    Anomalies are not learned from, a lasting change is: an anomalous event counts as no more than
    LEARNED_GROWTH times the largest block that is remembered, so that it takes a run of such blocks
    to move the tail.
    """
    for v in range(views.shape[0]):
        x = views[v]
        if anomalous:
            x = min(x, LEARNED_GROWTH * math.exp(tails[v]["top"]))
        tails[v]["maximum"] = max(tails[v]["maximum"], np.float32(x))
    if row["scored"] % np.uint64(BLOCK_EVENTS) != 0:
        return
    # A new stream's ring starts with the artifact's own maxima; the stream's replace them first.
    place = row["blocks"] % np.uint32(BLOCKS)
    row["blocks"] += np.uint32(1)
    row["ring"] = max(row["ring"], place + np.uint32(1))
    for v in range(views.shape[0]):
        maxima[v, place] = byte_of(tails[v]["maximum"])
        tails[v]["maximum"] = 0.0
        summarise(tails[v], maxima[v], row["ring"])


@compiled
def summarise(tail: np.void, ring: Bytes, used: int) -> None:
    """Set the largest maximum and the Hill shape of the top tenth, with a light prior."""
    ordered = np.sort(ring[:used])
    top = ordered[used - 1]
    tenth = max(1, used // 10)
    base = ordered[max(0, used - 1 - tenth)]
    excess = 0.0
    for k in range(tenth):
        excess += (ordered[used - 1 - k] - base) * BYTE_STEP
    tail["top"] = np.float32(BYTE_LOW + top * BYTE_STEP)
    tail["shape"] = np.float32((excess + PRIOR_EXCESSES * PRIOR_EXCESS) / (tenth + PRIOR_EXCESSES))


@compiled
def threshold_of(pace: float, budget_per_week: float) -> float:
    """The surprise that a normal stream's blocks pass at the budget's rate."""
    blocks_per_week = WEEK / (BLOCK_EVENTS * max(pace, 1e-3))
    threshold = math.log10(max(blocks_per_week / budget_per_week, 1e-9))
    return min(max(threshold, THRESHOLD_LOW), THRESHOLD_HIGH)


@compiled
def decide(row: np.void, total: float, pace: float, budget_per_week: float, out: np.void) -> None:
    """Score, level and alarm of one event; the row keeps the last of each."""
    row["scored"] += np.uint64(1)
    # The first events cannot prove much: their scales are guesses, and the network knows it least.
    total = max(total, 0.0) * min(1.0, row["scored"] / CAUTIOUS_EVENTS)
    threshold = threshold_of(pace, budget_per_week)
    score = total / threshold
    anomalous = score >= 1.0
    rested = row["last_alarm"] == 0 or row["scored"] - row["last_alarm"] >= REFRACTORY_EVENTS
    alarm = anomalous and (rested or score >= ESCALATION * row["alarm_score"])
    if alarm:
        row["last_alarm"] = row["scored"]
        row["alarm_score"] = np.float32(score)
        row["alarms"] += np.uint64(1)
    if anomalous:
        row["anomalies"] += np.uint64(1)
    row["score"] = np.float32(score)
    row["level"] += np.float32(LEVEL_WEIGHT * (score - row["level"]))
    row["threshold"] = np.float32(10.0**-threshold)
    row["tail_probability"] = np.float32(10.0**-total)
    confidence = min(1.0, row["scored"] / CONFIDENT_EVENTS)
    row["confidence"] = np.float32(confidence)
    out["score"] = score
    out["level"] = row["level"]
    out["threshold"] = 10.0**-threshold
    out["tail_probability"] = 10.0**-total
    out["confidence"] = confidence
    out["alarm"] = alarm
