"""How rare a view's value is for its stream.

A view's tail counts episodes, not points: its maxima over blocks of BLOCK_EVENTS events are
remembered (a log-scaled byte each), and the surprise of a value is -log10 of its smoothed rank
among them; above the largest, a Hill estimate (Hill 1975) of the top tenth extrapolates, drawn
towards a thin tail by a prior that is the wider, the fewer blocks there are, and most so in views
whose values stand for many events: a block holds few of theirs. So one threshold fits bursty
streams and smooth ones. Views are combined without fitted weights: the mean within a group, then
across groups the harmonic mean of the tail probabilities (Wilson 2019, PNAS 116(4)).
"""

import math

import numpy as np
import numpy.typing as npt

from model.compiled import compiled
from model.config import LEAST_BLOCKS
from model.elementary import LN10, exp, log, log10
from model.population import rarity
from model.row import Bytes
from model.views import ABSENT, DAY, GROUPS, HELD, LASTING, RARE, WEEK

BLOCK_EVENTS = 50
SURPRISE_KNEE = 8.0  # beyond it surprise grows as a logarithm: ranks stay, sums do not run away
PRIOR_EXCESSES, PRIOR_EXCESS = 20.0, 0.05  # the tail's prior: thin, in log units
FEW_BLOCKS = 10.0  # of so many the prior is twice as wide
WIDEST = 4.0  # and at most so wide, where each event says something of its own
CREDIT_BLOCKS = 20  # that one without learning costs
YOUNG, SETTLED = 2, LEAST_BLOCKS
GROWTH = math.e  # times the largest maximum: what a block counts for at most
ORDINARY = 1.0  # a view's value: nothing is bounded more than that
SILENT = -1.0  # the maximum of a block in which a view said nothing
HEARD = -0.5  # the same of a view that has begun to speak
UNSPOKEN = 255  # the byte of one
SMALLEST, LARGEST = 1e-3, 1e3  # that a maximum is remembered as
BYTE_LOW, BYTE_STEP = math.log(SMALLEST), math.log(LARGEST / SMALLEST) / 254.0
LARGEST_TOLD = math.log(LARGEST) - 0.5 * BYTE_STEP  # a maximum above may be any that is larger
RARE_DECADE = 1.0  # what ten times the error adds to the view `rare`, and to `near`
NEAR_DECADE = 5.0 * LN10
ECHO_BEYOND, ECHO_LEAST, ECHO_LIMIT = 2.0, 1.0, 2.0  # factors of 10 of tail probability
ECHO_SHARE, ECHO_FADING = 0.5, 0.95  # an event

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Structured = npt.NDArray[np.void]


@compiled
def byte_of(x: float) -> int:
    """A view's value as a log-scaled byte: 1e-3 to 1e3 in steps of 5.6 %."""
    if x <= SMALLEST:
        return 0
    return min(254, math.floor((log(x) - BYTE_LOW) / BYTE_STEP + 0.5))


@compiled
def tail_surprise(tail: np.void, ring: Bytes, used: int, x: float) -> float:
    """-log10 of the probability that a normal block reaches x, from the remembered maxima."""
    byte = byte_of(x)
    above, equal, spoken = 0, 0, 0
    for k in range(used):
        spoken += ring[k] != UNSPOKEN
        above += ring[k] > byte and ring[k] != UNSPOKEN
        equal += ring[k] == byte
    rank = above + 0.5 * equal
    result = -log10((rank + 0.5) / (spoken + 1.0))
    excess = log(max(x, SMALLEST)) - tail["top"]
    if excess > 0.0 and tail["top"] < LARGEST_TOLD:
        result += excess / tail["shape"] / LN10
    if result > SURPRISE_KNEE:
        result = SURPRISE_KNEE + log(1.0 + result - SURPRISE_KNEE)
    return result


@compiled
def combined(tails: Structured, maxima: Bytes, used: int, active: I64, views: F64) -> float:
    """The surprise of an event, from its views; each tail keeps its own.

    tails, maxima, active: (V,), (V, blocks), (V,) for the views whose tails are kept.
    """
    for k in range(active.shape[0]):
        x = views[active[k]]
        # A profile that has no past yet must not halve what the other one says.
        begins = active[k] in (DAY, WEEK) and math.isinf(tails[k]["top"])
        if x == ABSENT or begins:
            tails[k]["surprise"] = ABSENT
        elif x != HELD:
            tails[k]["surprise"] = np.float32(tail_surprise(tails[k], maxima[k], used, x))
    return grouped(tails, active)


