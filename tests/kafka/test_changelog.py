"""Memories in a real topic: what was committed comes back, whatever the topic ends in."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from service.errors import StateError, Unavailable
from service.kafka.rights import TOPIC, Right
from service.kafka.transactions import Message, Transactions
from service.memory import archive, changelog
from service.memory.archive import Contents, Memories
from service.memory.changelog import Changelog
from service.memory.entries import Keys, pack_value
from service.memory.store import Changed, Checkpoint, Shape, memories, memory_name
from tests.contract.test_store import SHAPE, left, pack
from tests.kafka.topics import read

WAIT_SECONDS = 60.0


@pytest.fixture
def topic(bootstrap_servers: str) -> Iterator[str]:
    """Of memories; what they are of is in the topic `events_of` it."""
    name = f"m{uuid.uuid4().hex[:10]}"
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.create_topics({events_of(name): {"num_partitions": 1}}, wait_for_metadata=True)
        yield name
        admin.delete_topics([name, events_of(name)], raise_errors=False)


def events_of(topic: str) -> str:
    return f"{topic}.events"


class Kept(Changelog):
    """The memories of one partition, by short calls."""

    def __init__(
        self, servers: str, topic: str, group: str, folder: Path, owned: bool = True
    ) -> None:
        transactions = Transactions([servers], {}, f"{topic}.test", lambda: group)
        super().__init__([servers], {}, group, lambda _: topic, transactions, folder, owned=owned)
        self.partition = (events_of(topic), 0)
        self.name = memory_name("default", SHAPE.fingerprint, self.partition)
        self.make_topics(self.partition, ["default"])

    def put(self, position: int, changed: Changed) -> None:
        self.save(Checkpoint({self.partition: position}, {self.name: changed}))

    def held(self) -> int:
        """How many records a reader finds."""
        return sum(1 for _ in self._records(self._of(self.name).place))


@contextmanager
def opened(servers: str, topic: str, group: str = "g") -> Iterator[Kept]:
    """As a worker that is alone in its group."""
    with TemporaryDirectory() as folder:
        store = Kept(servers, topic, group, Path(folder) / "idle")
        try:
            memories(store, store.name)  # notes what it comes by
            yield store
        finally:
            store.close()
            store.stop_reading()


def kept(servers: str, topic: str, group: str = "g") -> tuple[dict[str, bytes], int | None]:
    """Memories and position as the next owner finds them."""
    with opened(servers, topic, group) as store:
        return memories(store, store.name), store.positions().get(store.partition)


def test_an_empty_topic_is_no_memory(bootstrap_servers: str, topic: str) -> None:
    assert kept(bootstrap_servers, topic) == ({}, None)


def test_memories_come_back_with_the_position_and_the_groups_offset(
    bootstrap_servers: str, topic: str
) -> None:
    with opened(bootstrap_servers, topic) as store:
        store.put(7, Changed(SHAPE, 2, [pack(1, {"s": b"one", "t": b"two"})]))
        moved = pack(2, {"s": b"one", "u": b"tri"}, moved=["s"])
        store.put(9, Changed(SHAPE, 1, [moved], dropped=[1]))
        assert store.committed(store.partition) == 9
    assert kept(bootstrap_servers, topic) == ({"s": b"one", "u": b"tri"}, 9)


def test_nothing_is_made_by_a_topic_that_we_cannot_see(bootstrap_servers: str, topic: str) -> None:
    """It would have too few partitions, and only who may alter it could mend that."""
    unseen = f"{topic}.unseen"
    with TemporaryDirectory() as folder, pytest.raises(Unavailable, match="no topic"):
        Kept(bootstrap_servers, unseen, "g", Path(folder))
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        assert unseen not in admin.list_topics()


def test_groups_and_detectors_share_a_topic(bootstrap_servers: str, topic: str) -> None:
    for group, row in (("g", b"one"), ("h", b"two")):
        with opened(bootstrap_servers, topic, group) as store:
            store.put(7, Changed(SHAPE, 1, [pack(1, {"s": row})]))
    assert kept(bootstrap_servers, topic, "g") == ({"s": b"one"}, 7)
    assert kept(bootstrap_servers, topic, "h") == ({"s": b"two"}, 7)


def test_idle_memories_come_back_by_name(bootstrap_servers: str, topic: str) -> None:
    with opened(bootstrap_servers, topic) as store:
        store.put(7, left({"s": b"one", "t": b"two"}))
        store.put(8, left({"t": b"new", "u": b"tri"}, returned=["s", "t"]))
        assert sorted(one.stream for one in store.idle(store.name, ["s", "t", "u"])) == ["t", "u"]
    with opened(bootstrap_servers, topic) as store:
        assert store.shape(store.name) == SHAPE
        assert store.idle_count(store.name) == 2
        assert {one.stream: one.row for one in store.idle_after(store.name, "", "", 9)} == {
            "t": b"new", "u": b"tri",
        }  # fmt: skip


def test_idle_memories_of_a_topic_with_the_longest_name_are_found(
    bootstrap_servers: str, topic: str
) -> None:
    """With what else is in a memory's name it is longer than that of a file may be."""
    name = memory_name("default", SHAPE.fingerprint, ("t" * 249, 0))
    with opened(bootstrap_servers, topic) as store:
        assert memories(store, name) == {}
        store.save(Checkpoint({}, {name: left({"s": b"one"})}))
        assert [one.row for one in store.idle(name, ["s", "t"])] == [b"one"]
    with opened(bootstrap_servers, topic) as store:
        assert memories(store, name) == {"s": b"one"}


