"""From what the network gave to a calibrated score, a level and an alarm.

The threshold comes from the budget alone: the surprise that a normal stream's block of events
reaches at the allowed rate of false alarms.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model.compiled import compiled, inlined
from model.config import VALUE_CHANNELS
from model.elementary import LN10, exp, log, log10
from model.episodes import EPISODE, STEADY, follow_episode
from model.feedback import TOGETHER, eased, follow_repeats, tolerated
from model.normalise import LEVEL_STEPS, MOST, SMALLEST, SMALLEST_SHARE, Events
from model.observed import Observed
from model.population import rarity
from model.row import Bytes, RowTable
from model.suppression import BY_LIMIT, BY_MUTE, BY_NOTHING, BY_RULE, SURPRISE, bound_of
from model.tails import (
    BLOCK_EVENTS,
    combined,
    combined_in_population,
    count_block,
    learn_blocks,
    loudest_in_population,
    loudest_view,
)
from model.views import (
    AWAY,
    COARSE_NEAR,
    DAY,
    FAR,
    FREEDOM,
    HELD,
    LARGEST_LOG_PERPLEXITY,
    LONG,
    NEAR,
    RARE,
    Pools,
    directed,
    empty,
    error_surprise,
    fill_views,
    pool,
    pooled,
    pooled_errors,
    say,
    say_one,
    student_odds,
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
HALF = np.uint32(2**31)  # steps, from which on it is as from MOST on

LOW, BOTH, HIGH = -1, 0, 1

Bools = npt.NDArray[np.bool_]
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
        ("view", "u1"),  # of an anomalous event: the loudest, a place among the config's
        ("bound", "u1"),  # of an anomalous event: see `model.suppression`
    ],
    align=True,
)


class Memory(NamedTuple):
    """The parts of a table's rows that judging reads and moves on, see `model.row.RowTable`."""

    head: Structured
    features: Structured
    locations: F64
    spreads: F32
    tails: Structured
    maxima: Bytes

    @classmethod
    def of(cls, table: RowTable) -> "Memory":
        return cls(*(getattr(table, name) for name in cls._fields))


class Terms(NamedTuple):
    """How events are judged.

    joint: whether one network reads all features. directions: (F,) of LOW, BOTH, HIGH. rules: (F,)
    of RULE, see `model.suppression`. horizons: (H,). active: (V,), the views that count, and
    counts: (VIEW_COUNT,), whether each does. persistence: steps. cautious_events: as many of a
    stream's first cannot prove much.
    error_tails: (F, K) and view_tails: (V, K), those of a population, see `population.rarity`;
    K = 0 where a stream is held against its own past. budget_per_week: false alarms.
    """

    joint: bool
    directions: I8
    rules: Structured
    horizons: I64
    active: I64
    counts: npt.NDArray[np.bool_]
    persistence: float
    cautious_events: float
    error_tails: F64
    view_tails: F64
    budget_per_week: float


class Verdicts(NamedTuple):
    """What is said of n events.

    scores: (n,) of SCORE. told: (n, F, 4), what was expected of each value and in which spread
    (input units), its surprise, see `tell_blame`, and the size of its error among its kin's; NaN
    where a value is missing or nothing was expected yet. views: (n, V), the views that count.
    episodes: (n,) of EPISODE.
    """

    scores: Structured
    told: F64
    views: F64
    episodes: Structured

    @classmethod
    def of(cls, n: int, features: int, views: int) -> "Verdicts":
        """Room for n events."""
        told = np.full((n, features, 4), np.nan)
        return cls(np.zeros(n, SCORE), told, np.empty((n, views)), np.zeros(n, EPISODE))


