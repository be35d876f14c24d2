"""One detector: its decoder, its streams' memories, its scorer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from model.admission import LATE, REPEATED, REPLAYED
from model.artifact import Artifact
from model.feedback import eased, tolerated
from model.judge import confidence_of, threshold_of
from model.row import Bytes, RowLayout, RowTable
from model.scorer import Scored, Scorer, directions_of
from model.suppression import Rule, rule_table
from service.clock import format_time
from service.decoding.json import Decoded, JsonDecoder, dead_letter
from service.errors import RecordRejected
from service.memory.arena import LEAST_CAPACITY, Arena, feature_of, machine_memory, relaid
from service.memory.names import FREE
from service.memory.packs import Plan
from service.memory.store import (
    Changed,
    Checkpoint,
    Idle,
    InMemoryStore,
    Positions,
    Shape,
    StateStore,
    memory_name,
    require_format,
)
from service.mutes import Mutes
from service.records import (
    DeadLetter,
    Delivery,
    Names,
    Partition,
    RawBatch,
    ScoredBatch,
    anomaly_of,
    episode_of,
)

REFUSED = {
    LATE: ("late", "behind the stream's newest time by more than limits.max_clock_skew_seconds"),
    REPEATED: ("repeated", "the same time and values as the stream's last event"),
}

TOGETHER = 10_000  # memories that are moved at once
LEAVING = 0.1  # share of the memories that leave together, at least, when there is no more room
MEMORY_SHARE = 0.5  # of the machine's, for memories, unless a bound is set
OUTLASTS_RESET = (
    "origin", "offset", "episode", "episode_start", "episode_end", "peak", "peak_after",
    "episode_anomalies", "quiet", "phase", "tolerance",
)  # fmt: skip
"""Of a row's head: what was read, what was told, and what a person said of it."""
NONE = np.empty(0, np.int64)
NOBODY = Names.of([])

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Saving:
    """What a checkpoint writes of one detector, and the arena's plan of it."""

    changed: Changed
    plan: Plan


@dataclass(frozen=True, slots=True)
class Processed:
    """What one raw batch came to, with the counts that metrics want beside it."""

    delivery: Delivery
    late: int
    ignored_fields: int
    missing_values: int
    stream_seconds: float
    recalled: int


@dataclass(frozen=True, slots=True)
class Configured:
    """What is configured of a detector, the same for the memories of every partition.

    `features` are those to watch; with a discovering decoder they grow as new ones are seen.
    `max_resident` streams are kept in memory, None for as many as fit into `memory_share` of the
    machine's; the others' memories wait in the store. `capacity` is how many there is room for,
    None for as many as the machine's memory holds. `warm_up_seconds`: see `service.upgrade`. With
    `keeps_features` those that memories know are watched as well.
    """

    name: str
    artifact: Artifact
    features: tuple[str, ...]
    decoder: JsonDecoder
    directions: Mapping[str, int]
    budget_per_week: float
    skew: float
    rules: Mapping[str, Rule] = field(default_factory=dict)
    mutes: Mutes = field(default_factory=Mutes)
    max_resident: int | None = None
    memory_share: float = MEMORY_SHARE
    capacity: int | None = None
    warm_up_seconds: float = 0.0
    keeps_features: bool = False