def test_memories_of_many_features_are_imported(bootstrap_servers: str, topic: str) -> None:
    """However large one is: brokers take a megabyte at once."""
    rows = {f"s{n}": bytes([n]) * 20_000 for n in range(64)}
    with opened(bootstrap_servers, topic) as store:
        positions = [(*store.partition, 7)]
        contents = Contents(
            store.name, SHAPE.fingerprint, SHAPE.features, SHAPE.format, positions, len(rows)
        )
        some = {stream: (SHAPE.features, row) for stream, row in rows.items()}
        archive.save(Memories(contents, some), store)
    assert kept(bootstrap_servers, topic) == (rows, 7)


def test_without_room_for_idle_memories_they_are_read_again_later(
    bootstrap_servers: str, topic: str
) -> None:
    with opened(bootstrap_servers, topic) as store:
        store.put(7, left({"s": b"one"}))
    with TemporaryDirectory() as folder:
        blocked = Path(folder) / "idle"
        store = Kept(bootstrap_servers, topic, "g", blocked)
        try:
            blocked.touch()  # nothing can be written there, as on a full disk
            with pytest.raises(Unavailable, match="need room"):
                memories(store, store.name)
            blocked.unlink()
            assert memories(store, store.name) == {"s": b"one"}
        finally:
            store.close()
            store.stop_reading()


@pytest.mark.parametrize("end", ["aborted", "open", "committed"])
def test_a_topic_may_end_in_somebody_elses_transaction(
    bootstrap_servers: str, topic: str, end: str
) -> None:
    """In its marker, or in none yet: then its end is waited for, as what is behind it counts."""
    with opened(bootstrap_servers, topic) as store:
        store.put(7, Changed(SHAPE, 1, [pack(1, {"s": b"one"})]))
    other = KafkaProducer(
        bootstrap_servers=bootstrap_servers,
        transactional_id=f"{topic}.other",
        transaction_timeout_ms=1000 if end == "open" else 60_000,  # then the broker aborts it
    )
    other.init_transactions()
    other.begin_transaction()
    key = Keys("other", "default", events_of(topic), SHAPE.fingerprint).head
    other.send(topic, key=key, value=b'{"position": 99}', partition=0).get(timeout=10)
    if end != "open":
        getattr(other, {"aborted": "abort", "committed": "commit"}[end] + "_transaction")()
    try:
        assert kept(bootstrap_servers, topic) == ({"s": b"one"}, 7)
    finally:
        other.close(timeout=0)


def test_who_reads_beside_the_owner_has_a_checkpoint_in_whole(
    bootstrap_servers: str, topic: str
) -> None:
    """As `wakeful state export` does; where it first looked, a stream had left the idle ones and
    was in no pack yet."""
    with opened(bootstrap_servers, topic) as store:
        store.put(7, left({"s": b"one"}))
    keys = Keys("g", "default", events_of(topic), SHAPE.fingerprint)
    rest = [(keys.pack(1), pack_value(SHAPE, pack(1, {"s": b"two"})))]

    def go_on() -> bool:
        while rest:
            key, value = rest.pop()
            owner.send(topic, key=key, value=value, partition=0)
            owner.commit_transaction()
        return True

    owner = KafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=f"{topic}.owner")
    with closing(owner), TemporaryDirectory() as folder:
        owner.init_transactions()
        owner.begin_transaction()
        owner.send(topic, key=keys.idle("s"), partition=0).get(WAIT_SECONDS)
        reader = Kept(bootstrap_servers, topic, "g", Path(folder) / "idle", owned=False)
        reader.going_on = go_on
        try:
            assert memories(reader, reader.name) == {"s": b"two"}
        finally:
            reader.close()
            reader.stop_reading()