@compiled
def judge(
    memory: Memory,
    events: Events,
    muted: Bools,
    seen: Observed,
    outputs: F32,
    terms: Terms,
    pools: Pools,
    verdicts: Verdicts,
) -> None:
    """Score n admitted events in arrival order; their rows learn the tails.

    muted: (n, F), the values that nobody wants to hear of. seen: what `normalise.observe` said of
    the events. outputs: (n, R, runs, O) of the network, O = (feature, target, location and
    log-spread). pools: room for one event. Writes `verdicts`.
    """
    views = pools.views
    for i in range(events.slots.shape[0]):
        slot = events.slots[i]
        row = memory.head[slot]
        empty(pools)
        for f in range(seen.steps.shape[2]):
            say(seen.contexts[i, f], DAY, f, terms.directions[f], pools)
            for r in range(seen.steps.shape[1]):
                if not math.isnan(seen.steps[i, r, f]):
                    judge_step(memory, slot, seen, outputs[i, r], i, r, f, terms, pools, verdicts)
        level = follow_level(row, pools)
        fill_views(row, pools, terms.persistence, terms.cautious_events)
        for v in range(terms.active.shape[0]):
            verdicts.views[i, v] = views[terms.active[v]]
        tails, maxima = memory.tails[slot], memory.maxima[slot]
        alone = terms.view_tails.shape[1] == 0
        if alone:
            total = combined(tails, maxima, row["ring"], terms.active, views)
            total = cautious(row, total, terms.cautious_events)
            loudest = loudest_view(tails)
        else:
            total = combined_in_population(row, terms.view_tails, terms.active, views)
            loudest = loudest_in_population(terms.view_tails, terms.active, views)
        out, values, told = verdicts.scores[i], events.values[i], verdicts.told[i]
        keep_coarse(memory.features[slot], pools)
        tell_blame(memory.features[slot], values, terms.active[loudest], pools, told)
        bound = bound_of(values, muted[i], terms.rules, told, pools.parts, pools.blamed)
        news = not alone or views[terms.active[loudest]] != HELD
        pace, budget = seen.paces[i], terms.budget_per_week
        surprising = decide(row, total, level, news, pace, budget, bound, out)
        if out["score"] >= 1.0:
            out["view"] = loudest
        follow_episode(
            row, out["score"], out["alarm"], bound in (BY_MUTE, BY_RULE), events.offsets[i],
            events.times[i], verdicts.episodes[i],
        )  # fmt: skip
        if alone:
            learn_blocks(tails, maxima, row, terms.active, views, surprising)
        else:
            count_block(row, surprising)


@inlined
def judge_step(
    memory: Memory,
    slot: int,
    seen: Observed,
    outputs: F32,
    i: int,
    r: int,
    f: int,
    terms: Terms,
    pools: Pools,
    verdicts: Verdicts,
) -> None:
    """One feature's step at one resolution, against what waited for it; outputs: (runs, O)."""
    x, scale, direction = seen.steps[i, r, f], seen.scales[i, r, f], terms.directions[f]
    feature = memory.features[slot, r, f]
    waits, reach = memory.locations[slot, r, f], memory.spreads[slot, r, f]
    run, part = (0, f) if terms.joint else (f, 0)
    compare(feature, x, waits, reach, terms.horizons, pools)
    if r == 0:
        say_one(seen.inputs[i, r, run, part * VALUE_CHANNELS], AWAY, f, direction, pools)
        judge_value(
            feature, f, waits[pools.places[0]], scale, direction, terms, terms.error_tails[f],
            pools, verdicts.told[i, f],
        )  # fmt: skip
    elif r == seen.steps.shape[1] - 1:
        for j in range(pools.errors.shape[0]):
            pools.errors[j] /= scale
        say(pools.errors, COARSE_NEAR, f, direction, pools)
    width = outputs.shape[1] // seen.steps.shape[2] if terms.joint else outputs.shape[1]
    given = outputs[run, part * width : (part + 1) * width]
    expect(feature, x, seen.units[i, r, f], given, pools.places, waits, reach)


@inlined
def compare(
    feature: np.void, x: float, waits: F64, reach: F32, horizons: I64, pools: Pools
) -> None:
    """The errors of what was reconstructed for this step, their spreads, and where they waited.

    The errors are NaN where nothing did.
    """
    start = 0
    for j in range(horizons.shape[0]):
        place = start + np.int64(feature["judged"] % np.uint32(horizons[j]))
        pools.errors[j] = error_of(x, waits[place]) if reach[place] > 0.0 else math.nan
        pools.widths[j] = reach[place]
        pools.places[j] = place
        start += horizons[j]


@compiled
def error_of(x: float, expected: float) -> float:
    """In input units; 0 where it is rounding. Of what stands still the network's own small error is
    all that there is: it must not be held against itself."""
    error = x - expected
    return error if abs(error) >= SMALLEST_SHARE * abs(x) + SMALLEST else 0.0