@compiled
def combined_in_population(row: np.void, view_tails: F64, active: I64, views: F64) -> float:
    """The same in a population: the rarest of its views.

    view_tails: (V, K), see `population.rarity`. They are tails of single events; the result is for
    a block, as everywhere.
    """
    loudest = 0.0
    for k in range(active.shape[0]):
        x = views[active[k]]
        decade = RARE_DECADE if active[k] == RARE else NEAR_DECADE
        if x >= 0.0:
            loudest = max(loudest, rarity(view_tails[k], x, decade))
    # The loudest of several has as many chances to be loud.
    tail = active.shape[0] * exp(-LN10 * echoed(row, loudest))
    return -log10(-math.expm1(BLOCK_EVENTS * math.log1p(-tail))) if tail < 1.0 else 0.0


@compiled
def loudest_view(tails: Structured) -> int:
    """The one, of those whose tails are kept, in which the last event was rarest for its stream."""
    loudest = 0
    for k in range(tails.shape[0]):
        if tails[k]["surprise"] > tails[loudest]["surprise"]:
            loudest = k
    return loudest


@compiled
def loudest_in_population(view_tails: F64, active: I64, views: F64) -> int:
    """The same of an event in a population."""
    loudest, most = 0, -1.0
    for k in range(active.shape[0]):
        decade = RARE_DECADE if active[k] == RARE else NEAR_DECADE
        if views[active[k]] >= 0.0 and rarity(view_tails[k], views[active[k]], decade) > most:
            loudest, most = k, rarity(view_tails[k], views[active[k]], decade)
    return loudest


@compiled
def grouped(tails: Structured, active: I64) -> float:
    """One surprise of those of the views (V,), each at least 0 or ABSENT.

    active: in rising order, so that the views of a group stand side by side.
    """
    inverse, groups = 0.0, 0.0
    total, count = 0.0, 0.0
    for k in range(active.shape[0]):
        surprise = tails[k]["surprise"]
        if surprise != ABSENT:
            total += surprise
            count += 1.0
        ends = k + 1 == active.shape[0] or GROUPS[active[k + 1]] != GROUPS[active[k]]
        if ends and count > 0.0:
            inverse += exp(LN10 * total / count)
            groups += 1.0
            total, count = 0.0, 0.0
    return log10(inverse / groups) if groups > 0.0 else 0.0


@compiled
def echoed(row: np.void, surprise: float) -> float:
    """A surprise, and more of it where a great one was not long ago: half of what that was beyond
    usual, fading, if the present one is out of the ordinary itself."""
    before = ECHO_FADING * row["echo"]
    row["echo"] = np.float32(max(before, surprise - ECHO_BEYOND))
    if surprise <= ECHO_LEAST:
        return surprise
    return surprise + min(ECHO_SHARE * before, ECHO_LIMIT)


@compiled
def count_block(row: np.void, anomalous: bool) -> None:
    """Count the anomalous events of the block in progress, in a population: nothing is learned."""
    row["anomalous"] += np.uint8(anomalous)
    if row["scored"] % np.uint64(BLOCK_EVENTS) == 0:
        row["anomalous"] = 0


@compiled
def learn_blocks(
    tails: Structured, maxima: Bytes, row: np.void, active: I64, views: F64, anomalous: bool
) -> None:
    """Follow the maxima of the block in progress; at its end, remember them.

    A view that begins to speak in a block's second half has said too little for its maximum: what
    ordinary blocks say would be beyond it.

    Anomalies are not learned from, a change that lasts is: one block in twenty may be left out for
    holding an anomalous event, or be forgotten later, if that one came too soon after another. What
    keeps happening is the stream's own way.
    """
    late = (row["scored"] - 1) % BLOCK_EVENTS >= BLOCK_EVENTS // 2
    for k in range(active.shape[0]):
        x = views[active[k]]
        if late and x >= 0.0 and tails[k]["maximum"] == SILENT and math.isinf(tails[k]["top"]):
            tails[k]["maximum"] = np.float32(math.nan)
        elif x > tails[k]["maximum"]:
            tails[k]["maximum"] = np.float32(x)
    row["anomalous"] += np.uint8(anomalous)
    if row["scored"] % np.uint64(BLOCK_EVENTS) != 0:
        return
    row["credit"] = min(row["credit"] + 1, CREDIT_BLOCKS)
    if row["anomalous"] > 0 and row["credit"] == CREDIT_BLOCKS:
        row["credit"] = 0
    else:
        learned = np.uint8(place_of(row["blocks"], maxima.shape[1]) + 1)
        remember(tails, maxima, row, active)
        if row["anomalous"] > 0:
            row["learned"] = learned
        elif row["learned"] == learned:
            row["learned"] = 0  # written over
        elif row["learned"] > 0 and row["credit"] == CREDIT_BLOCKS:
            row["credit"] = 0
            forget(tails, maxima, row, active)
    row["anomalous"] = 0
    for k in range(active.shape[0]):
        began = math.isnan(tails[k]["maximum"]) or tails[k]["maximum"] == HEARD
        tails[k]["maximum"] = HEARD if began else SILENT


