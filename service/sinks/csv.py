"""One CSV row out for each row in: the sink of `wakeful replay`."""

import csv
from pathlib import Path
from typing import TextIO

import numpy as np

from service.clock import format_time
from service.records import F64, DeadLetter, Delivery

COLUMNS = (
    "row", "time", "stream", "score", "level", "threshold", "tail_probability", "anomalous",
    "alarm", "confidence",
)  # fmt: skip


class CsvSink:
    """Writes `file`, in row order, and why rows were rejected to `rejected`, if any were.

    A rejected row has no stream, score 0 and confidence 0: nothing is said of it.
    """

    def __init__(self, file: Path, rejected: Path, features: tuple[str, ...]) -> None:
        self._file = file.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._features = features
        self._rejected = rejected
        self._rejections: TextIO | None = None
        rejected.unlink(missing_ok=True)  # of an earlier replay
        self._writer.writerow([*COLUMNS, *(f"expected_{name}" for name in features)])

    def deliver(self, delivery: Delivery) -> None:
        rows = [_nothing(int(offset), len(self._features)) for offset in delivery.raw.offsets]
        scored = delivery.scored
        known = {name: f for f, name in enumerate(scored.features)}  # more may be found later
        at = [known.get(name) for name in self._features]
        for i, record in enumerate(scored.records):
            score = scored.scores[i]
            rows[record] = [
                int(scored.offsets[i]),
                format_time(float(scored.times[i])),
                scored.streams[i],
                float(score["score"]),
                float(score["level"]),
                float(score["threshold"]),
                float(score["tail_probability"]),
                int(score["score"] >= 1.0),
                int(score["alarm"]),
                float(score["confidence"]),
                *(_told(scored.expected[i], f) for f in at),
            ]
        self._writer.writerows(rows)
        self._note(delivery.dead_letters)

    def flush(self, wait: bool = True) -> None:  # noqa: ARG002 - a file does not wait
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        if self._rejections is not None:
            self._rejections.close()

    def _note(self, letters: list[DeadLetter]) -> None:
        if not letters:
            return
        if self._rejections is None:
            self._rejections = self._rejected.open("w", encoding="utf-8", newline="")
            csv.writer(self._rejections).writerow(("row", "reason", "detail"))
        csv.writer(self._rejections).writerows(
            (letter.offset, letter.reason, letter.detail.replace("\\x00", "")) for letter in letters
        )


def rejected_file(output: Path) -> Path:
    """Where the rejected rows of a replay are told, beside its output."""
    return output.with_suffix(".rejected.csv")


def _told(expected: F64, feature: int | None) -> float | str:
    known = feature is not None and not np.isnan(expected[feature])
    return float(expected[feature]) if known else ""


def _nothing(row: int, features: int) -> list[object]:
    return [row, "", "", 0.0, 0.0, 0.0, 1.0, 0, 0, 0.0, *[""] * features]