@inlined
def expect(
    feature: np.void, x: float, unit: float, given: F32, places: I64, waits: F64, reach: F32
) -> None:
    """Let what the network says of hidden values wait for them. given: (targets * 2,).

    Spreads are the wider, the less the stream's level is known yet.
    """
    # The level is a mean that one more value has joined: part old guess, part that value's noise.
    joined = max(1.0 / (feature["judged"] + 1.0), 1.0 / LEVEL_STEPS)
    feature["doubt"] = np.float32((1.0 - joined) ** 2 * feature["doubt"] + joined**2)
    unsure = unit * math.sqrt(1.0 + feature["doubt"])
    for j in range(places.shape[0]):
        waits[places[j]] = x + unit * given[2 + 2 * j]
        log_spread = min(max(float(given[3 + 2 * j]), -LOG_SPREAD_LIMIT), LOG_SPREAD_LIMIT)
        reach[places[j]] = np.float32(min(unsure * exp(log_spread), WIDEST))
    feature["judged"] = HALF if feature["judged"] == MOST else feature["judged"] + np.uint32(1)


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


@inlined
def judge_value(
    feature: np.void,
    f: int,
    location: float,
    scale: float,
    direction: int,
    terms: Terms,
    error_tail: F64,
    pools: Pools,
    told: F64,
) -> None:
    """What the errors (pools.errors) of feature f's value say, in spreads as they are usual here.

    location: what was expected of it. told: (4,).
    """
    usual = usual_error(feature)
    spread, odds, horizons = 1.0, 1.0, 0
    for j in range(pools.errors.shape[0]):
        if math.isnan(pools.errors[j]):
            continue
        width = usual * pools.widths[j]
        error = directed(pools.errors[j], direction) / width
        if j == 0:
            told[0], told[1], told[2] = location, width, error_surprise(error)
            told[3] = size_among_kin(feature, pools.errors[0], scale)
            if error_tail.shape[0] > 0:
                say_one(rarity(error_tail, directed(told[3], direction), 0.0), RARE, f, BOTH, pools)
            pool(pools.level_errors, min(error, LEVEL_CLIP * scale / width))
            follow_error(feature, pools.errors[0], pools.widths[0], scale, usual, error_tail)
        say_one(error, NEAR + j, f, BOTH, pools)
        odds *= student_odds(error)
        spread *= width / scale
        horizons += 1
    if horizons > 0 and terms.counts[LONG]:
        log_perplexity = (0.5 * (FREEDOM + 1.0) * log(odds) + log(spread)) / horizons
        say_one(exp(min(log_perplexity, LARGEST_LOG_PERPLEXITY)), LONG, f, BOTH, pools)


@inlined
def keep_coarse(features: Structured, pools: Pools) -> None:
    """Keep what each feature says at the coarsest resolution, where a step of it ends with this
    event: it holds until the next one does. features: (R, F) of FEATURE."""
    if pools.present[COARSE_NEAR:].sum() == 0:
        return
    for f in range(features.shape[1]):
        features[-1, f]["error"] = np.float32(pools.said[COARSE_NEAR:, f].sum())


@inlined
def tell_blame(features: Structured, values: F64, view: int, pools: Pools, told: F64) -> None:
    """The surprise of each value: its part in the view in which the event is loudest; `pools.parts`
    of each feature, also of those that are missing in the event, and in a coarse view to blame.

    A view that is a running mean (`long`, `away`) has the parts that this event adds to it.
    features: (R, F) of FEATURE. values: (F,). told: (F, 4), of which the surprise is the nearest
    error's so far: it stays where the view says nothing of any feature.
    """
    total = 0.0
    for f in range(told.shape[0]):
        if view >= COARSE_NEAR:
            pools.parts[f] = features[-1, f]["error"]  # see `keep_coarse`
        elif view <= FAR:
            pools.parts[f] = error_surprise(pools.said[view, f])
        else:
            pools.parts[f] = pools.said[view, f]
        total += pools.parts[f]
    for f in range(told.shape[0]):
        if total <= 0.0:
            pools.parts[f] = told[f, SURPRISE] if told[f, SURPRISE] > 0.0 else 0.0  # NaN: unknown
        elif not math.isnan(values[f]):
            told[f, SURPRISE] = pools.parts[f]


