"""What counts together, whenever the client says so: with a client whose answers are chosen."""

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from kafka.errors import FencedInstanceIdError, KafkaError, ProducerFencedError

from service.errors import StateError, Unavailable, Unsettled
from service.kafka import transactions as module
from service.kafka.transactions import Message, Transactions
from service.kafka.trouble import Trouble
from service.records import Partition

HERE: Partition = ("events", 0)
MEMBER = SimpleNamespace(generation_id=3)


class Client:
    """A producer: `answer` lets a commit end, and `refused` are the keys of what is left out."""

    DEFAULT_CONFIG: ClassVar[dict[str, object]] = {}
    made: list["Client"]

    def __init__(self, **config: object) -> None:
        self.answer = threading.Event()
        self.answer.set()
        self.refused: set[bytes] = set()
        self.error: KafkaError | None = None
        self.pending: list[bytes] = []
        self.offsets: dict[Partition, int] = {}
        self.committed: list[bytes] = []
        self.members: list[object] = []
        Client.made.append(self)

    def init_transactions(self) -> None:
        pass

    def begin_transaction(self) -> None:
        self.pending, self.offsets = [], {}

    def send(self, topic: str, value: bytes, key: bytes, *others: object) -> Any:
        if key not in self.refused:
            self.pending.append(key)
        error = KafkaError("left out") if key in self.refused else None
        written = SimpleNamespace(topic="t", partition=0, offset=7)
        return SimpleNamespace(failed=lambda: error is not None, exception=error, value=written)

    def flush(self, timeout: float = 0.0) -> None:
        pass

    def send_offsets_to_transaction(self, told: dict[Any, Any], member: object) -> None:
        self.offsets = {tuple(place): offset.offset for place, offset in told.items()}
        self.members.append(member)

    def commit_transaction(self) -> None:
        self.answer.wait()
        if self.error is not None:
            raise self.error
        self.committed += self.pending

    def abort_transaction(self) -> None:
        if isinstance(self.error, ProducerFencedError):
            raise self.error
        self.pending = []

    def close(self, timeout: float) -> None:
        """It is stuck until the test's end."""


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Transactions]:
    monkeypatch.setattr(module, "KafkaProducer", Client)
    monkeypatch.setattr(Trouble, "checked", lambda _: nullcontext())  # nobody is asked for rights
    monkeypatch.setattr(module, "ANSWER_SECONDS", 30.0)
    Client.made = []
    yield Transactions([], {}, "name", lambda: MEMBER)
    for client in Client.made:
        client.answer.set()


@contextmanager
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "ANSWER_SECONDS", 0.05)
        yield


def message(key: bytes) -> Message:
    return Message("t", key, b"")


def client() -> Client:
    return Client.made[-1]


def test_one_that_ends_late_counts_once(transactions: Transactions) -> None:
    counted: list[str] = []
    transactions.open()
    client().answer.clear()
    with impatient(), pytest.raises(Unavailable, match="no end yet"):
        transactions.commit([message(b"1")], {HERE: 5}, lambda: counted.append("first"))
    assert counted == []
    client().answer.set()
    transactions.commit([message(b"2")], {HERE: 6}, lambda: counted.append("second"))
    assert counted == ["first", "second"]
    assert client().committed == [b"1", b"2"]


def test_one_that_never_ends_is_given_up(
    transactions: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether it counts: nothing is written before the memories are read again, with
    another client, whoever was told first."""
    monkeypatch.setattr(module, "GIVE_UP_SECONDS", 0.0)
    transactions.open()
    client().answer.clear()
    with impatient(), pytest.raises(Unsettled):
        transactions.commit([message(b"1")], {}, lambda: None)
    for again in (transactions.settle, lambda: transactions.commit([], {}, lambda: None)):
        with pytest.raises(Unsettled):
            again()
    assert len(Client.made) == 1
    transactions.open()
    transactions.commit([message(b"2")], {}, lambda: None)
    assert len(Client.made) == 2
    assert client().committed == [b"2"]


def test_a_client_that_is_stuck_keeps_nothing_but_itself(
    transactions: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a service would stay that was followed by one of other settings."""

    class Service:
        def member(self) -> object:
            return MEMBER

    monkeypatch.setattr(module, "GIVE_UP_SECONDS", 0.0)
    service = Service()
    left, ours = weakref.ref(service), Transactions([], {}, "name", service.member)
    ours.open()
    client().answer.clear()
    with impatient(), pytest.raises(Unsettled):
        ours.commit([message(b"1")], {HERE: 5}, lambda: None)
    del service, ours
    gc.collect()
    assert left() is None


def test_where_one_message_is_left_out_nothing_counts(transactions: Transactions) -> None:
    transactions.open()
    first = client()
    first.refused = {b"2"}
    with pytest.raises(Unavailable, match="left out"):
        transactions.commit([message(b"1"), message(b"2")], {}, lambda: None)
    assert first.committed == []
    transactions.commit([message(b"1"), message(b"2")], {}, lambda: None)
    assert client().committed == [b"1", b"2"]
    assert client() is not first  # which would go on with the offsets that were refused


def test_what_can_be_neither_committed_nor_aborted_is_not_settled(
    transactions: Transactions,
) -> None:
    transactions.open()
    client().error = ProducerFencedError()
    with pytest.raises(Unsettled):
        transactions.commit([message(b"1")], {}, lambda: None)


def test_the_groups_offset_never_goes_back(transactions: Transactions) -> None:
    """Where memories are read again, and where an answer comes after the partition was away."""
    transactions.resume(HERE, 100)
    transactions.commit([], {HERE: 50}, lambda: None)
    assert client().offsets == {HERE: 100}
    client().answer.clear()
    with impatient(), pytest.raises(Unavailable):
        transactions.commit([], {HERE: 200}, lambda: None)
    transactions.forget(HERE)
    transactions.resume(HERE, 300)
    client().answer.set()
    transactions.settle()
    assert transactions.offset(HERE) == 300


def test_who_is_not_in_the_group_writes_nothing(transactions: Transactions) -> None:
    transactions._member = lambda: SimpleNamespace(generation_id=-1)
    with pytest.raises(Unsettled, match="not in the group"):
        transactions.commit([message(b"1")], {HERE: 5}, lambda: None)
    assert not any(client.committed for client in Client.made)


def test_whose_offsets_they_are_is_known_as_the_transaction_begins(
    transactions: Transactions,
) -> None:
    """However late it ends: by then we may be another member, or of a later generation, and what
    was held may be somebody else's."""
    transactions.open()
    written = threading.Event()
    client().flush = written.wait  # type: ignore[method-assign, assignment]
    transactions.commit([message(b"1")], {HERE: 5}, lambda: None, wait=False)
    transactions._member = lambda: SimpleNamespace(generation_id=4)
    written.set()
    transactions.settle()
    assert client().members == [MEMBER]


def test_what_messages_raise_goes_through(transactions: Transactions) -> None:
    def messages() -> Iterator[Message]:
        yield message(b"1")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        transactions.commit(messages(), {}, lambda: None)
    transactions.commit([message(b"2")], {}, lambda: None)
    assert client().committed == [b"2"]


def test_who_has_lost_its_name_in_the_group_stops(transactions: Transactions) -> None:
    """To go on would take the transactions' name from whoever has it now, and that one would take
    it back: neither would get anywhere."""
    transactions.open()
    client().error = FencedInstanceIdError()
    with pytest.raises(StateError, match=r"group\.instance\.id"):
        transactions.commit([message(b"1")], {HERE: 5}, lambda: None)
