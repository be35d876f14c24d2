"""Episodes: anomalous events that belong together, told as one thing.

An alarm opens an episode. It goes on while anomalous events come, and while what comes between them
is still unusual; after QUIET_EVENTS that are not it is closed. Another anomalous event soon after
belongs to the same episode, which is open again. All of it is in the stream's row, so that it is
the same after a crash.
"""

import numpy as np
import numpy.typing as npt

from model.compiled import compiled

NONE, OPEN, CLOSED = 0, 1, 2
"""What an event leaves its stream's episode as."""

UNUSUAL = 0.5  # a score below it is quiet
QUIET_EVENTS = 10  # in a row that close an episode
APART_EVENTS = 100  # quiet events in a row, after which the next one is another episode
STEADY = 255  # as far as events since an alarm are counted
FARTHEST = 2**32  # offsets from an episode's first event, at which its peak may be

EPISODE = np.dtype(
    [
        ("first", "<i8"),  # offset of the event that it began with
        ("peak", "<i8"),  # offset of the event with the highest score so far
        ("start", "<f8"),  # Unix seconds of the first event
        ("end", "<f8"),  # of the newest anomalous one
        ("score", "<f8"),  # the highest
        ("anomalies", "<u4"),  # anomalous events so far
        ("state", "u1"),  # NONE: there is nothing to tell
        ("was", "u1"),  # the state before the event
    ],
    align=True,
)

Structured = npt.NDArray[np.void]


@compiled
def follow_episode(
    row: np.void,
    score: float,
    alarm: bool,
    suppressed: bool,
    offset: int,
    time: float,
    said: np.void,
) -> None:
    """Move a stream's episode on by one event; said: of EPISODE, zeros where nothing changes.

    An anomalous event that is suppressed belongs to an episode that is open, and makes it neither
    worse nor open again: nobody is to hear of it.
    """
    before = row["phase"]
    if before == NONE or (before == CLOSED and row["quiet"] >= APART_EVENTS):
        if not alarm:
            return
        before = NONE
        row["episode"], row["episode_start"], row["episode_end"] = offset, time, time
        row["peak"], row["peak_after"], row["episode_anomalies"] = score, 0, 0
    if score >= 1.0 and (before == OPEN or not suppressed):
        row["phase"], row["quiet"] = OPEN, 0
        row["episode_anomalies"] += np.uint32(1)
        row["episode_end"] = max(row["episode_end"], time)
        after = offset - row["episode"]
        if score > row["peak"] and not suppressed and 0 <= after < FARTHEST:
            row["peak"] = np.float32(score)
            row["peak_after"] = np.uint32(after)
    elif before == CLOSED or score < UNUSUAL:
        row["quiet"] = min(row["quiet"] + 1, APART_EVENTS)
        if before == CLOSED or row["quiet"] < QUIET_EVENTS:
            return
        row["phase"] = CLOSED
    else:
        row["quiet"] = 0
        return
    said["first"] = row["episode"]
    said["peak"] = row["episode"] + row["peak_after"]
    said["start"] = row["episode_start"]
    said["end"] = row["episode_end"]
    said["score"] = row["peak"]
    said["anomalies"] = row["episode_anomalies"]
    said["state"] = row["phase"]
    said["was"] = before