class Detector:
    """Scores the records of one detector. All of it belongs to the pipeline's thread.

    `memory` is what the store calls its streams' memories.
    """

    def __init__(self, configured: Configured, memory: str | None = None) -> None:
        artifact = configured.artifact
        self.configured = configured
        self.name = configured.name
        self.memory = memory or memory_name(configured.name, artifact.fingerprint_text)
        self.artifact = artifact
        self.features = configured.features
        self.decoder = configured.decoder
        self.scorer = Scorer(
            artifact,
            directions_of(configured.features, configured.directions),
            configured.budget_per_week,
            configured.skew,
        )
        self._outdated: Shape | None = None
        self._parts = 1
        self._reshaped = False
        self._store: StateStore = InMemoryStore()
        self._fetched: list[Idle] = []
        self._returned: list[str] = []
        self.idle = 0
        """Memories that are in the store alone."""
        self.arena = self._new_arena(self.features)

    @property
    def shape(self) -> Shape:
        return Shape(self.artifact.fingerprint_text, self.features)

    def restore(self, store: StateStore, left: Arena | None = None) -> None:
        """Take the stored memories back; `left` has them as they are stored, where it is known.

        Those of idle streams stay in the store until an event asks for them.
        """
        self._store = store
        wanted = self.configured.features
        if left is None:
            for shape, packs in groupby(store.packs(self.memory), itemgetter(0)):
                self._start_as(shape)
                self.arena.restore(pack for _, pack in packs)
            self.arena.require_whole()
        stored = store.shape(self.memory)
        if left is not None and stored is not None:
            self._start_as(stored)
            self.arena = left
        if stored is None:
            if self.features != wanted:  # of memories that went
                self._start_as(replace(self.shape, features=wanted))
            return
        if stored != self.shape:  # there are idle memories alone
            self._start_as(stored)
        self.idle = store.idle_count(self.memory)
        if self.decoder.fields.discover or self.configured.keeps_features:
            wanted = stored.features + tuple(f for f in wanted if f not in stored.features)
        self._outdated = stored if set(stored.features) - set(wanted) else None
        if wanted != stored.features:
            self._reshape(wanted)

    def _start_as(self, shape: Shape) -> None:
        """Have an empty arena for rows of this shape."""
        require_format(shape, self.name)
        self.features = shape.features
        self.arena = self._new_arena(shape.features)

    def forget_features(self, positions: Positions) -> None:
        """After `restore`: let idle streams forget the features that are no longer watched, as the
        others did. Should one be watched again, it starts fresh."""
        stored, features = self._outdated, self.features
        if stored is None:
            return
        layout = self.artifact.layout(len(features))
        fresh = self.artifact.fresh_rows(len(features))
        after = ""
        while some := self._store.idle_after(self.memory, after, "", TOGETHER):
            rows = [self._row_of(idle, features, layout, fresh) for idle in some]
            names, after = [idle.stream for idle in some], some[-1].stream
            changed = Changed(
                stored, 0, left=names, left_rows=np.stack(rows), left_features=features,
                returned=names,
            )  # fmt: skip
            self._store.save(Checkpoint(positions, {self.memory: changed}))
        self._outdated = None

    def warm_up(self) -> None:
        """Compile or load the compiled loops now, not on the first event: another detector takes
        an event from bytes to a score."""
        features = self.features or ("warm-up",)
        other = self.another(self.memory, features, LEAST_CAPACITY)
        event = {self.decoder.fields.key: "warm-up", **dict.fromkeys(features, 0.0)}
        records = [msgspec.json.encode(event)]
        other.process(
            RawBatch.of(("warm-up", 0), np.zeros(1, np.int64), np.ones(1), [None], records)
        )
        other.stream("warm-up")

    def another(
        self,
        memory: str,
        features: tuple[str, ...] | None = None,
        capacity: int | None = None,
    ) -> "Detector":
        """The same with memories of its own, fresh ones."""
        configured = replace(
            self.configured,
            features=self.features if features is None else features,
            capacity=capacity or self.configured.capacity,
        )
        return Detector(configured, memory)

    def share(self, parts: int) -> None:
        """Keep to this part of the room: as many share it."""
        self._parts = parts
        self._most = self._most_of(self.features)

    @property
    def most_resident(self) -> int:
        """Streams that there is room for: no more may have events in a batch."""
        return self._most

    def process(self, raw: RawBatch) -> Processed:
        """Decode and score one raw batch; every record ends in one part of the delivery."""
        decoded = self.decode(raw)
        self.fetch(decoded)
        return self.score(raw, decoded)

    def decode(self, raw: RawBatch) -> Decoded:
        return self.decoder.decode(raw, self.features)

    def score(self, raw: RawBatch, decoded: Decoded) -> Processed:
        if decoded.features != self.features:
            self._reshape(decoded.features)
        events = decoded.events
        slots, _ = self.arena.slots_of(events.streams)
        recalled = self._recall()
        scored = self.scorer.score(
            self.arena.table, slots, events.offsets, origin_of(raw.partition), events.times,
            events.timed, events.values, events.categories,
            self.configured.mutes.of(self.name, events.streams, events.times, self.features),
        )  # fmt: skip
        self.arena.mark(slots)
        batch = self._scored_batch(raw, decoded, scored)
        delivery = Delivery(
            raw=raw,
            scored=batch,
            anomalies=[anomaly_of(batch, int(i)) for i in np.flatnonzero(batch.anomalous)],
            episodes=[episode_of(batch, int(i)) for i in np.flatnonzero(batch.episodes["state"])],
            dead_letters=sorted(
                decoded.dead_letters + self._refused(raw, decoded, scored),
                key=lambda letter: letter.offset,
            ),
            replayed=int(np.count_nonzero(scored.verdicts == REPLAYED)),
        )
        return Processed(
            delivery=delivery,
            late=int(np.count_nonzero(scored.late)),
            ignored_fields=decoded.ignored_fields,
            missing_values=decoded.missing_values,
            stream_seconds=max(0.0, float(scored.grown.sum())),  # a wrong clock may go back
            recalled=recalled,
        )

    def crowded_out(self, events: Decoded | None) -> I64:
        """Slots that a checkpoint must free before these events can be scored, some at a time, none
        where there is room; without events, for the memories that are here already."""
        if events is None:
            return self.arena.longest_idle(NOBODY, self._most, LEAVING)[:TOGETHER]
        same = events.features == self.features
        most = self._most if same else self._most_of(events.features)
        return self.arena.longest_idle(events.events.streams, most, LEAVING)[:TOGETHER]

    def _most_of(self, features: tuple[str, ...]) -> int:
        """How many streams of so many features may be resident."""
        row_bytes = self.artifact.layout(len(features)).row_bytes
        room = self.configured.capacity or max(1, machine_memory() // row_bytes)
        most = min(self.configured.max_resident or int(self.configured.memory_share * room), room)
        return max(1, most // self._parts)

    @property
    def all_saved(self) -> bool:
        """Whether the store has all of its memories as they are."""
        waiting = self._reshaped or self._outdated or self._fetched or self._returned
        return not waiting and self.arena.all_saved

    def changed(self, leaving: I64 = NONE) -> Saving:
        """What the next checkpoint must save, and free of slots; pass it to `saved` after."""
        plan = self.arena.plan(leaving)
        changed = Changed(
            shape=self.shape,
            memories=len(plan.changed),
            packs=self.arena.packs(plan),
            dropped=() if self._reshaped else plan.dropped,
            left=list(self.arena.names.of(leaving)),
            left_rows=self.arena.table.bytes[leaving],
            returned=tuple(self._returned),
            replace_all=self._reshaped,
        )
        return Saving(changed, plan)

    def saved(self, saving: Saving) -> None:
        self.arena.saved(saving.plan)
        self.idle += len(saving.plan.leaving)
        self._returned.clear()
        self._reshaped = False

    def fetch(self, decoded: Decoded) -> None:
        """Read the memories that these events' streams have left in the store; Unavailable where it
        does not answer."""
        if self.idle:
            streams = decoded.events.streams
            strangers = streams.only(self.arena.names.known(streams) == FREE)
            self._fetched = self._store.idle(self.memory, sorted(set(strangers)))

    def _recall(self) -> int:
        """Let streams go on from the memories that were fetched; returns how many did."""
        names = [idle.stream for idle in self._fetched]
        slots = self.arena.names.known(Names.of(names))
        if (slots == FREE).any():
            raise AssertionError(f"{self.memory}: a memory came back that has no place here")
        for idle, slot in zip(self._fetched, slots, strict=True):
            self.arena.table.bytes[slot] = self._row_now(idle)
        self._returned += names
        self.idle -= len(names)
        self._fetched = []
        return len(names)

    def _row_now(self, idle: Idle) -> Bytes:
        return self._row_of(idle, self.features, self.arena.layout, self.arena.fresh)

    def _row_of(
        self, idle: Idle, features: tuple[str, ...], layout: RowLayout, fresh: Bytes
    ) -> Bytes:
        """(row_bytes,), as it would be, had it been here when features changed."""
        row = np.frombuffer(idle.row, np.uint8)
        if idle.features == features:
            return row
        table = RowTable(self.artifact.layout(len(idle.features)), row[None])
        return relaid(table, idle.features, layout, features, fresh).bytes[0]

    def stream(self, name: str) -> dict[str, Any] | None:
        """One stream's memory as a person reads it, None where the stream is not known."""
        table = self._copy_of(name)
        if table is None:
            return None
        head = table.head[0]
        return {
            **self.summary(name, table),
            "first_time": format_time(float(head["first_time"])),
            "usual_gap_seconds": float(head["gap"]),
            "offset": int(head["offset"]),
            "late": int(head["late"]),
            "artifact": self.artifact.fingerprint_text,
            "memory_bytes": table.layout.row_bytes,
            "features": {
                feature: feature_of(table, f)
                for f, feature in enumerate(self.features)
                if table.features[0, 0, f]["count"]
            },
        }

    def what_if(self, name: str, raw: RawBatch) -> Delivery | None:
        """What events would come to, were they the next ones of a stream; nothing changes. None
        where the stream is not known."""
        table = self._copy_of(name)
        if table is None:
            return None
        other = self.another(self.memory, capacity=LEAST_CAPACITY)
        other.decoder = self.decoder.of_json  # what somebody asks must not keep a registry busy
        other.arena.take_over(Names.of([name]), np.zeros(1, np.int64), table.bytes)
        return other.process(raw).delivery

    def reset(self, name: str) -> bool:
        """Let a stream begin anew; False where it is not known. Where its events were read up to,
        the episode that was told of, and what a person said of it stay."""
        return self._replace(name, self.arena.fresh)

    def rewind(self, then: Idle) -> bool:
        """Let a stream go on from what it was remembered by then; otherwise as `reset`."""
        return self._replace(then.stream, self._row_now(then))

    def _replace(self, name: str, row: Bytes) -> bool:
        slots = self._held(name)
        if slots is None:
            return False
        head = self.arena.table.head
        kept = {part: head[part][slots] for part in OUTLASTS_RESET}
        self.arena.table.bytes[slots] = row
        for part, value in kept.items():
            head[part][slots] = value
        return True

    def memory_now(self, name: str) -> Idle | None:
        """What a stream is remembered by, None where it is not known."""
        table = self._copy_of(name)
        return None if table is None else Idle(name, self.features, table.bytes.tobytes())

    def tolerate(self, name: str, tolerance: int) -> bool:
        """Note what a person said of it, see `model.feedback`; False where it is not known."""
        slots = self._held(name)
        if slots is None:
            return False
        self.arena.table.head["tolerance"][slots] = tolerance
        return True

    def _held(self, name: str) -> I64 | None:
        """(1,), the slot of a stream whose row is about to change, and which is back from the store
        if it was idle; None where it is not known. Whoever asks may come while fetched memories
        wait for their events: those come back as well, for the next checkpoint to write."""
        if not self.remembers(name):
            return None
        names = [name, *(idle.stream for idle in self._fetched)]
        if self.arena.names.find(name) is None and name not in names[1:]:
            self._fetched += self._store.idle(self.memory, [name])
        slots, _ = self.arena.slots_of(Names.of(names))
        self._recall()
        self.arena.mark(slots)
        return slots[:1]

    def memory_of(self, streams: Names) -> tuple[F64, F64]:
        """(n,) each: confidence and age of resident memories, -inf where a stream has none."""
        slots = self.arena.names.known(streams)
        head, known = self.arena.table.head[slots], slots != FREE
        ages = np.where(known, head["time"] - head["first_time"], -np.inf)
        return np.where(known, confidence_of(head["scored"]), -np.inf), ages

    def remembers(self, name: str) -> bool:
        """Whether a stream has a row, also one that was reset and has had no event since: as such
        it is not known."""
        return self._row(name) is not None

    def _copy_of(self, name: str) -> RowTable | None:
        """One stream's row, None where the stream is not known."""
        table = self._row(name)
        return None if table is None or table.head["scored"][0] == 0 else table

    def _row(self, name: str) -> RowTable | None:
        table = self.arena.row(name)
        if table is None and self.idle:
            idle = self._store.idle(self.memory, [name])
            table = RowTable(self.arena.layout, self._row_now(idle[0])[None]) if idle else None
        return table

    def streams(self, after: str | None, limit: int, prefix: str = "") -> list[dict[str, Any]]:
        """Summaries of streams in the order of their names, those behind `after`."""
        resident = (
            name
            for name in self.arena.names
            if name.startswith(prefix) and (after is None or name > after)
        )
        here = ((name, self.arena.row(name)) for name in sorted(resident))
        away = self._away(after or "", limit, prefix)
        known = (
            self.summary(name, table)
            for name, table in merge(here, away, key=itemgetter(0))
            if table is not None and table.head["scored"][0]
        )
        return list(islice(known, limit))

    def _away(self, after: str, size: int, prefix: str) -> Iterator[tuple[str, RowTable]]:
        """Streams whose rows are in the store alone, in the order of their names, read so many at a
        time."""
        while self.idle and (some := self._store.idle_after(self.memory, after, prefix, size)):
            after = some[-1].stream
            for idle in some:
                if self.arena.names.find(idle.stream) is None:
                    yield idle.stream, RowTable(self.arena.layout, self._row_now(idle)[None])

    def summary(self, name: str, table: RowTable) -> dict[str, Any]:
        """A stream's row in short, as a person reads it."""
        head = table.head[0]
        threshold = threshold_of(head["pace"], self.scorer.budget_per_week)
        threshold *= eased(int(head["tolerance"]))
        return {
            "stream": name,
            "detector": self.name,
            "events": int(head["scored"]),
            "time": format_time(float(head["time"])),
            "age_seconds": max(0.0, float(head["time"] - head["first_time"])),
            "score": float(head["score"]),
            "level": float(head["level"]),
            "threshold": 10.0**-threshold,
            "tail_probability": 10.0 ** (-threshold * float(head["score"])),
            "confidence": float(confidence_of(head["scored"])),
            "anomalies": int(head["anomalies"]),
            "alarms": int(head["alarms"]),
            "tolerated": tolerated(int(head["tolerance"])),
        }

    def _scored_batch(self, raw: RawBatch, decoded: Decoded, scored: Scored) -> ScoredBatch:
        events = decoded.events
        if len(scored.admitted) < len(events):
            events = events.only(scored.admitted)
        return ScoredBatch(
            detector=self.name,
            artifact=self.artifact.fingerprint_text,
            partition=raw.partition,
            features=self.features,
            streams=events.streams,
            records=events.records,
            offsets=events.offsets,
            times=events.times,
            values=events.values,
            scores=scored.scores,
            expected=scored.expected,
            spread=scored.spread,
            surprise=scored.surprise,
            view_names=self.artifact.config.views,
            episodes=scored.episodes,
            memory_ages=scored.ages,
            rules=self.configured.rules,
        )

    def _refused(self, raw: RawBatch, decoded: Decoded, scored: Scored) -> list[DeadLetter]:
        return [
            dead_letter(self.name, raw, int(decoded.events.records[i]), RecordRejected(*refusal))
            for verdict, refusal in REFUSED.items()
            for i in np.flatnonzero(scored.verdicts == verdict)
        ]

    def _new_arena(self, features: tuple[str, ...]) -> Arena:
        self.scorer.directions = directions_of(features, self.configured.directions)
        self.scorer.rules = rule_table(features, self.configured.rules)
        layout, fresh = self.artifact.layout(len(features)), self.artifact.fresh_rows(len(features))
        self._most = self._most_of(features)
        return Arena(layout, fresh, self.configured.capacity)

    def _reshape(self, features: tuple[str, ...]) -> None:
        """Go on with other features: every memory is laid out again, by the features' names."""
        old, have = self.arena, self.features
        self.arena, self.features = self._new_arena(features), features
        self._reshaped = True
        layout, fresh = self.arena.layout, self.arena.fresh
        for streams, used, table in old.parts(TOGETHER):
            self.arena.take_over(streams, used, relaid(table, have, layout, features, fresh).bytes)


def origin_of(partition: Partition) -> int:
    """A number that tells partitions apart within a row; never 0, which means none."""
    return (crc32(partition[0].encode()) << 32 | partition[1]) + 1
