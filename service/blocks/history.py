"""What every stream was like: a sink that keeps scored events, and answers about one stream.

New events are in a head, full heads become blocks, and blocks are merged, thinned and dropped, all
that in a thread of its own. What was flushed is there again after a crash.
"""

import os
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from service.blocks import block as blocks_of
from service.blocks.block import Block
from service.blocks.columns import NO_BAND, Columns, Curves, curves_of, in_order, thin
from service.blocks.head import Head
from service.blocks.upkeep import FULL, GROUP, Drop, Merge, Thin, next_step
from service.clock import now
from service.errors import StateError, Unavailable
from service.memory.names import hash_of
from service.records import Delivery, ScoredBatch, read_only
from service.telemetry.logging import log

HEAD_VALUES = 2**19
HEAD_SECONDS = 60.0  # after which a head becomes a block, however little is in it
MOST_WAITING = 4  # full heads that are no blocks yet
PATIENCE_SECONDS = 5.0
RETRY_SECONDS = 5.0
DAY_SECONDS = 86_400.0
SEED = "seed"


class DetectorHistory:
    """The events of one detector, in a folder of its own.

    `put` and `save` belong to the pipeline's thread, `work` to the history's; `curves` to anyone.
    """

    def __init__(self, folder: Path, most_bytes: int, most_days: float, seed: np.uint64) -> None:
        self._folder, self._most_bytes, self._most_days = folder, most_bytes, most_days
        self._seed = seed
        self._lock = threading.Lock()  # of the lists; what is in them does not change
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.new"):
            left.unlink()
        self._blocks = _opened(folder)
        self._full = list(self._heads_left())
        newest = max((b.footer.heads[1] for b in self._blocks), default=0)
        self._numbers = count(1 + max([newest, *(head.number for head in self._full)]))
        self._head: Head | None = None
        self._began = 0.0

    def put(self, batch: ScoredBatch) -> None:
        """Take scored events."""
        at = 0
        while at < len(batch):
            head = self._head_for(batch.features)
            some = (
                batch if head.room >= len(batch) - at and at == 0 else _part(batch, at, head.room)
            )
            head.put(some, self._seed)
            at += len(some)

    def save(self) -> None:
        """Have what came on the disk; OSError where it cannot be."""
        for head in [*self._full, *([self._head] if self._head else [])]:
            head.save()
        if self._head is not None and now() - self._began > HEAD_SECONDS:
            self.close_head()

    @property
    def waiting(self) -> int:
        """Full heads that are no blocks yet."""
        return len(self._full)

    def work(self) -> bool:
        """Do one thing that is to be done; False where there is none."""
        if self._full:
            self._make_block(self._full[0])
            return True
        oldest = now() - self._most_days * DAY_SECONDS
        match next_step(self._blocks, self._most_bytes, oldest):
            case Drop(block):
                self._replace([block], None)
            case Thin(block):
                columns = thin(blocks_of.everything(block), GROUP)
                self._replace([block], self._written([block], columns, block.footer.thinned + 1))
            case Merge(blocks):
                columns = blocks_of.merged(blocks)
                self._replace(blocks, self._written(blocks, columns, blocks[0].footer.thinned))
            case None:
                return False
        return True

    def curves(self, stream: str, start: float, end: float, most: int) -> Curves | None:
        """A stream's events from `start` to `end`, about `most` of them at most; None where there
        are none. Those of another set of features than its newest event's are not shown."""
        name = read_only(stream.encode("utf-8", "surrogatepass"))
        key = np.uint64(hash_of(name, 0, len(name), self._seed))
        found = list(self._found(key, start, end))
        if not found:
            return None
        features = found[-1][0]
        parts = [_with(columns, has, features) for has, columns, _ in found]
        columns = in_order(Columns.joined(parts))
        thinned = any(thinned for *_, thinned in found)
        if len(columns) > most:
            columns, thinned = thin(columns, -(-2 * len(columns) // most)), True
        return curves_of(features, columns, thinned)

    def _found(
        self, key: np.uint64, start: float, end: float
    ) -> Iterator[tuple[tuple[str, ...], Columns, bool]]:
        """From the oldest on: features, events, whether there were more."""
        for columns, features, thinned in self._parts(key, start, end):
            chosen = columns.only((columns.times >= start) & (columns.times < end))
            if len(chosen):
                yield features, chosen, thinned

    def _parts(
        self, key: np.uint64, start: float, end: float
    ) -> Iterator[tuple[Columns, tuple[str, ...], bool]]:
        while True:
            with self._lock:
                blocks = list(self._blocks)
                heads = [*self._full, *([self._head] if self._head else [])]
                newest = [(head.of_stream(key), head.features, False) for head in heads]
            try:
                asked = [b for b in blocks if b.footer.start < end and b.footer.end >= start]
                parts = [
                    (_of_stream(b, key), b.footer.features, b.footer.thinned > FULL) for b in asked
                ]
            except FileNotFoundError:  # replaced meanwhile; then the list is another one
                continue
            yield from parts + newest
            return

    def _head_for(self, features: tuple[str, ...]) -> Head:
        if self._head is not None and (self._head.features != features or not self._head.room):
            self.close_head()
        if self._head is None:
            number = next(self._numbers)
            most = max(1, HEAD_VALUES // max(1, len(features)))
            head = Head(self._folder / f"{number:012}.head", number, features, most)
            with self._lock:
                self._head = head
            self._began = now()
        return self._head

    def close_head(self) -> None:
        """Let it become a block, however little is in it."""
        with self._lock:
            if self._head is not None:
                self._full = [*self._full, self._head]
            self._head = None

    def _heads_left(self) -> Iterator[Head]:
        """Those that a process before left, but such as are in a block already."""
        done = max((b.footer.heads[1] for b in self._blocks), default=0)
        for file in sorted(self._folder.glob("*.head")):
            head = Head.read(file, int(file.stem)) if int(file.stem) > done else None
            if head is None:
                file.unlink()
            else:
                yield head

    def _make_block(self, head: Head) -> None:
        columns = in_order(head.columns())
        number = head.number
        heads = number, number
        file = self._file(heads, FULL)
        made = blocks_of.write(file, head.features, columns, heads, now(), FULL)
        with self._lock:
            self._blocks = [*self._blocks, made]
            self._full = self._full[1:]
        head.file.unlink(missing_ok=True)

    def _written(self, blocks: list[Block], columns: Columns, thinned: int) -> Block:
        """In place of some blocks."""
        first, last = blocks[0].footer, blocks[-1].footer
        heads = first.heads[0], last.heads[1]
        file = self._file(heads, thinned)
        return blocks_of.write(file, last.features, columns, heads, last.written, thinned)

    def _replace(self, old: list[Block], new: Block | None) -> None:
        with self._lock:
            at = self._blocks.index(old[0])
            kept = [] if new is None else [new]
            self._blocks = [*self._blocks[:at], *kept, *self._blocks[at + len(old) :]]
        for block in old:
            block.file.unlink()

    def _file(self, heads: tuple[int, int], thinned: int) -> Path:
        """Another one for other content: somebody may be reading what it replaces."""
        return self._folder / f"{heads[0]}-{heads[1]}-{thinned}.block"


class StreamHistory:
    """The sink: every detector's history, and the thread that keeps them in order.

    `most_bytes` on the disk are shared by the detectors equally.
    """

    def __init__(
        self, folder: Path, detectors: list[str], most_bytes: int, most_days: float
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            seed = _seed(folder / SEED)
            self._of = {
                name: DetectorHistory(folder / name, most_bytes // len(detectors), most_days, seed)
                for name in detectors
            }
        except OSError as error:
            raise StateError(f"{folder}: {error.strerror}; the history needs room") from error
        self._wanted = threading.Event()
        self._worked = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)
        self._thread.start()

    def deliver(self, delivery: Delivery) -> None:
        if len(delivery.scored):
            self._of[delivery.scored.detector].put(delivery.scored)

    def flush(self, wait: bool = True) -> None:  # noqa: ARG002 - it is on the disk in any case
        try:
            for one in self._of.values():
                one.save()
        except OSError as error:
            raise Unavailable(f"history: {error}; is there room on the disk?") from error
        if any(one.waiting for one in self._of.values()):
            self._wanted.set()
            self._keep_up()

    def curves(
        self, detector: str, stream: str, start: float, end: float, most: int
    ) -> Curves | None:
        """See `DetectorHistory.curves`."""
        return self._of[detector].curves(stream, start, end, most)

    def close(self) -> None:
        self._closing = True
        self._wanted.set()
        self._thread.join()

    def finish(self) -> None:
        """Make blocks of all that came, and leave nothing to do; then it is closed."""
        self.close()
        for one in self._of.values():
            one.close_head()
            while one.work():
                """There may be more."""

    def _keep_up(self) -> None:
        """Where blocks are made slower than heads are filled, scoring waits for them."""
        with self._worked:
            if not self._worked.wait_for(self._kept_up, PATIENCE_SECONDS):
                raise Unavailable("history: blocks cannot be written; is there room on the disk?")

    def _kept_up(self) -> bool:
        most = max(one.waiting for one in self._of.values())
        return most <= MOST_WAITING or self._closing

    def _work(self) -> None:
        while not self._closing:
            self._wanted.wait()
            self._wanted.clear()
            try:
                while not self._closing and any(one.work() for one in self._of.values()):
                    with self._worked:
                        self._worked.notify_all()
            except (OSError, StateError) as error:
                log.warning("the history is not in order, trying again", error=str(error))
                threading.Timer(RETRY_SECONDS, self._wanted.set).start()


def _seed(file: Path) -> np.uint64:
    """Of the streams' hashes: nobody can choose names that collide."""
    if not file.exists():
        new = file.with_suffix(".new")
        new.write_bytes(os.urandom(8))
        new.replace(file)
    return np.uint64(int.from_bytes(file.read_bytes(), "little"))


def _opened(folder: Path) -> list[Block]:
    """From the oldest to the newest; what cannot be read is put aside."""
    blocks = []
    for file in folder.glob("*.block"):
        try:
            blocks.append(blocks_of.opened(file))
        except (StateError, OSError) as error:
            log.warning("a part of the history cannot be read, and is put aside", error=str(error))
            file.rename(file.with_suffix(".damaged"))
    return _without_merged(sorted(blocks, key=_place))


def _place(block: Block) -> tuple[int, int, int]:
    """What others were merged into, or thinned to, comes behind them."""
    first, last = block.footer.heads
    return last, -first, block.footer.thinned


def _without_merged(blocks: list[Block]) -> list[Block]:
    """Without those that are in a later one: a crash came before they were deleted."""
    kept: list[Block] = []
    for block in reversed(blocks):
        if kept and block.footer.heads[0] >= kept[-1].footer.heads[0]:
            block.file.unlink()
        else:
            kept.append(block)
    return kept[::-1]


def _of_stream(block: Block, key: np.uint64) -> Columns:
    try:
        return blocks_of.of_stream(block, key)
    except StateError as error:
        log.warning("a part of the history cannot be read", error=str(error))
        return Columns.empty(0, len(block.footer.features))


def _part(batch: ScoredBatch, at: int, most: int) -> ScoredBatch:
    return batch.only(np.arange(at, min(len(batch), at + most)))


def _with(columns: Columns, has: tuple[str, ...], wanted: tuple[str, ...]) -> Columns:
    """The same events with other features: those that were not watched had no values."""
    if has == wanted:
        return columns
    other = Columns.empty(len(columns), len(wanted))
    for new, old in zip(other.all()[:3], columns.all()[:3], strict=True):
        new[:] = old
    other.values[:], other.expected[:], other.spreads[:] = np.nan, np.nan, NO_BAND
    for f, name in enumerate(wanted):
        if name in has:
            for new, old in zip(other.all()[3:], columns.all()[3:], strict=True):
                new[:, f] = old[:, has.index(name)]
    return other
