"""One artifact after another: memories of the new one warm up while those of the old one speak.

Both score every event, and of each event one of them tells: the new one as soon as its memory of
the stream is warm, which is as confident as the old one's, and as old, or of the age that is asked
for. That follows from the two memories alone. So each stream changes over at one event, the same
one after a crash, and a new stream is told of by the new artifact from its first event on. The old
one goes on to score: whoever goes back to it finds its memories warm.

Where several detectors stand in a row here, one is followed by the one that it replaces.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from service.detector import Detector, Processed
from service.errors import StateError
from service.memory.store import StateStore
from service.records import Delivery, ScoredBatch
from service.telemetry.logging import log

Bools = npt.NDArray[np.bool_]
Known = tuple[Detector, dict[str, Any]]
"""A stream's memory as a person reads it, and whose it is."""


def told(scored: Iterable[tuple[Detector, Processed]]) -> list[Processed]:
    """Of what detectors made of one raw batch, what is told: each record once for each name."""
    parts: list[Processed] = []
    for _, pair in groupby(scored, lambda one: one[0].name):
        (detector, new), *replaced = pair
        if replaced:
            parts += _shared(new, replaced[0][1], detector.configured.warm_up_seconds)
        else:
            parts.append(new)
    return parts


def speaking(known: Iterable[Known]) -> dict[str, Known]:
    """By stream the memory that tells of its events."""
    found: dict[str, Known] = {}
    for detector, body in known:
        name = body["stream"]
        if name not in found or not _outgrown(found[name], body):
            found[name] = detector, body
    return found


def restore(detectors: Sequence[Detector], store: StateStore) -> None:
    """Take the stored memories back for detectors of one name (and one partition), and see to it
    that those of artifacts which are not configured any longer go with the next checkpoint.
    StateError where there are no others."""
    for detector in detectors:
        detector.restore(store)
    first, ours = detectors[0], {detector.memory for detector in detectors}
    others = {name: some for name, some in store.others(first.memory).items() if name not in ours}
    if any(others.values()):
        made_by = ", ".join(sorted(name.split(":")[1] for name, some in others.items() if some))
        if all(store.shape(memory) is None for memory in ours):
            raise StateError(
                f"detector {first.name}: its memories were made by artifact {made_by}, the "
                f"configured one is {first.artifact.fingerprint_text} ({first.artifact.folder}): "
                f"name the old one's folder as detectors.{first.name}.replaces, and its memories "
                "speak until new ones are warm; or start with another data_dir"
            )
        log.warning("memories of an artifact that was replaced go", artifact=made_by)
    first.outlived = tuple(others)


def _shared(new: Processed, old: Processed, warm_up: float) -> list[Processed]:
    """Each without the records of which the other tells."""
    raw = new.delivery.raw
    warm = _warm(
        *_memories(new.delivery.scored, len(raw)),
        *_memories(old.delivery.scored, len(raw)),
        warm_up,
    )
    if warm.all():
        return [new]
    parts = [replace(old, delivery=_only(old.delivery, ~warm))]
    if warm.any():
        part = _only(new.delivery, warm)
        # What is counted of a batch is counted once, with the other's.
        parts.append(
            replace(
                new, delivery=part, late=0, ignored_fields=0, missing_values=0, stream_seconds=0.0
            )
        )
    return parts


def _memories(scored: ScoredBatch, records: int) -> tuple[Any, Any]:
    """(records,) each: confidence and age of the memory that scored a record, -1 where none did."""
    confidences, ages = np.full((2, records), -1.0)
    confidences[scored.records] = scored.scores["confidence"]
    ages[scored.records] = scored.memory_ages
    return confidences, ages


def _warm(confidence: Any, age: Any, old_confidence: Any, old_age: Any, warm_up: float) -> Any:
    """Whether a new memory may speak instead of an old one; arrays of any shape, or numbers."""
    return (confidence >= old_confidence) & (age >= np.minimum(old_age, warm_up))


def _outgrown(new: Known, old: dict[str, Any]) -> bool:
    detector, body = new
    known = (body["confidence"], body["age_seconds"], old["confidence"], old["age_seconds"])
    return bool(_warm(*known, detector.configured.warm_up_seconds))


def _only(delivery: Delivery, chosen: Bools) -> Delivery:
    """What came of some of the records."""
    raw, scored = delivery.raw, delivery.scored
    offsets = set(raw.offsets[chosen].tolist())
    part = scored.only(np.flatnonzero(chosen[scored.records]))
    letters = [letter for letter in delivery.dead_letters if letter.offset in offsets]
    return replace(
        delivery,
        scored=part,
        anomalies=[one for one in delivery.anomalies if one["offset"] in offsets],
        dead_letters=letters,
        replayed=len(offsets) - len(part) - len(letters),
    )
