"""The loop: poll → decode → score → deliver → checkpoint. Read this first.

One thread runs it and owns all that it touches. The checkpoint's order is the guarantee: what was
delivered is flushed, then memories and positions are saved together, then the source is told. What
a crash leaves undone is read again, and comes out the same, under the same names.
"""

import queue
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import chain, repeat
from math import inf, nan
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from service.assignment import Assignment
from service.clock import now
from service.decoding.json import Decoded
from service.detector import NONE, Detector, Processed
from service.errors import StateError, Unavailable, Unsaved, Unsettled, WakefulError
from service.memory.store import Changed, Checkpoint, Idle, Positions, StateStore, owner_of
from service.mutes import Mutes
from service.pace import Pace
from service.records import Partition, RawBatch, severity_of
from service.sinks.sink import Sink
from service.sources.source import Source
from service.telemetry.logging import log
from service.telemetry.metrics import Metrics
from service.upgrade import restore, streams_of, told

T = TypeVar("T")

I64 = npt.NDArray[np.int64]

POLL_SECONDS = 0.1
HEARD_SECONDS = 5.0  # after which what was heard of the lag says nothing of now
FLUSH_SECONDS = 0.5  # between writing what sinks have gathered, where that is not a checkpoint's
RETRY_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0)  # back-off while a dependency is away; the last repeats


