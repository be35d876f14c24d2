"""CSV files as tables: their rows, and what their columns are."""

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from service.clock import TIME_NAMES
from service.errors import SettingsError
from service.settings.detector import DetectorSettings

SNIFFED_ROWS = 1000  # rows that decide which columns are numbers
NEARLY_ALL = 0.9  # of their values are: an odd text among them is a row to reject, not a column
KEY_COLUMN = "stream"
LABEL_COLUMN = "label"  # of labelled series: no detector may see one
MISSING = {"", "nan", "na", "null", "none", "-"}

Row = list[str]


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file are. Without `key` the file is one stream, named `stream`.

    `categories` are read as texts.
    """

    names: tuple[str, ...]
    features: tuple[str, ...]
    key: str | None
    time: str | None
    stream: str
    categories: tuple[str, ...] = ()

    def unused(self, ignore: Sequence[str]) -> tuple[str, ...]:
        """Columns that nothing is read from and that nobody asked to leave out."""
        read = {self.key, self.time, *self.features, *self.categories, *ignore}
        return tuple(name for name in self.names if name not in read)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which columns are what, as somebody says; None where the file is to say."""

    key: str | None = None
    time: str | None = None
    features: list[str] | None = None
    ignore: tuple[str, ...] = ()


def open_text(file: Path) -> io.TextIOWrapper:
    """A CSV or CSV.gz file, or standard input for `-`."""
    if str(file) == "-":
        import sys  # noqa: PLC0415 - only here

        return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8-sig", newline="")
    return file.open(encoding="utf-8-sig", newline="")


def read_rows(file: Path, text: io.TextIOWrapper) -> Iterator[Row]:
    """The rows of a CSV file, without empty lines; SettingsError where it cannot be read."""
    rows, width = csv.reader(text), 0
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except (UnicodeDecodeError, csv.Error, OSError, EOFError, zlib.error) as error:
            raise SettingsError(f"{file}: line {rows.line_num + 1}: {error}") from None
        if row or width == 1:  # an empty line of one column is a missing value
            yield row
        width = width or len(row)


def stem(file: Path) -> str:
    """The file's name without `.csv` or `.csv.gz`."""
    if str(file) == "-":
        return "stdin"
    return file.name.removesuffix(".gz").removesuffix(".csv")


def sniff(rows: Iterator[Row]) -> tuple[list[Row], Iterator[Row]]:
    """The header with the rows that decide what columns are, and all rows behind the header."""
    first = list(islice(rows, SNIFFED_ROWS + 1))
    return first, chain(first[1:], rows)


def columns_of_detector(
    file: Path,
    rows: Sequence[Row],
    asked: Asked,
    settings: DetectorSettings,
    categories: Sequence[str] = (),
) -> Columns:
    """What the columns are that a detector is to read: as asked for, else as its settings name
    them, where the file has them."""
    header = rows[0] if rows else []
    key = asked.key or (settings.key if settings.key in header else None)
    time = asked.time or next((name for name in settings.times() if name in header), None)
    features = asked.features or settings.features
    return read_columns(file, rows, key, time, features, asked.ignore, categories)


def read_columns(
    file: Path,
    rows: Sequence[Row],
    key: str | None,
    time: str | None,
    features: Sequence[str] | None,
    ignore: Sequence[str],
    categories: Sequence[str] = (),
) -> Columns:
    """Decide what the columns are from the header and the first rows.

    SettingsError names a column that is asked for and not there. Columns that are not asked for by
    name are features where nearly all values of the first rows are numbers; a label is none.
    """
    if not rows:
        raise SettingsError(f"{file}: is empty; expected a CSV header")
    names = tuple(rows[0])
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingsError(f"{file}: the column {sorted(twice)[0]!r} stands twice")
    for asked in [name for name in (key, time, *(features or ()), *ignore, *categories) if name]:
        if asked not in names:
            raise SettingsError(f"{file}: has no column {asked!r}; it has {', '.join(names)}")
    if features and len(set(features)) < len(features):
        raise SettingsError("--features: a name stands twice")
    if len(set(categories)) < len(categories):
        raise SettingsError("--categories: a name stands twice")
    key = key or (KEY_COLUMN if KEY_COLUMN in names else None)
    time = time or next((name for name in TIME_NAMES if name in names), None)
    if both := {key, time, *(features or ()), *ignore} & set(categories):
        raise SettingsError(
            f"{file}: the column {min(filter(None, both))!r} is a category of the artifact: "
            "it can be neither key, time nor feature, nor ignored"
        )
    others = [name for name in names if name not in {key, time, LABEL_COLUMN, *ignore, *categories}]
    chosen = features or [name for name in others if _numeric(rows[1:], names.index(name))]
    if not chosen:
        raise SettingsError(f"{file}: {_no_number(names, others, rows)}")
    return Columns(names, tuple(chosen), key, time, stem(file), tuple(categories))


def _no_number(names: tuple[str, ...], others: Sequence[str], rows: Sequence[Row]) -> str:
    """Why there is nothing to watch, in words."""
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        return f"expected commas between the columns, its header is {names[0]!r}"
    for name in others:
        for line, row in enumerate(rows[1:], 2):
            at = names.index(name)
            if at < len(row) and isinstance(value_of(row[at]), str):
                return (
                    f"has no numeric column to watch: {name} is {row[at][:40]!r} in row {line}; "
                    "mend it, or name the columns with --features to reject such rows"
                )
    return "has no numeric column to watch; name them with --features"


def _numeric(rows: Sequence[Row], at: int) -> bool:
    cells = [row[at] for row in rows if at < len(row) and row[at].strip().lower() not in MISSING]
    numbers = sum(not isinstance(value_of(cell), str) for cell in cells)
    return bool(cells) and numbers >= NEARLY_ALL * len(cells)


def value_of(cell: str) -> float | str | None:
    """A cell as a number, None where missing, else the text: the decoder rejects it by name."""
    text = cell.strip()
    if text.lower() in MISSING:
        return None
    try:
        number = float(text)
    except ValueError:
        return text[:100]
    return number if math.isfinite(number) else text
