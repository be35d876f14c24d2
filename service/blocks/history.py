"""What every stream was like: a sink that keeps scored events, and answers about one stream.

New events are in a head, full heads become blocks, and blocks are merged, thinned and dropped, all
that in a thread of its own. What was flushed is there again after a crash.
"""

import os
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from service.blocks import block as blocks_of
from service.blocks.block import Block
from service.blocks.columns import (
    F64,
    Columns,
    Curves,
    Kept,
    curves_of,
    fewer,
    in_order,
    kept_of,
    merged,
    scores_of,
    thin,
)
from service.blocks.head import Head
from service.blocks.upkeep import FULL, GROUP, Drop, Merge, Thin, next_step
from service.clock import now
from service.errors import StateError
from service.memory.names import hash_of
from service.records import Delivery, ScoredBatch, read_only
from service.telemetry.logging import log

HEAD_VALUES = 2**19
HEAD_SECONDS = 60.0  # after which a head becomes a block, however little is in it
MOST_WAITING = 4  # full heads that are no blocks yet
PATIENCE_SECONDS = 1.0
COMPLAIN_SECONDS = 60.0
MOST_READ = 4_000_000  # events of a stream, for one chart
DAY_SECONDS = 86_400.0
FOREVER = float("-inf"), float("inf")
SEED, SEED_BYTES = "seed", 8


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

    def let_go(self) -> None:
        """Give up the oldest full head, where it cannot become a block."""
        with self._lock:
            head, *self._full = self._full
        log.warning("events are missing in the history", events=head.events)

    def work(self) -> bool:
        """Do one thing that is to be done; False where there is none. StateError: something was
        damaged, and is put aside."""
        if self._full:
            self._make_block(self._full[0])
            return True
        oldest = now() - self._most_days * DAY_SECONDS
        match next_step(self._blocks, self._most_bytes, oldest):
            case Drop(block):
                self._replace([block], None)
            case Thin(block):
                features, columns = self._everything(block)
                thinned = block.footer.thinned + 1
                self._replace(
                    [block], self._written([block], features, thin(columns, GROUP), thinned)
                )
            case Merge(blocks):
                features, columns = merged([self._everything(block) for block in blocks])
                thinned = blocks[0].footer.thinned
                self._replace(blocks, self._written(blocks, features, columns, thinned))
            case None:
                return False
        return True

    def curves(self, stream: str, start: float, end: float, most: int) -> Curves | None:
        """A stream's events from `start` to `end`, about `most` of them at most; None where there
        are none. At most MOST_READ are looked at, the newest ones."""
        parts: list[tuple[tuple[str, ...], Columns]] = []
        thinned, read = False, 0
        for features, columns, less in self._newest_first(self._key(stream), start, end):
            chosen = columns.only((columns.times >= start) & (columns.times < end))
            thinned |= less and len(chosen) > 0
            read += len(chosen)
            if len(chosen) > most:
                chosen, thinned = fewer(chosen, most), True
            parts += [(features, chosen)] if len(chosen) else []
            if read > MOST_READ:
                thinned = True
                break
        if not parts:
            return None
        features, columns = merged(parts[::-1])
        if len(columns) > most:
            columns, thinned = fewer(columns, most), True
        return curves_of(features, columns, thinned)

    def kept(self, stream: str, end: float, most: int) -> Kept | None:
        """A stream's newest events before `end`, so many at most, as far back as none is missing
        between them: up to what was thinned. None where there are none."""
        parts: list[tuple[tuple[str, ...], Columns]] = []
        read = 0
        for features, columns, less in self._newest_first(self._key(stream), FOREVER[0], end):
            chosen = columns.only(columns.times < end)
            if read >= most or (less and len(chosen)):
                break
            read += len(chosen)
            parts += [(features, chosen)] if len(chosen) else []
        if not parts:
            return None
        features, columns = merged(parts[::-1])
        return kept_of(features, columns.only(slice(max(0, len(columns) - most), None)))

    def highest(self, stream: str, start: float, end: float, cells: int) -> F64:
        """(cells,), the highest score in equal parts of the time from `start` to `end`; NaN where
        there was no event."""
        found = np.full(cells, np.nan)
        read = 0
        for _, columns, _ in self._newest_first(self._key(stream), start, end):
            chosen = columns.only((columns.times >= start) & (columns.times < end))
            places = ((chosen.times - start) / (end - start) * cells).astype(np.int64)
            np.fmax.at(found, np.minimum(places, cells - 1), scores_of(chosen))
            read += len(chosen)
            if read > MOST_READ:
                break
        return found

    def newest(self, stream: str) -> float | None:
        """The time of the newest event, of the newest part in which the stream has any; None where
        there is none."""
        for _, columns, _ in self._newest_first(self._key(stream), *FOREVER):
            if len(columns):
                return float(columns.times.max())
        return None

    def _key(self, stream: str) -> np.uint64:
        name = read_only(stream.encode("utf-8", "surrogatepass"))
        return np.uint64(hash_of(name, 0, len(name), self._seed))

    def _newest_first(
        self, key: np.uint64, start: float, end: float
    ) -> Iterator[tuple[tuple[str, ...], Columns, bool]]:
        """Features, a stream's events, and whether there were more. Blocks that are replaced
        meanwhile come again as what they are replaced with: an event that is there twice is one."""
        with self._lock:
            heads = [*self._full, *([self._head] if self._head else [])]
            found = [head.of_stream(key) for head in heads]
        yield from ((features, columns, False) for features, columns in reversed(found))
        newer = sys.maxsize
        while block := self._block_before(newer, start, end):
            try:
                columns = blocks_of.of_stream(block, key)
            except FileNotFoundError:
                continue  # another one has its place
            except StateError as error:
                log.warning("a part of the history cannot be read", error=str(error))
            else:
                yield block.footer.features, columns, block.footer.thinned > FULL
            newer = block.footer.heads[0]

    def _block_before(self, number: int, start: float, end: float) -> Block | None:
        """The newest one of these times that begins with an older head."""
        with self._lock:
            blocks = self._blocks
        for block in reversed(blocks):
            footer = block.footer
            if footer.heads[0] < number and footer.start < end and footer.end >= start:
                return block
        return None

    def _head_for(self, features: tuple[str, ...]) -> Head:
        if self._head is not None and not self._head.room:
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
        features, columns = head.all()
        heads = head.number, head.number
        file = self._file(heads, FULL)
        made = blocks_of.write(file, features, in_order(columns), heads, now(), FULL)
        with self._lock:
            self._blocks = [*self._blocks, made]
            self._full = [one for one in self._full if one is not head]
        head.file.unlink(missing_ok=True)

    def _everything(self, block: Block) -> tuple[tuple[str, ...], Columns]:
        try:
            return block.footer.features, blocks_of.everything(block)
        except StateError:
            with self._lock:
                self._blocks = [one for one in self._blocks if one is not block]
            _put_aside(block.file)
            raise

    def _written(
        self, blocks: list[Block], features: tuple[str, ...], columns: Columns, thinned: int
    ) -> Block:
        """In place of some blocks."""
        first, last = blocks[0].footer, blocks[-1].footer
        heads = first.heads[0], last.heads[1]
        file = self._file(heads, thinned)
        return blocks_of.write(file, features, columns, heads, last.written, thinned)

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
        self._complained = 0.0
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)
        self._thread.start()

    def deliver(self, delivery: Delivery) -> None:
        if len(delivery.scored):
            self._of[delivery.scored.detector].put(delivery.scored)

    def flush(self, wait: bool = True) -> None:  # noqa: ARG002 - it is on the disk in any case
        """What cannot be kept is missing in charts, and keeps nothing else from going on."""
        for one in self._of.values():
            try:
                one.save()
            except OSError as error:
                self._complain(error)
        if any(one.waiting for one in self._of.values()):
            self._wanted.set()
            self._keep_up()

    def curves(
        self, detector: str, stream: str, start: float, end: float, most: int
    ) -> Curves | None:
        """See `DetectorHistory.curves`."""
        return self._of[detector].curves(stream, start, end, most)

    def kept(self, detector: str, stream: str, end: float, most: int) -> Kept | None:
        """See `DetectorHistory.kept`."""
        return self._of[detector].kept(stream, end, most)

    def highest(self, detector: str, stream: str, start: float, end: float, cells: int) -> F64:
        """See `DetectorHistory.highest`."""
        return self._of[detector].highest(stream, start, end, cells)

    def newest(self, detector: str, stream: str) -> float | None:
        """See `DetectorHistory.newest`."""
        return self._of[detector].newest(stream)

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
        """Where blocks are made slower than heads are filled, scoring waits for them, but not for
        ever."""
        with self._worked:
            kept_up = self._worked.wait_for(self._kept_up, PATIENCE_SECONDS)
        for one in self._of.values() if not kept_up else ():
            while one.waiting > MOST_WAITING:
                one.let_go()

    def _kept_up(self) -> bool:
        most = max(one.waiting for one in self._of.values())
        return most <= MOST_WAITING or self._closing

    def _work(self) -> None:
        while not self._closing:
            self._wanted.wait()
            self._wanted.clear()
            while not self._closing and any([self._step(one) for one in self._of.values()]):  # noqa: C419 - each has its turn
                with self._worked:
                    self._worked.notify_all()

    def _step(self, one: DetectorHistory) -> bool:
        """Whether something was done, and there may be more."""
        try:
            return one.work()
        except StateError as error:
            log.warning("a part of the history is damaged, and is put aside", error=str(error))
            return True
        except OSError as error:
            self._complain(error)
            return False

    def _complain(self, error: OSError) -> None:
        if now() > self._complained + COMPLAIN_SECONDS:
            self._complained = now()
            log.warning("the history cannot be written; is there room?", error=str(error))


def _seed(file: Path) -> np.uint64:
    """Of the streams' hashes: nobody can choose names that collide."""
    if not file.exists():
        new = file.with_suffix(".new")
        with new.open("wb") as out:
            out.write(os.urandom(SEED_BYTES))
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
    seed = file.read_bytes()
    if len(seed) != SEED_BYTES:
        raise StateError(f"{file}: is damaged; delete the folder, and the history begins anew")
    return np.uint64(int.from_bytes(seed, "little"))


def _opened(folder: Path) -> list[Block]:
    """From the oldest to the newest; what cannot be read is put aside."""
    blocks = []
    for file in folder.glob("*.block"):
        try:
            blocks.append(blocks_of.opened(file))
        except (StateError, OSError) as error:
            log.warning("a part of the history cannot be read, and is put aside", error=str(error))
            _put_aside(file)
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


def _put_aside(file: Path) -> None:
    file.rename(file.with_suffix(".damaged"))


def _part(batch: ScoredBatch, at: int, most: int) -> ScoredBatch:
    return batch.only(np.arange(at, min(len(batch), at + most)))