class Pipeline:
    """Feeds the records of one source through the detectors that watch them.

    One of `detectors` may be followed by one of the same name, the one that it replaces.
    `topics` maps each detector to the topics that it watches, for sources that do not say. Where
    partitions come and go there is an `assignment`: each has memories of its own then.
    """

    def __init__(
        self,
        source: Source,
        detectors: Sequence[Detector],
        topics: Mapping[str, Container[str]],
        store: StateStore,
        sinks: Sequence[Sink],
        metrics: Metrics,
        checkpoint_interval_seconds: float,
        assignment: Assignment | None = None,
        mutes: Mutes | None = None,
    ) -> None:
        self.source = source
        self._every = list(detectors)
        self.detectors = {detector.name: detector for detector in reversed(self._every)}
        self.topics = topics
        self.store = store
        self.sinks = sinks
        self.metrics = metrics
        self.assignment = assignment
        self._mutes = mutes or Mutes()
        self.positions: Positions = {}
        self._saved_positions: Positions = {}
        self.trouble: str | None = None  # what the pipeline waits for, in words
        self.checkpoint_trouble: str | None = None  # why the last one was postponed
        self._lag = 0
        self._lag_heard = -inf  # seconds of the monotonic clock
        self._undelivered = False
        self._restored = False
        self._reading = False
        self._stopping = threading.Event()
        self._questions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pace = Pace(checkpoint_interval_seconds)
        self._next_flush = 0.0

    def run(self, restored: Callable[[], object] = lambda: None) -> None:
        """Run until `stop`, or until the source is finished; then checkpoint.

        `restored` is called before the first record is read.
        """
        try:
            self.restore()
            restored()
            while not self._stopping.is_set() and not self.source.finished:
                try:
                    self.run_once()
                except Unsettled as error:
                    self._start_over(error)
            self.checkpoint()
        except (Unavailable, Unsettled) as error:
            if not self._stopping.is_set():
                raise
            log.warning("stopped without a last checkpoint; nothing is lost", error=str(error))
        finally:
            self._restored = False

    def run_once(self) -> None:
        asked = time.monotonic()
        batches = self._persist(lambda: self.source.poll(POLL_SECONDS))
        if self._lag == 0:
            self._pace.idle(time.monotonic() - asked)
        for raw in batches:
            if self._stopping.is_set():
                return  # what was not scored is read again
            watchers = self._watchers(raw)
            most = min((detector.most_resident for detector in watchers), default=len(raw))
            for part in raw.cut(most):
                with self._named(part):
                    self._process(watchers, part)
                self._attend()
        self._reading = True
        self._attend()
        self._lag, self._lag_heard = self.source.lag(), time.monotonic()

    @contextmanager
    def _named(self, raw: RawBatch) -> Iterator[None]:
        """Trace a batch; where it breaks what should not break, say which records it was."""
        first, last = raw.offsets[[0, -1]].tolist()
        with self.metrics.batch(raw.partition, first, len(raw)):
            try:
                yield
            except WakefulError:
                raise
            except Exception:
                topic, partition = raw.partition
                log.error("a batch broke", topic=topic, partition=partition, first=first, last=last)
                raise

    def _process(self, watchers: Sequence[Detector], raw: RawBatch) -> None:
        """Score the records for each detector, and deliver what came of them."""
        # What writes comes first: from the first delivery to the last, sinks have a part.
        ready = [(detector, self._prepared(detector, raw)) for detector in watchers]
        self._undelivered = bool(ready)
        scored = [(detector, self._score(detector, raw, decoded)) for detector, decoded in ready]
        for name in {detector.name for detector in watchers}:
            self.metrics.records.labels(name).inc(len(raw))
        for processed in told(scored):
            self._count(processed)
            self._deliver(processed)
        self._undelivered = False
        self.positions[raw.partition] = raw.next_offset

    def restore(self) -> None:
        """Take the memories and positions of the last checkpoint, and start the source there."""
        if self.assignment is not None:
            self._persist(self.assignment.transactions.open)
        for name, detector in self.detectors.items():
            replaces = len(self.artifacts(name)) > 1
            self.metrics.announce(name, detector.scorer.budget_per_week, replaces)
        for detector in self._every:
            detector.warm_up()
        for name in self.detectors:
            self._restore_of(name)
        self.positions = self.store.positions()
        self._saved_positions = dict(self.positions)
        self._persist(self._mutes.load)
        self.source.start(self.positions)
        for detector in self.memories():
            self._welcome(detector)
        self.metrics.checkpoint_time.set(now())  # nothing is newer than what was restored
        self._pace.done(time.monotonic())
        self._restored = True
        self.metrics.lag.set_function(lambda: nan if (lag := self.lag_records) is None else lag)
        self.metrics.ready.set_function(lambda: float(self.ready))

    def _restore_of(self, name: str) -> None:
        """The memories of one name; where these move, none are here yet."""
        if detectors := self.memories(name):
            restore(detectors, self.store)
            log.info("restored", detector=name, streams=streams_of(detectors))

    def checkpoint(self, leaving: Mapping[str, I64] = MappingProxyType({})) -> None:
        """Flush the sinks, save memories with their positions, tell the source.

        leaving: by name of memories, slots that are free then, as the store alone has what was in
        them. Raises Unavailable where a dependency is away; the last checkpoint stands then.
        """
        if self._undelivered:  # memories know of events whose outcome nobody was told
            raise Unavailable("a batch is not delivered yet")
        started = time.monotonic()
        with self.metrics.stage("checkpoint"):
            self._flush()
            by_memory = {detector.memory: detector for detector in self.memories()}
            savings = {
                name: detector.changed(leaving.get(name, NONE))
                for name, detector in by_memory.items()
            }
            changed = {
                name: saving.changed
                for name, saving in savings.items()
                if saving.changed.memories or saving.changed.replace_all
            }
            if changed or self.positions != self._saved_positions:
                self._save(changed)
                for name in changed:
                    by_memory[name].saved(savings[name])
                self.source.commit(self.positions)
            self._mutes.reload()
        ended = time.monotonic()
        self._pace.done(ended, ended - started)

    def memories(self, name: str | None = None) -> list[Detector]:
        """Every detector whose memories are here, one for each partition where these can move; of
        one name, or of all."""
        return list(chain.from_iterable(self.places(name)))

    def artifacts(self, name: str) -> list[Detector]:
        """What is configured under a name: the detector, and the one that it replaces if any."""
        return [detector for detector in self._every if detector.name == name]

    def places(self, name: str | None = None) -> list[list[Detector]]:
        """The same, those of one partition together."""
        here = [self._every] if self.assignment is None else list(self.assignment.here.values())
        chosen = ([one for one in place if name in (None, one.name)] for place in here)
        return [place for place in chosen if place]

    def reset(self, name: str, stream: str) -> bool:
        """Let a stream of a detector begin anew, and save it; False where it is not known here.
        Unsaved where it cannot be saved now."""
        return self._changed(name, stream, "reset", lambda detector: detector.reset(stream))

    def rewind(
        self, name: str, then: Mapping[str, Idle], partition: Partition | None = None
    ) -> bool:
        """Let a stream of a detector go on from what it was remembered by, by artifact's
        fingerprint, in one partition alone where these can move: in others it is another stream;
        otherwise as `reset`."""
        (stream,) = {idle.stream for idle in then.values()}

        def back(detector: Detector) -> bool:
            if partition is not None and owner_of(detector.memory)[2] != partition:
                return False
            idle = then.get(detector.artifact.fingerprint_text)
            return detector.reset(stream) if idle is None else detector.rewind(idle)

        return self._changed(name, stream, "rewind", back)

    def tolerate(self, name: str, stream: str, tolerance: int) -> bool:
        """Note what a person said of a stream, see `model.feedback`; otherwise as `reset`."""
        return self._changed(
            name, stream, "feedback", lambda detector: detector.tolerate(stream, tolerance)
        )

    def change_mutes(self, change: Callable[[], T]) -> T:
        """Have mutes changed between two checkpoints, from this thread: what was scored before is
        saved as it came out, and what comes after meets what counts now. Unavailable where it
        cannot be saved now; nothing is changed then."""
        self.checkpoint()
        changed = change()
        self._mutes.reload()
        return changed

    def _changed(
        self, name: str, stream: str, what: str, change: Callable[[Detector], bool]
    ) -> bool:
        found = [change(detector) for detector in self.memories(name)]
        if any(found):
            log.info(what, detector=name, stream=stream)
            try:
                self.checkpoint()
            except Unavailable as error:
                raise Unsaved(str(error)) from error
        return any(found)

    def begin(self, partition: Partition, position: int) -> None:
        """The partition is ours, with its memories, and is read from here on."""
        self.positions[partition] = position
        self._pace.hurry()  # to have it known
        for detector in self.memories():
            if owner_of(detector.memory)[2] in self.positions:  # others come in their turn
                self._welcome(detector)

    def leave(self, partitions: Iterable[Partition]) -> None:
        """They are somebody else's, and so are their memories."""
        for partition in partitions:
            self.positions.pop(partition, None)
            self._saved_positions.pop(partition, None)
        for detector in self.detectors.values():
            self._count_memories(detector)

    def stop(self) -> None:
        """Ask the loop to end; from any thread."""
        self._stopping.set()
        self.source.wake()

    @property
    def ready(self) -> bool:
        """Whether memories are restored and events are being read: a first poll has returned."""
        return self.waiting_for is None

    @property
    def lag_records(self) -> int | None:
        """Records that wait in the source; None where nobody has looked for a while."""
        heard = time.monotonic() - self._lag_heard <= HEARD_SECONDS
        return self._lag if heard else None

    @property
    def waiting_for(self) -> str | None:
        """What it is not ready for, in words."""
        if not self._restored:
            return self.trouble or "restore"
        coming = self.assignment.waiting_for if self.assignment else None
        unread = None if self._reading else "the first answer of the source"
        return self.trouble or coming or self.source.waiting_for or unread

    def ask(self, question: Callable[[], T]) -> "Future[T]":
        """Run `question` in the loop's thread, between batches; from any thread."""
        answer: Future[T] = Future()

        def run() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(question())
                except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
                    answer.set_exception(error)

        self._questions.put(run)
        self.source.wake()
        return answer

    def _watchers(self, raw: RawBatch) -> list[Detector]:
        if raw.detector is not None:
            if raw.detector not in self.detectors:
                raise StateError(
                    f"the log holds events of the detector {raw.detector!r}, which is not "
                    "configured: configure it again, or start with another data_dir"
                )
            return self.memories(raw.detector)
        if self.assignment is not None:
            return self.assignment.here[raw.partition]
        topic = raw.partition[0]
        return [detector for detector in self._every if topic in self.topics[detector.name]]

    def _prepared(self, detector: Detector, raw: RawBatch) -> Decoded:
        """What is in the records, with room for their streams and the memories that had left."""
        decoded = self._persist(lambda: self._decode(detector, raw))
        self._make_room(detector, decoded)
        self._persist(lambda: detector.fetch(decoded))
        return decoded

    def _decode(self, detector: Detector, raw: RawBatch) -> Decoded:
        with self.metrics.stage("decode"):
            return detector.decode(raw)

    def _welcome(self, detector: Detector) -> None:
        """Its memories are here."""
        self._persist(lambda: detector.forget_features(self._positions_of(detector)))
        self._make_room(detector)
        self._count_memories(detector)

    def _positions_of(self, detector: Detector) -> Positions:
        """What its memories alone are current to: others' events may have been scored since the
        last checkpoint, and are read again where nothing says that they were."""
        if self.assignment is None:
            return dict(self.positions)
        partition = owner_of(detector.memory)[2]
        return {partition: self.positions[partition]}

    def _make_room(self, detector: Detector, decoded: Decoded | None = None) -> None:
        """Let the longest idle memories leave for the store where these events need the room."""
        while len(leaving := detector.crowded_out(decoded)):
            self._persist(lambda: self.checkpoint({detector.memory: leaving}))
            self.metrics.evicted.labels(detector.name).inc(len(leaving))
            self._count_memories(detector)

    def _score(self, detector: Detector, raw: RawBatch, decoded: Decoded) -> Processed:
        with self.metrics.stage("score"):
            return detector.score(raw, decoded)

    def _deliver(self, processed: Processed) -> None:
        """Hand the outcome to every sink; while one is away, wait for it: nothing is dropped."""
        with self.metrics.stage("deliver"):
            for sink in self.sinks:
                self._persist(lambda sink=sink: sink.deliver(processed.delivery))  # type: ignore[misc]

    def _persist(self, action: Callable[[], T]) -> T:
        """Do it; while a dependency is away say so, answer questions, and try again."""
        for pause in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                done = action()
            except Unavailable as error:
                self.metrics.unavailable.inc()
                self.trouble = str(error)
                log.warning("unavailable, trying again", error=str(error), seconds=pause)
                self._answer()
                if self._stopping.wait(pause):
                    raise
            else:
                self.trouble = None
                return done
        raise AssertionError("repeat() has no end")

    def _save(self, changed: dict[str, Changed]) -> None:
        self.store.save(Checkpoint(dict(self.positions), changed))
        self._saved_positions = dict(self.positions)
        self.metrics.checkpoints.inc()
        self.metrics.checkpoint_rows.inc(sum(part.memories for part in changed.values()))
        self.metrics.checkpoint_time.set(now())

    def _flush(self, wait: bool = True) -> None:
        for sink in self.sinks:
            sink.flush(wait)

    def _try(self, saving: Callable[[], None]) -> None:
        """A checkpoint, or a part of one: while it cannot be, events are scored all the same."""
        try:
            saving()
            self.checkpoint_trouble = None
        except Unavailable as error:
            self.checkpoint_trouble = str(error)
            # The last checkpoint stands: a crash now reads further back, and loses nothing.
            self.metrics.unavailable.inc()
            log.warning("checkpoint postponed", error=str(error))
            self._pace.done(time.monotonic())

    def _attend(self) -> None:
        """What is due between batches."""
        self._answer()
        if self._pace.due(time.monotonic()):
            self._try(self.checkpoint)
        elif time.monotonic() >= self._next_flush:
            self._try(lambda: self._flush(wait=False))
            self._next_flush = time.monotonic() + FLUSH_SECONDS

    def _start_over(self, error: Unsettled) -> None:
        """Nobody knows what of the memories counts: have them from the store again."""
        log.warning("memories are read again", error=str(error))
        self._undelivered = False
        if self.assignment is not None:
            self._persist(self.assignment.transactions.open)  # what was begun ends before we look
        self.source.start(self.positions)

    def _answer(self) -> None:
        for _ in range(self._questions.qsize()):  # what comes meanwhile is for the next time
            self._questions.get()()

    def _count_memories(self, detector: Detector) -> None:
        name, metrics = detector.name, self.metrics
        arenas = [memory.arena for memory in self.memories(name)]
        metrics.streams.labels(name).set(sum(map(streams_of, self.places(name))))
        resident = [max(len(one.arena) for one in place) for place in self.places(name)]
        metrics.resident_streams.labels(name).set(sum(resident))
        metrics.memory_bytes.labels(name).set(sum(len(a) * a.layout.row_bytes for a in arenas))

    def _count(self, processed: Processed) -> None:
        metrics, delivery = self.metrics, processed.delivery
        name = delivery.scored.detector
        metrics.scored.labels(name).inc(len(delivery.scored))
        if delivery.scored.artifact != self.detectors[name].artifact.fingerprint_text:
            metrics.of_replaced.labels(name).inc(len(delivery.scored))
        metrics.replayed.labels(name).inc(delivery.replayed)
        metrics.late.labels(name).inc(processed.late)
        metrics.ignored_fields.labels(name).inc(processed.ignored_fields)
        metrics.missing_values.labels(name).inc(processed.missing_values)
        metrics.stream_seconds.labels(name).inc(processed.stream_seconds)
        metrics.recalled.labels(name).inc(processed.recalled)
        self._count_memories(self.detectors[name])
        for letter in delivery.dead_letters:
            metrics.rejected.labels(name, letter.reason).inc()
        for anomaly in delivery.anomalies:
            metrics.anomalies.labels(name, severity_of(anomaly["score"])).inc()
            metrics.alarms.labels(name).inc(anomaly["alarm"])
            if anomaly["suppressed"] is not None:
                metrics.suppressed.labels(name, anomaly["suppressed"]).inc()
        for episode in delivery.episodes:
            metrics.episodes.labels(name, episode["change"]).inc()
