"""The contract of a state store, and the one that lives in this process."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from model.row import FORMAT
from service.errors import StateError
from service.records import Partition

Positions = dict[Partition, int]
"""For each partition the offset of the next record to read."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What rows of a detector mean: whose artifact made them, which features, in which format."""

    fingerprint: str
    features: tuple[str, ...]
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Changed:
    """A detector's rows that changed: `rows[i]` is the memory of `streams[i]`.

    With `replace_all` they are all rows that there are, of another shape than before.
    """

    shape: Shape
    streams: list[str]
    rows: list[bytes]
    replace_all: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Memories and the positions that they are current to: saved together or not at all."""

    positions: Positions
    changed: dict[str, Changed]


class StateStore(Protocol):
    """Keeps checkpoints. Called from the pipeline's thread alone."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Save all of it, durably, in one transaction."""

    def positions(self) -> Positions:
        """The positions of the last checkpoint."""

    def shape(self, detector: str) -> Shape | None:
        """The shape of a detector's rows, None where there are none."""

    def memories(self, detector: str) -> Iterator[tuple[str, bytes]]:
        """(stream, row) of every memory, oldest stream first."""

    def close(self) -> None: ...


@dataclass(slots=True)
class InMemoryStore:
    """A store that ends with the process: for `wakeful replay` and for tests."""

    _positions: Positions = field(default_factory=dict)
    _shapes: dict[str, Shape] = field(default_factory=dict)
    _rows: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def save(self, checkpoint: Checkpoint) -> None:
        self._positions.update(checkpoint.positions)
        for detector, changed in checkpoint.changed.items():
            self._shapes[detector] = changed.shape
            rows = self._rows.setdefault(detector, {})
            if changed.replace_all:
                rows.clear()
            rows.update(zip(changed.streams, changed.rows, strict=True))

    def positions(self) -> Positions:
        return dict(self._positions)

    def shape(self, detector: str) -> Shape | None:
        return self._shapes.get(detector)

    def memories(self, detector: str) -> Iterator[tuple[str, bytes]]:
        yield from self._rows.get(detector, {}).items()

    def close(self) -> None:
        pass


def require_format(shape: Shape, detector: str) -> None:
    """Refuse rows of another format before they are misread."""
    if shape.format != FORMAT:
        raise StateError(
            f"detector {detector}: its stored memories have format {shape.format}, this version "
            f"reads {FORMAT}: run the version that wrote them, or start with another data_dir"
        )