def test_a_transaction_that_nobody_ends_is_named(
    bootstrap_servers: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(bootstrap_servers, topic) as store:
        store.put(7, Changed(SHAPE, 1, [pack(1, {"s": b"one"})]))
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=f"{topic}.other")
    with closing(producer):
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, b"{}", b"other", partition=0)
        producer.flush()
        with (
            monkeypatch.context() as patched,
            pytest.raises(Unavailable, match=f"{topic}, partition 0, offset.*find-hanging"),
        ):
            patched.setattr(changelog, "HANGING_SECONDS", 1.0)
            kept(bootstrap_servers, topic)
        producer.abort_transaction()
    assert kept(bootstrap_servers, topic) == ({"s": b"one"}, 7)


def test_a_transaction_that_is_over_and_hangs_is_ended(
    bootstrap_servers: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As brokers leave one that are killed: begun in a partition, and over for its coordinator."""
    monkeypatch.setattr(changelog, "LOOK_SECONDS", 0.5)
    place = TopicPartition(topic, 0)
    with opened(bootstrap_servers, topic) as store:
        store.put(7, Changed(SHAPE, 1, [pack(1, {"s": b"one"})]))
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id="g.other")
    with closing(producer), unverified(bootstrap_servers):
        producer.init_transactions()
        producer.begin_transaction()
        producer._transaction_manager._partitions_in_transaction.add(place)  # nobody is told
        producer.send(topic, b"{}", b"other", partition=0).get(WAIT_SECONDS)
        assert kept(bootstrap_servers, topic) == ({"s": b"one"}, 7)


@pytest.mark.parametrize("committed", [False, True])
def test_what_brokers_forgot_to_end_is_ended_before_we_write_again(
    bootstrap_servers: str, topic: str, committed: bool
) -> None:
    """Else what was aborted would be committed with what comes next: told twice. What was committed
    stays: nobody tells it again."""
    name, place = f"{topic}.test", TopicPartition(topic, 0)
    with opened(bootstrap_servers, topic):
        """The topic is there."""
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, transactional_id=name)
    with closing(producer), unverified(bootstrap_servers):
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(events_of(topic), b"{}", b"k", partition=0).get(WAIT_SECONDS)
        producer._transaction_manager._partitions_in_transaction.add(place)  # nobody is told
        producer.send(topic, b"first", b"k", partition=0).get(WAIT_SECONDS)
        (producer.commit_transaction if committed else producer.abort_transaction)()
        rights = [Right("WRITE", TOPIC, topic, "test")]
        ours = Transactions([bootstrap_servers], {}, name, lambda: "g", rights)
        ours.open()
        ours.commit([Message(topic, b"k", b"second", partition=0)], {}, lambda: None)
        ours.close()
    first = [b"first"] if committed else []
    assert [one.value for one in read(bootstrap_servers, topic, 0)] == [*first, b"second"]


@contextmanager
def unverified(servers: str) -> Iterator[None]:
    """Brokers take records of transactions that their coordinator does not know of."""
    name = "transaction.partition.verification.enable"
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        broker = str(admin.describe_cluster()["brokers"][0]["broker_id"])

        def verify(value: str) -> None:
            change = {name: value}
            admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, broker, change)])

        verify("false")
        try:
            yield
        finally:
            verify("true")


def test_memories_of_a_topic_that_was_made_again_are_not_those_of_its_streams(
    bootstrap_servers: str, topic: str
) -> None:
    """Its offsets begin anew, so that its first events would be skipped as known ones."""
    with opened(bootstrap_servers, topic) as store:
        store.put(7, Changed(SHAPE, 1, [pack(1, {"s": b"one"})]))  # of a topic without an id
        store.topic_id_of = lambda _: "first"
        assert memories(store, store.name) == {"s": b"one"}
        store.put(8, Changed(SHAPE, 1, [pack(1, {"s": b"two"})]))
        assert memories(store, store.name) == {"s": b"two"}
        store.topic_id_of = lambda _: "second"
        with pytest.raises(StateError, match="made again"):
            memories(store, store.name)


def test_memories_that_were_made_here_are_of_one_topic_too(
    bootstrap_servers: str, topic: str
) -> None:
    with opened(bootstrap_servers, topic) as store:
        store.topic_id_of = lambda _: "first"
        store.put(7, Changed(SHAPE, 1, [pack(1, {"s": b"one"})]))
        store.topic_id_of = lambda _: "second"
        with pytest.raises(StateError, match="made again"):
            store.put(8, Changed(SHAPE, 1, [pack(1, {"s": b"two"})]))


def test_what_was_written_and_not_committed_does_not_count(
    bootstrap_servers: str, topic: str
) -> None:
    """A checkpoint that fails half-way leaves the last one, and the next one can be."""

    def packs() -> Iterator[object]:
        yield pack(2, {"s": b"new"})
        raise Unavailable("the disk is full")

    with opened(bootstrap_servers, topic) as store:
        store.put(7, Changed(SHAPE, 1, [pack(1, {"s": b"one"})]))
        with pytest.raises(Unavailable, match="the disk is full"):
            store.put(8, Changed(SHAPE, 1, packs()))  # type: ignore[arg-type]
        assert kept(bootstrap_servers, topic, "g")[0] == {"s": b"one"}
    with opened(bootstrap_servers, topic) as store:
        store.put(9, Changed(SHAPE, 1, [pack(2, {"t": b"two"}, first_slot=1)]))
    assert kept(bootstrap_servers, topic) == ({"s": b"one", "t": b"two"}, 9)


def test_who_takes_the_name_fences_who_had_it(bootstrap_servers: str, topic: str) -> None:
    """What a stopped process had begun is aborted; it writes no more."""
    with opened(bootstrap_servers, topic) as old:
        old.put(7, Changed(SHAPE, 1, [pack(1, {"s": b"one"})]))
        with opened(bootstrap_servers, topic) as new:
            new.put(8, Changed(SHAPE, 1, [pack(1, {"s": b"two"})]))
            with pytest.raises(Exception, match=r"(?i)fenced|epoch"):
                old.put(9, Changed(SHAPE, 1, [pack(1, {"s": b"old"})]))
            assert kept(bootstrap_servers, topic)[0] == {"s": b"two"}


@pytest.mark.parametrize("value", [b"", b"cut", b"\x98"])
def test_a_record_that_cannot_be_read_is_named(
    bootstrap_servers: str, topic: str, value: bytes
) -> None:
    """With its topic, partition and offset, and what can be done."""
    with opened(bootstrap_servers, topic) as store:
        store.put(7, Changed(SHAPE, 1, [pack(1, {"s": b"one"})]))
    with closing(KafkaProducer(bootstrap_servers=bootstrap_servers)) as producer:
        key = Keys("g", "default", events_of(topic), SHAPE.fingerprint).pack(1)
        producer.send(topic, key=key, value=value, partition=0)
        producer.send(topic, key=b"nobody's", value=b"?", partition=0)
        producer.flush()
    with pytest.raises(StateError, match=rf"{topic}, partition 0, offset 3: .*kafka.memory_topic"):
        kept(bootstrap_servers, topic)


def test_a_compacted_topic_holds_the_same(bootstrap_servers: str, topic: str) -> None:
    """A real broker compacts it: records are gone, and every memory is there."""
    with opened(bootstrap_servers, topic) as store:
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
            admin.alter_configs(
                [
                    ConfigResource(
                        ConfigResourceType.TOPIC,
                        topic,
                        {
                            "cleanup.policy": "compact",
                            "segment.ms": "100",
                            "min.cleanable.dirty.ratio": "0.01",
                        },
                    )
                ]
            )
        rows: dict[str, bytes] = {}
        deadline, number, written = time.monotonic() + WAIT_SECONDS, 0, 0
        while store.held() >= written - 10:
            assert time.monotonic() < deadline, "the broker compacts nothing"
            number += 1
            rows |= {f"s{number % 7}": b"%03d" % (number % 1000), "t": b"%03d" % (number % 999)}
            every = pack(number, {stream: rows[stream] for stream in sorted(rows)})
            store.put(number, Changed(SHAPE, 1, [every], dropped=[number - 1]))
            written += 3  # a pack, one that is gone, a position
        assert memories(store, store.name) == rows
    assert kept(bootstrap_servers, topic) == (rows, number)


def test_what_was_dropped_is_gone_and_may_come_again(
    bootstrap_servers: str, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs, idle memories and the position, in more than one transaction; what comes later counts,
    and another artifact's memories stay."""
    monkeypatch.setattr(changelog, "TOGETHER", 2)
    with opened(bootstrap_servers, topic) as store:
        old, new = store.name, memory_name("default", "another", store.partition)
        store.put(7, Changed(SHAPE, 2, [pack(1, {"s": b"one", "t": b"two"})]))
        for name in "ijklm":
            store.put(7, left({name: b"idl"}))
    with opened(bootstrap_servers, topic) as store:
        store.forget(old)
        assert memories(store, new) == {}
        assert store.others(new) == {old}
        changed = Changed(Shape("another", SHAPE.features), 1, [pack(1, {"s": b"new"})])
        store.save(Checkpoint({store.partition: 8}, {new: changed}))
    with opened(bootstrap_servers, topic) as store:
        store.drop(old)
    with opened(bootstrap_servers, topic) as store:
        assert memories(store, old) == {}
        assert not store.knows(old)
        assert store.positions() == {}
        assert store.others(old) == {new}
        store.put(9, Changed(SHAPE, 1, [pack(1, {"u": b"tri"})]))
    assert kept(bootstrap_servers, topic) == ({"u": b"tri"}, 9)
    with opened(bootstrap_servers, topic) as store:
        assert memories(store, new) == {"s": b"new"}
