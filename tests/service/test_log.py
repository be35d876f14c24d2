"""The embedded log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.sources.log import PARTITION, TRIM_EVERY, EmbeddedLog


def open_log(folder: Path, retention_seconds: float = 1e9, most: int = 3) -> EmbeddedLog:
    return EmbeddedLog(folder / "wakeful.db", most, retention_seconds)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    made = open_log(tmp_path)
    yield made
    made.close()


def read(log: EmbeddedLog) -> list[tuple[str | None, bytes | None]]:
    found: list[tuple[str | None, bytes | None]] = []
    while batches := log.poll(0.0):
        found += [(b.detector, b.value(i)) for b in batches for i in range(len(b))]
    return found


def test_records_are_read_in_the_order_in_which_they_were_appended(log: EmbeddedLog) -> None:
    log.start({})
    assert log.append("a", [b"1", b"2"]) == range(2)
    assert log.append("b", [b"3"]) == range(2, 3)
    assert log.append("a", [b"4", b"5"]) == range(3, 5)
    assert log.lag() == 5
    assert read(log) == [("a", b"1"), ("a", b"2"), ("b", b"3"), ("a", b"4"), ("a", b"5")]
    assert log.lag() == 0


def test_an_acknowledged_record_outlives_the_process_and_is_read_from_the_position(
    tmp_path: Path,
) -> None:
    first = open_log(tmp_path)
    first.append("a", [b"1", b"2", b"3"])
    first.close()
    second = open_log(tmp_path)
    second.start({PARTITION: 1})
    assert read(second) == [("a", b"2"), ("a", b"3")]
    assert second.append("a", [b"4"]) == range(3, 4)
    second.close()


def test_old_checkpointed_records_are_trimmed_and_offsets_are_never_given_twice(
    tmp_path: Path,
) -> None:
    log = open_log(tmp_path, retention_seconds=-1.0)
    log.append("a", [b"1", b"2", b"3", b"4"])
    for _ in range(TRIM_EVERY):
        log.commit({PARTITION: 4})
    log.start({})
    assert read(log) == [("a", b"4")]
    log.close()
    again = open_log(tmp_path)
    assert again.next_offset == 4
    again.close()


def test_whoever_waits_for_records_learns_their_offsets_before_they_can_be_read(
    log: EmbeddedLog,
) -> None:
    log.start({})
    seen: list[list[tuple[str | None, bytes | None]]] = []
    log.append("a", [b"1"], lambda _: seen.append(read(log)))
    assert seen == [[]]
    assert read(log) == [("a", b"1")]
