"""The partitions that a consumer group has given to this process, and their memories."""

import queue
import threading
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from service.detector import Detector
from service.errors import Unavailable
from service.kafka.transactions import Transactions
from service.memory.changelog import Changelog
from service.memory.kept import Left
from service.memory.store import memory_name
from service.records import Partition
from service.sinks.kafka import KafkaSink
from service.telemetry.logging import log
from service.upgrade import restore, streams_of

RETRY_SECONDS = 1.0


@dataclass(slots=True)
class Restoring:
    """A partition whose memories are being read, for each detector that watches it."""

    partition: Partition
    detectors: list[Detector]
    wanted: bool = True
    done: bool = False
    offset: int | None = None  # of the group: what was told up to there is not told again
    error: BaseException | None = None
    trouble: str | None = None  # why it takes so long

    def of(self, name: str) -> list[Detector]:
        return [detector for detector in self.detectors if detector.name == name]


@dataclass(slots=True)
class Assignment:
    """Whose memories are here, and which are on their way.

    `detectors` are those that are configured; each partition has memories of its own, so that they
    can go where it goes. They are read in a thread of their own while other partitions' events are
    scored. The methods belong to the pipeline's thread, or to one that it waits for.
    """

    detectors: Sequence[Detector]
    topics: Mapping[str, Container[str]]
    changelog: Changelog
    transactions: Transactions
    sink: KafkaSink
    here: dict[Partition, list[Detector]] = field(default_factory=dict)
    _coming: dict[Partition, Restoring] = field(default_factory=dict)
    _asked: "queue.SimpleQueue[Restoring | None]" = field(default_factory=queue.SimpleQueue)
    _closing: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def take(self, partitions: Iterable[Partition]) -> None:
        """Begin to read the memories of these partitions."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._restore_all, name="restore", daemon=True)
            self._thread.start()
        coming = [Restoring(one, self._fresh(one)) for one in sorted(partitions)]
        for restoring in coming:
            self._coming[restoring.partition] = restoring
            self._asked.put(restoring)

    def arrived(self) -> dict[Partition, int | None]:
        """Partitions whose memories are here since the last call, and the positions that they are
        current to, None where there are none; raises what kept them from being read."""
        arrived: dict[Partition, int | None] = {}
        for partition, restoring in list(self._coming.items()):
            if restoring.error is not None:
                raise restoring.error
            if restoring.done:
                del self._coming[partition]
                self.here[partition] = restoring.detectors
                self.transactions.resume(partition, restoring.offset)
                arrived[partition] = self.changelog.positions().get(partition)
                names = {detector.name for detector in restoring.detectors}
                streams = sum(streams_of(restoring.of(name)) for name in names)
                log.info("restored", topic=partition[0], partition=partition[1], streams=streams)
        if arrived:
            self._share()
        return arrived

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Their memories are somebody else's from now on."""
        for partition in partitions:
            self.sink.forget(partition)
            self.transactions.forget(partition)
            for detector in self.here.pop(partition, ()):
                self.changelog.forget(detector.memory)
            if partition in self._coming:
                self._coming.pop(partition).wanted = False
        self._share()

    @property
    def waiting_for(self) -> str | None:
        """Whose memories are on their way, in words."""
        coming = dict(self._coming)  # whoever asks is in another thread
        if not coming:
            return None
        if troubles := sorted({one.trouble for one in coming.values() if one.trouble}):
            return "; ".join(troubles)
        names = ", ".join(f"{topic}-{number}" for topic, number in sorted(coming))
        some = [detector for one in coming.values() for detector in one.detectors]
        return f"the memories of {names}: {sum(len(d.arena) for d in some):,} streams so far"

    def close(self) -> None:
        self._closing.set()
        if self._thread is None:
            self.changelog.let_go()
        else:
            self._asked.put(None)
            self._thread.join()

    def leave(self) -> dict[str, Left]:
        """What a service that follows in this process need not read again."""
        every = chain.from_iterable(self.here.values())
        return self.changelog.leave({one.memory: one.arena for one in every if one.all_saved})

    def _fresh(self, partition: Partition) -> list[Detector]:
        """Those that watch a partition, with memories to be read."""
        return [
            one.another(memory_name(one.name, one.artifact.fingerprint_text, partition))
            for one in self.detectors
            if partition[0] in self.topics[one.name]
        ]

    def _share(self) -> None:
        for memories in self.here.values():
            for detector in memories:
                detector.share(len(self.here))

    def _restore_all(self) -> None:
        while (restoring := self._asked.get()) is not None:
            self._restore(restoring)
            if self._asked.empty():  # what we are given later was somebody else's
                self.changelog.let_go()
        self.changelog.let_go()
        self.changelog.stop_reading()

    def _restore(self, restoring: Restoring) -> None:
        self.changelog.going_on = lambda: restoring.wanted and not self._closing.is_set()
        try:
            while self.changelog.going_on() and not restoring.done:
                self._try(restoring)
        except BaseException as error:  # noqa: BLE001 - it belongs to the pipeline's thread
            restoring.error = error

    def _try(self, restoring: Restoring) -> None:
        try:
            self._read(restoring)
        except Unavailable as error:
            restoring.trouble = str(error)
            log.warning("memories cannot be read yet, trying again", error=str(error))
            self.changelog.stop_reading()
            self._closing.wait(RETRY_SECONDS)
        else:
            restoring.done = True

    def _read(self, restoring: Restoring) -> None:
        """The offset first: as soon as it is known, no other owner's checkpoint can still count."""
        partition = restoring.partition
        names = {detector.name for detector in restoring.detectors}
        self.changelog.make_topics(partition, names)
        restoring.offset = self.changelog.committed(partition)
        for name in names:
            restore(restoring.of(name), self.changelog, self.changelog.take_left)