@compiled
def forget(tails: Structured, maxima: Bytes, row: np.void, active: I64) -> None:
    """Take the last anomalous block that was learned out of the ring."""
    for k in range(tails.shape[0]):
        maxima[k, row["learned"] - 1] = UNSPOKEN
        summarise(tails[k], maxima[k], row["ring"], active[k])
    row["learned"] = 0


@compiled
def place_of(block: int, size: int) -> int:
    """Where in a ring of this size the maxima of a block go, counted from the stream's first.

    The first ones, made while all scales were guesses, are written over once there are others.
    """
    if block < SETTLED:
        return int(block)
    if block < SETTLED + YOUNG:
        return int(block - SETTLED)
    return int((block - YOUNG) % size)


@compiled
def bounded(tail: np.void, ring: Bytes, used: int, blocks: int) -> float:
    """A block's maximum as it is remembered: of a settled stream one cannot make it deaf, several
    raise what is usual step by step. A view that has only begun to speak takes what comes."""
    if blocks <= SETTLED or spoken(ring, used) <= SETTLED:
        return float(tail["maximum"])
    return float(min(tail["maximum"], GROWTH * max(math.exp(tail["top"]), ORDINARY)))


@compiled
def remember(tails: Structured, maxima: Bytes, row: np.void, active: I64) -> None:
    """Put the block's maxima in the ring: over the artifact's own first, which a new stream has.

    A view that said nothing in the block leaves its ring as it is.
    """
    place = place_of(row["blocks"], maxima.shape[1])
    used = row["ring"]
    row["blocks"] += np.uint32(1)
    row["ring"] = max(used, np.uint8(place + 1))
    for k in range(tails.shape[0]):
        if tails[k]["maximum"] >= 0.0:
            maxima[k, place] = byte_of(bounded(tails[k], maxima[k], used, row["blocks"]))
        elif place >= used:
            maxima[k, place] = UNSPOKEN
        summarise(tails[k], maxima[k], row["ring"], active[k])


@compiled
def summarise(tail: np.void, ring: Bytes, used: int, view: int) -> None:
    """Set the largest maximum and the Hill shape of the top tenth, with its prior.

    Of few maxima the largest is far from the largest that there will be: the fewer, the wider.
    """
    maxima = spoken(ring, used)
    if maxima == 0:
        tail["top"] = np.float32(math.inf)
        return
    tenth = max(1, maxima // 10)
    top, base = ranked(ring, used, 0), ranked(ring, used, min(tenth, maxima - 1))
    excess = 0.0
    for k in range(used):
        excess += ring[k] - base if base < ring[k] < UNSPOKEN else 0
    width = 1.0 + FEW_BLOCKS / maxima
    prior = PRIOR_EXCESS * (width if LASTING[view] else min(WIDEST, width))
    tail["top"] = np.float32(BYTE_LOW + top * BYTE_STEP)
    tail["shape"] = np.float32(
        (excess * BYTE_STEP + PRIOR_EXCESSES * prior) / (tenth + PRIOR_EXCESSES)
    )


@compiled
def spoken(ring: Bytes, used: int) -> int:
    """How many of the remembered maxima are of blocks in which the view said something."""
    count = 0
    for k in range(used):
        count += ring[k] != UNSPOKEN
    return count


@compiled
def ranked(ring: Bytes, used: int, rank: int) -> int:
    """The byte of which `rank` in the ring are larger, or fewer where several are equal.

    By bisection, which is faster than to sort; what is UNSPOKEN does not count.
    """
    low, high = 0, UNSPOKEN - 1
    while low < high:
        middle = (low + high) // 2
        larger = 0
        for k in range(used):
            larger += middle < ring[k] < UNSPOKEN
        if larger > rank:
            low = middle + 1
        else:
            high = middle
    return low
