"""Messages for other programs: each is there once, whatever the broker makes of it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.structs import ConsumerGroupMetadata

from model.episodes import EPISODE
from model.judge import SCORE
from service.errors import Unavailable, Unsettled
from service.kafka import transactions as module
from service.kafka.transactions import Transactions
from service.records import DeadLetter, Delivery, Names, RawBatch, ScoredBatch
from service.sinks.kafka import KafkaSink
from tests.kafka.topics import FOR_EVER, read

WAIT_SECONDS = 60.0


@pytest.fixture
def transactions(bootstrap_servers: str, topic: str) -> Iterator[Transactions]:
    """Those of a member of a group."""
    with joined(bootstrap_servers, topic) as member:
        yield from made(bootstrap_servers, topic, member)


def made(servers: str, topic: str, member: KafkaConsumer, **options: Any) -> Iterator[Transactions]:
    transactions = Transactions([servers], options, topic, member.group_metadata)
    yield transactions
    transactions.close()


@contextmanager
def joined(servers: str, topic: str) -> Iterator[KafkaConsumer]:
    with closing(KafkaConsumer(bootstrap_servers=servers, group_id=topic)) as consumer:
        consumer.topics()  # else the group may meet again once the partitions are known
        consumer.subscribe([topic])
        deadline = time.monotonic() + WAIT_SECONDS
        while not consumer.assignment() and time.monotonic() < deadline:
            consumer.poll(timeout_ms=100)
        yield consumer


def letter(offset: int, key: bytes | None = b"k", value: bytes | None = b"v") -> DeadLetter:
    return DeadLetter(f"d:t:0:{offset}", "d", ("t", 0), offset, 0.0, "bad_value", "", key, value)


def _delivery(letters: list[DeadLetter], topic: str) -> Delivery:
    nothing = np.zeros((0, 0))
    none = np.zeros(0, np.int64)
    raw = RawBatch.of((topic, 0), np.arange(10), np.zeros(10), [None] * 10, [None] * 10)
    scored = ScoredBatch(
        "d", "f", (topic, 0), (), Names.of([]), none, none, np.zeros(0), nothing,
        np.zeros(0, SCORE), nothing, nothing, nothing, (), np.zeros(0, EPISODE), np.zeros(0),
    )  # fmt: skip
    return Delivery(raw, scored, [], [], letters, 0)


def committed(servers: str, topic: str) -> int | None:
    with closing(KafkaConsumer(bootstrap_servers=servers, group_id=topic)) as consumer:
        offset: int | None = consumer.committed(TopicPartition(topic, 0))
    return offset


def test_what_was_delivered_is_written_once_with_the_groups_offset(
    bootstrap_servers: str, topic: str, transactions: Transactions
) -> None:
    """Before it is flushed nothing is there; delivered again after a restart, nothing more."""
    sink = KafkaSink(transactions, topic, topic, topic)
    sink.deliver(_delivery([letter(3), letter(7)], topic))
    assert read(bootstrap_servers, topic) == []
    sink.flush()
    assert committed(bootstrap_servers, topic) == 10
    restarted = KafkaSink(transactions, topic, topic, topic)
    transactions.resume((topic, 0), 10)
    restarted.deliver(_delivery([letter(3), letter(7)], topic))
    restarted.flush()
    offsets = [dict(r.headers)["__connect.errors.offset"] for r in read(bootstrap_servers, topic)]
    assert offsets == [b"3", b"7"]


def test_what_is_on_its_way_is_not_waited_for_and_is_written_once(
    bootstrap_servers: str, topic: str, transactions: Transactions
) -> None:
    sink = KafkaSink(transactions, topic, topic, topic)
    transactions.open()
    for n in range(20):
        sink.deliver(_delivery([letter(n)], topic))
        sink.flush(wait=False)
    sink.flush()
    offsets = [
        int(dict(r.headers)["__connect.errors.offset"]) for r in read(bootstrap_servers, topic)
    ]
    assert sorted(offsets) == list(range(20))


def test_what_is_somebody_elses_is_not_written(
    bootstrap_servers: str, topic: str, transactions: Transactions
) -> None:
    sink = KafkaSink(transactions, topic, topic, topic)
    sink.deliver(_delivery([letter(3)], topic))
    sink.forget((topic, 0))
    sink.flush()
    assert read(bootstrap_servers, topic) == []
    assert committed(bootstrap_servers, topic) is None


def test_a_member_that_the_group_left_behind_writes_nothing(
    bootstrap_servers: str, topic: str
) -> None:
    """Its generation is not the group's any longer; and of nobody nothing is taken either."""
    with joined(bootstrap_servers, topic) as consumer:
        old = consumer.group_metadata()
    with joined(bootstrap_servers, topic) as present:
        for member in (old, ConsumerGroupMetadata(topic)):
            transactions = Transactions([bootstrap_servers], {}, topic, lambda m=member: m)  # type: ignore[misc]
            sink = KafkaSink(transactions, topic, topic, topic)
            sink.deliver(_delivery([letter(3)], topic))
            with pytest.raises((Unavailable, Unsettled), match=r"CommitFailed|not in the group"):
                sink.flush()
            transactions.close()
        assert read(bootstrap_servers, topic) == []
        for transactions in made(bootstrap_servers, topic, present):
            sink = KafkaSink(transactions, topic, topic, topic)
            sink.deliver(_delivery([letter(3)], topic))
            sink.flush()
    assert len(read(bootstrap_servers, topic)) == 1


