"""One artifact after another: memories of the new one warm up while those of the old one speak.

Both score every event, and of each event one of them tells: the new one as soon as its memory of
the stream is warm, which is nearly as confident as the old one's, and nearly as old, or of the age
that is asked for. That follows from the two memories alone. So a stream changes over at one event
(once, unless its clock is turned back), the same one after a crash, and a new stream is told of by
the new artifact from its first event on. The old one goes on to score: whoever goes back to it
finds its memories warm. Once it is not configured any longer its memories stay as they are, until
somebody drops them.

Where several detectors stand in a row here, one is followed by the one that it replaces.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from service.detector import Detector, Processed
from service.errors import StateError
from service.memory.arena import Arena
from service.memory.store import StateStore, made_by
from service.records import Delivery

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
WARM = 0.9  # of what the old memory has: a record that one of the two did not take is no matter
Known = tuple[Detector, dict[str, Any]]
"""A stream's memory as a person reads it, and whose it is."""


def told(scored: Iterable[tuple[Detector, Processed]]) -> list[Processed]:
    """Of what detectors made of one raw batch, what is told: each record once for each name."""
    parts: list[Processed] = []
    for _, of_name in groupby(scored, lambda one: one[0].name):
        match list(of_name):
            case [(detector, new), (replaced, old)]:
                parts += _shared((detector, replaced), new, old)
            case [(_, alone)]:
                parts.append(alone)
            case more:
                raise ValueError(f"{len(more)} detectors of one name")
    return parts


def streams_of(detectors: Sequence[Detector]) -> int:
    """How many streams detectors of one name (and one partition) remember."""
    return max(len(detector.arena) + detector.idle for detector in detectors)


def speaking(known: Iterable[Known]) -> dict[str, Known]:
    """By stream the memory that tells of its events."""
    found: dict[str, Known] = {}
    for detector, body in known:
        name = body["stream"]
        if name not in found or not _outgrown(found[name], body):
            found[name] = detector, body
    return found


def restore(
    detectors: Sequence[Detector],
    store: StateStore,
    left: Callable[[str], Arena | None] = lambda _: None,
) -> None:
    """Take the stored memories back for detectors of one name (and one partition). StateError where
    there are none, but those of another artifact. `left` gives those that are here by name."""
    for detector in detectors:
        detector.restore(store, left(detector.memory))
    first, ours = detectors[0], {detector.memory for detector in detectors}
    others = sorted(made_by(name) for name in store.others(first.memory) - ours)
    if others and not any(store.knows(memory) for memory in ours):
        raise StateError(
            f"detector {first.name}: its memories were made by artifact {', '.join(others)}, the "
            f"configured one is {first.artifact.fingerprint_text} ({first.artifact.folder}): "
            f"name the old one's folder as detectors.{first.name}.replaces, and its memories speak "
            "until new ones are warm; or let them go with `wakeful state drop`"
        )


def _shared(
    detectors: tuple[Detector, Detector], new: Processed, old: Processed
) -> list[Processed]:
    """Each without the records of which the other tells."""
    warm = _warm(
        *_remembered(detectors[0], new, old), *_remembered(detectors[1], old, new),
        detectors[0].configured.warm_up_seconds,
    )  # fmt: skip
    if warm.all():
        return [replace(new, recalled=new.recalled + old.recalled)]
    parts = [replace(old, delivery=of_records(old.delivery, np.flatnonzero(~warm)))]
    if warm.any():
        part = of_records(new.delivery, np.flatnonzero(warm))
        # What is counted of a batch is counted once, with the other's.
        parts.append(
            replace(
                new, delivery=part, late=0, ignored_fields=0, missing_values=0, stream_seconds=0.0
            )
        )
    return parts


def _remembered(detector: Detector, processed: Processed, other: Processed) -> tuple[F64, F64]:
    """(records,) each: confidence and age of the memory of a record's stream, at its event; where
    this detector refused what the other scored, as it is now, and where neither did, -inf."""
    scored, by_other = processed.delivery.scored, other.delivery.scored
    confidences, ages = np.full((2, len(processed.delivery.raw)), -np.inf)
    refused = ~np.isin(by_other.records, scored.records)
    if refused.any():
        at = by_other.records[refused]
        confidences[at], ages[at] = detector.memory_of(by_other.streams.only(refused))
    confidences[scored.records] = scored.scores["confidence"]
    ages[scored.records] = scored.memory_ages
    return confidences, ages


def _warm(confidence: Any, age: Any, old_confidence: Any, old_age: Any, warm_up: float) -> Any:
    """Whether a new memory may speak instead of an old one; arrays of any shape, or numbers."""
    confident = confidence >= WARM * old_confidence
    return confident & (age >= np.minimum(WARM * old_age, warm_up))


def _outgrown(new: Known, old: dict[str, Any]) -> bool:
    detector, body = new
    known = (body["confidence"], body["age_seconds"], old["confidence"], old["age_seconds"])
    return bool(_warm(*known, detector.configured.warm_up_seconds))


def of_records(delivery: Delivery, records: I64) -> Delivery:
    """What came of some of the records, by their places in the batch."""
    offsets = set(delivery.raw.offsets[records].tolist())
    scored = delivery.scored
    part = scored.only(np.flatnonzero(np.isin(scored.records, records)))
    letters = [letter for letter in delivery.dead_letters if letter.offset in offsets]
    return replace(
        delivery,
        scored=part,
        anomalies=[one for one in delivery.anomalies if one["offset"] in offsets],
        episodes=[one for one in delivery.episodes if one["offset"] in offsets],
        dead_letters=letters,
        replayed=len(offsets) - len(part) - len(letters),
    )