@compiled
def follow_error(
    feature: np.void, error: float, width: float, scale: float, usual: float, error_tail: F64
) -> None:
    """Move on what is usual of the near error, in the network's spreads; clipped. What stands still
    has none that could be usual."""
    if error == 0.0:
        return
    weight = SLOW_WEIGHT
    if error_tail.shape[0] == 0:  # a young stream among its kin is held against theirs
        weight = max(1.0 / (feature["judged"] + USUAL_ERROR_EVENTS), SLOW_WEIGHT)
    seen = min(min(abs(error), LEVEL_CLIP * scale) / width, USUAL_ERROR_CLIP * usual)
    feature["error"] = np.float32(usual**2 + weight * (seen**2 - usual**2))


@inlined
def follow_level(row: np.void, pools: Pools) -> float:
    """How abnormal the stream is now: 1 is usual.

    The mean of two: of the near surprises and of the distances from the stream's level, each as a
    mean over some 12 events against its own slow mean.
    """
    # What is usual starts at 1, about what both are by design, with the weight of so many events.
    weight = max(1.0 / (row["scored"] + USUAL_LEVEL_EVENTS), SLOW_WEIGHT)
    if pools.present[NEAR] > 0:
        now = pooled_errors(pools.level_errors, pools.present[NEAR])
        row["errors"] += np.float32(LEVEL_WEIGHT * (now - row["errors"]))
        row["usual_errors"] = usual_after(row["usual_errors"], row["errors"], weight)
    if pools.present[AWAY] > 0:
        now = pooled(pools.largest[AWAY], pools.present[AWAY])
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
    threshold = log10(max(blocks_per_week / budget_per_week, 1e-9))
    return min(max(threshold, THRESHOLD_LOW), THRESHOLD_HIGH)


def confidence_of(scored: Any) -> Any:
    """How much of what is said of a stream comes from its own history, after so many events."""
    return np.minimum(1.0, scored / CONFIDENT_EVENTS)


@compiled
def decide(
    row: np.void,
    total: float,
    level: float,
    news: bool,
    pace: float,
    budget_per_week: float,
    bound: int,
    out: np.void,
) -> bool:
    """Score and alarm of one event; the row keeps the last of each. Whether it is surprising by
    itself: a limit makes an event anomalous that need not be.

    news: see `follow_repeats`. bound: what decides beside them, see `model.suppression`.
    """
    row["scored"] += np.uint64(1)
    total = max(total, 0.0)
    threshold = threshold_of(pace, budget_per_week) * eased(row["tolerance"])
    score = float(np.float32(total / threshold))  # as rows keep it, so that all say the same
    surprising = score >= 1.0
    if bound == BY_LIMIT:
        score = max(score, 1.0)
    anomalous = score >= 1.0
    rested = row["since_alarm"] == 0 or row["since_alarm"] >= REFRACTORY_EVENTS
    # A stream that wakes people more often than the budget says must have something rarer to tell.
    row["overspent"] = max(0.0, row["overspent"] - budget_per_week * pace / WEEK)
    worth = total >= threshold + log10(1.0 + row["overspent"] / TOLERATED)
    follow_repeats(row, surprising, news)
    known = score <= tolerated(row["tolerance"]) and row["repeats"] < TOGETHER
    alarm = anomalous and (rested or score >= ESCALATION * row["alarm_score"])
    alarm = alarm and (bound == BY_LIMIT or (bound == BY_NOTHING and worth and not known))
    if alarm:
        row["overspent"] += 1.0
        row["since_alarm"] = 1
        row["alarm_score"] = np.float32(score)
        row["alarms"] += np.uint32(1)
    elif row["since_alarm"] > 0:
        row["since_alarm"] = min(row["since_alarm"] + 1, STEADY)
    if anomalous:
        row["anomalies"] += np.uint32(1)
    row["score"] = np.float32(score)
    row["level"] = np.float32(level)
    out["score"] = score
    out["level"] = level
    out["threshold"] = exp(-threshold * LN10)
    out["tail_probability"] = exp(-total * LN10)
    out["confidence"] = min(1.0, row["scored"] / CONFIDENT_EVENTS)
    out["alarm"] = alarm
    out["bound"] = bound if anomalous else BY_NOTHING
    return surprising