def test_a_record_of_nothing_at_all_is_a_dead_letter_too(
    bootstrap_servers: str, topic: str, transactions: Transactions
) -> None:
    sink = KafkaSink(transactions, topic, topic, topic)
    sink.deliver(_delivery([letter(3, key=None, value=None)], topic))
    sink.flush()
    (record,) = read(bootstrap_servers, topic)
    assert (record.key, record.value) == (None, b"")


def test_a_dead_letter_that_the_broker_finds_too_large_goes_as_its_context(
    bootstrap_servers: str, topic: str
) -> None:
    options = {"max.request.size": 2000}
    with joined(bootstrap_servers, topic) as member:
        for transactions in made(bootstrap_servers, topic, member, **options):
            sink = KafkaSink(transactions, topic, topic, topic)
            sink.deliver(_delivery([letter(3, b"k" * 10_000, b"v" * 10_000)], topic))
            with pytest.raises(Unavailable, match="larger than"):
                sink.flush()
            sink.flush()
    (record,) = read(bootstrap_servers, topic)
    assert (record.key, record.value) == (None, b"")
    assert dict(record.headers)["wakeful.key_bytes"] == b"10000"


def test_a_dead_letter_that_is_refused_on_its_way_goes_as_its_context(
    bootstrap_servers: str, topic: str, transactions: Transactions
) -> None:
    """The client lets it go, as it knows nothing of the topic's limit, and nobody waits for it."""
    narrow, limit = f"{topic}.narrow", {"max.message.bytes": "2000"}
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.create_topics({narrow: {"num_partitions": 1, "configs": FOR_EVER | limit}})
        sink = KafkaSink(transactions, topic, topic, narrow)
        sink.deliver(_delivery([letter(3, b"k", b"v" * 10_000)], topic))
        sink.flush(wait=False)
        with pytest.raises(Unavailable, match=r"(?i)large"):
            sink.flush()
        sink.flush()
        (record,) = read(bootstrap_servers, narrow)
        assert (record.key, record.value) == (None, b"")
        admin.delete_topics([narrow])


def test_what_waits_and_what_is_late_are_written_once(
    bootstrap_servers: str, topic: str, transactions: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a transaction comes after it was waited for; its messages do not go again."""
    sink = KafkaSink(transactions, topic, topic, topic)
    sink.deliver(_delivery([letter(3)], topic))
    told = threading.Event()

    def late(*given: Any, end: Callable[..., Any] = module._commit) -> Any:
        told.wait(WAIT_SECONDS)
        return end(*given)

    with monkeypatch.context() as patched:
        patched.setattr(module, "ANSWER_SECONDS", 0.0)
        patched.setattr(module, "_commit", late)
        with pytest.raises(Unavailable, match="no end yet"):
            sink.flush()
    told.set()
    sink.deliver(_delivery([letter(7)], topic))
    sink.flush()
    offsets = [dict(r.headers)["__connect.errors.offset"] for r in read(bootstrap_servers, topic)]
    assert offsets == [b"3", b"7"]
