"""One CSV row out for each row in: the sink of `wakeful replay`."""

import csv
from pathlib import Path

import numpy as np

from service.clock import format_time
from service.records import Delivery

COLUMNS = (
    "row", "time", "stream", "score", "level", "threshold", "tail_probability", "anomalous",
    "alarm", "confidence",
)  # fmt: skip


class CsvSink:
    """Writes `file`, in row order. A rejected row has score 0 and confidence 0: nothing is said."""

    def __init__(self, file: Path, features: tuple[str, ...]) -> None:
        self._file = file.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._features = features
        self._writer.writerow([*COLUMNS, *(f"expected_{name}" for name in features)])

    def deliver(self, delivery: Delivery) -> None:
        rows = [_nothing(int(offset), len(self._features)) for offset in delivery.raw.offsets]
        scored = delivery.scored
        at = [scored.features.index(name) for name in self._features]
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
                *("" if np.isnan(x) else float(x) for x in scored.expected[i, at]),
            ]
        self._writer.writerows(rows)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _nothing(row: int, features: int) -> list[object]:
    return [row, "", "", 0.0, 0.0, 0.0, 1.0, 0, 0, 0.0, *[""] * features]
