"""What is to be done with the blocks of a detector, so that they stay few, and within their room.

The newest half of the room holds each event. Older blocks are thinned, of each 16 events of a
stream two stay, and in the last quarter once more; what is older than that has gone.
"""

from dataclasses import dataclass

from service.blocks.block import Block

FAN = 8  # blocks that become one, at least
WORTH = 4  # times the largest of them, that they come to together
GROUP = 16  # events of a stream, of which two stay
MOST_VALUES = 2**21  # in a block that others were merged into, at most
FULL, THIN, THINNER = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete a block."""

    block: Block


@dataclass(frozen=True, slots=True)
class Thin:
    """Let a block be thinner."""

    block: Block


@dataclass(frozen=True, slots=True)
class Merge:
    """Make one of neighbours."""

    blocks: list[Block]


def next_step(blocks: list[Block], most_bytes: int, oldest: float) -> Drop | Thin | Merge | None:
    """The first thing to do, None where all is well. `blocks` from the oldest to the newest;
    `oldest`: those written before may go."""
    newer = 0
    steps: list[Drop | Thin] = []
    for block in reversed(blocks):
        newer += block.size
        if block.footer.written < oldest or newer > most_bytes:
            steps.append(Drop(block))
        elif block.footer.thinned < _thinness(newer / most_bytes):
            steps.append(Thin(block))
    thinning = [step for step in steps if isinstance(step, Thin)]
    # What is thinned makes room for what would be dropped; the oldest comes first.
    expired = [step for step in steps if step.block.footer.written < oldest]
    for some in (expired, thinning, steps):
        if some:
            return some[-1]
    return _merge(blocks)


def _thinness(place: float) -> int:
    """How often a block is thinned, by its end's place in the room, 0 for the newest to 1."""
    return FULL if place <= 0.5 else THIN if place <= 0.75 else THINNER


def _merge(blocks: list[Block]) -> Merge | None:
    """The first neighbours that come to so much more than the largest of them that it is worth to
    write that one again."""
    for many in (FAN, 2 * FAN, 4 * FAN):
        for first in range(len(blocks) - many + 1):
            run = blocks[first : first + many]
            sizes = [_values(block) for block in run]
            alike = len({block.footer.thinned for block in run}) == 1
            if alike and WORTH * max(sizes) <= sum(sizes) <= MOST_VALUES:
                return Merge(run)
    return None


def _values(block: Block) -> int:
    return block.footer.events * max(1, len(block.footer.features))
