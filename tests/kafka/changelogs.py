"""What a group's memories are in Kafka, read as a worker would that is given the partitions."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from service.kafka.transactions import Transactions
from service.memory.changelog import Changelog
from service.memory.store import Positions, memories, memory_name
from tests.base import FINGERPRINT


@contextmanager
def changelog(servers: str, group: str, topic: str) -> Iterator[Changelog]:
    with TemporaryDirectory() as folder:
        transactions = Transactions([servers], {}, f"{group}.test", lambda: None)
        made = Changelog([servers], {}, group, lambda _: topic, transactions, Path(folder) / "idle")
        try:
            yield made
        finally:
            made.close()
            made.stop_reading()


def kept(
    servers: str,
    group: str,
    topic: str,
    partitions: int,
    memory_topic: str,
    fingerprint: str = FINGERPRINT,
) -> dict[str, bytes]:
    """Every memory of the detector `default` made by an artifact, by partition and stream."""
    with changelog(servers, group, memory_topic) as store:
        return {
            f"{number}/{stream}": row
            for number in range(partitions)
            for stream, row in memories(
                store, memory_name("default", fingerprint, (topic, number))
            ).items()
        }


def positions(
    servers: str, group: str, topic: str, partitions: int, memory_topic: str
) -> Positions:
    """The positions that the memories are current to."""
    with changelog(servers, group, memory_topic) as store:
        for number in range(partitions):
            for _ in store.packs(memory_name("default", FINGERPRINT, (topic, number))):
                """It notes what it comes by."""
        return store.positions()
