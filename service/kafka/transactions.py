"""Writes to Kafka that count together, or not at all."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from kafka import KafkaProducer, TopicPartition
from kafka.errors import ClusterAuthorizationFailedError, FencedInstanceIdError, KafkaError
from kafka.structs import OffsetAndMetadata

from service.errors import StateError, Unavailable, Unsettled
from service.kafka.hanging import Past, end_own, past_of
from service.kafka.options import client_options
from service.kafka.rights import TOPIC, Right
from service.kafka.trouble import Trouble
from service.records import Partition
from service.telemetry.logging import log

ANSWER_SECONDS = 5.0  # for which the end of a transaction is waited for at once
BLOCK_MS = 5000  # for which sending waits for the broker or a topic
RECONNECT_MS = 2000
RETRY_MS = 20  # a first transaction waits for it many times; by itself the client takes 100
TIMEOUT_MS = 20_000  # after which brokers abort what a dead process left open
CLOSE_SECONDS = 10.0  # after which a client that is left is ended by force
GIVE_UP_SECONDS = 30.0  # longer than brokers need: then the client itself is stuck
MARKER = 1  # record, behind those of a transaction in each partition
FLUSH_BYTES = 32 * 2**20  # of messages that wait to be sent

T = TypeVar("T")

Header = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """A message to write; `partition` None: by its key."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    partition: int | None = None


class Transactions:
    """One producer, whose transactions are ended one at a time. Used by one thread.

    `name` is the transactional id: whoever takes it ends what its last owner left open. `member`
    gives the consumer's place in its group: offsets of one that the group has left behind are
    refused, and the transaction with them. Or it gives the group's name alone, where it is known
    that nobody is in it. Nothing begins before we have the `rights`.
    """

    def __init__(
        self, bootstrap_servers: list[str], options: dict[str, Any], name: str,
        member: Callable[[], Any], rights: Sequence[Right] = (),
    ) -> None:  # fmt: skip
        self._name = name
        self._topics = {
            one.name for one in rights if (one.operation, one.resource) == ("WRITE", TOPIC)
        }
        self._config = {
            "linger_ms": 5,
            "max_block_ms": BLOCK_MS,
            "reconnect_backoff_max_ms": RECONNECT_MS,
            "retry_backoff_ms": RETRY_MS,
            "transaction_timeout_ms": TIMEOUT_MS,
            **client_options(options, KafkaProducer.DEFAULT_CONFIG),
            "acks": "all",
            "bootstrap_servers": bootstrap_servers,
            "transactional_id": name,
        }
        self.address = ""
        """Where the group's offsets say that whoever has the partition answers."""
        self._trouble = Trouble(bootstrap_servers, options, rights)
        self._member = member
        self._producer: Any = None
        self.ends: dict[Partition, int] = {}
        """Behind what was written here last and counts, by partition of any topic."""
        self._ending: Future[dict[Partition, int]] | None = None
        self._unsettled: Unsettled | None = None  # until it is opened anew
        self._past: Past | None = None  # until it has ended: to take our name changes what is known
        self._counted: Callable[[], None] = lambda: None
        self._given_up = 0.0
        self._offsets: dict[Partition, int] = {}

    def resume(self, partition: Partition, offset: int | None) -> None:
        """The group has given the partition to us; its offset there is this."""
        self._offsets[partition] = offset or 0

    def forget(self, partition: Partition) -> None:
        """It is somebody else's."""
        self._offsets.pop(partition, None)

    def offset(self, partition: Partition) -> int:
        """The group's offset: what is below it was told to those who read what is committed."""
        return self._offsets.get(partition, 0)

    def open(self) -> None:
        """End what a process of the same name has left open; Unavailable where nobody answers, or
        where we lack a right."""
        try:
            with self._trouble.checked() as admin:
                if self._producer is not None:
                    self._producer.init_transactions()
                else:
                    with self._past_ended(admin):
                        self._producer = KafkaProducer(**self._config)
                        self._producer.init_transactions()
        except KafkaError as error:
            raise self._unavailable(error) from error
        except Unavailable:
            self._discard()  # the next one looks again
            raise
        self._unsettled = None

    @contextmanager
    def _past_ended(self, admin: Any) -> Iterator[None]:
        """What we left behind is ended once we have taken our name anew, also where brokers forgot
        to, see `service.kafka.hanging`."""
        if not self._topics:
            yield
            return
        past = self._past = self._past or past_of(admin, self._name)
        yield
        if past is not None:
            self._end_own(admin, past)
        self._past = None

    def _end_own(self, admin: Any, past: Past) -> None:
        try:
            ended, unseen = end_own(admin, past, self._topics)
        except ClusterAuthorizationFailedError as error:  # it is there, and not ours to end
            raise Unavailable(
                "kafka: a transaction of ours hangs, and what is written next would be told twice: "
                f"`kafka-transactions.sh find-hanging` says where it is (producer "
                f"{past.producer_id}), `abort` ends it; or grant Alter on the cluster, and we do"
            ) from error
        if ended:
            log.warning("ended transactions of ours that were over and hung", where=ended)
        if unseen:
            log.info("may not look for transactions of ours that hang", topics=unseen)

    def commit(
        self,
        messages: Iterable[Message],
        offsets: dict[Partition, int],
        counted: Callable[[], None],
        wait: bool = True,
    ) -> None:
        """Write messages and the group's offsets; `counted` is called once they count: by this
        call, or where it is not to `wait` by a later one.

        The group's offset never goes back: where memories are read again it stays ahead of them.
        Unavailable: they do not, or it is not known yet; then the next call finds out first.
        Unsettled: nobody will know, or we are in no group that could take it. What messages raise
        goes through.
        """
        self.settle()
        ahead = {
            partition: max(offset, self.offset(partition)) for partition, offset in offsets.items()
        }
        member = self._present_member() if ahead else None
        if self._producer is None:
            self.open()
        try:
            self._producer.begin_transaction()
            sent = self._send(messages)
        except (KafkaError, ValueError) as error:  # a partition that it does not know yet
            raise self._unavailable(error) from error
        except BaseException:
            self._discard()  # whoever takes its name aborts what it began
            raise
        self._given_up = time.monotonic() + GIVE_UP_SECONDS
        self._counted = lambda: self._ended(ahead, counted)
        self._ending = _in_background(
            partial(_commit, self._producer, sent, self._with_address(ahead), member)
        )
        if wait:
            self.settle()

    @property
    def busy(self) -> bool:
        """Whether the last transaction has no end yet."""
        return self._ending is not None and not self._ending.done()

    def settle(self) -> None:
        """Wait for the end of the last transaction; raises as `commit` does. What is not settled
        stays so, whoever was told, until all is opened anew and the memories are read again."""
        if self._unsettled is not None:
            raise self._unsettled
        if self._ending is None:
            return
        try:
            self.ends |= self._ending.result(ANSWER_SECONDS)
        except TimeoutError:
            if time.monotonic() < self._given_up:
                raise Unavailable(
                    "kafka: a transaction has no end yet; is the broker up?"
                ) from None
            self._discard()
            self._unsettled = Unsettled(f"kafka: no end of a transaction in {GIVE_UP_SECONDS:g} s")
            raise self._unsettled from None
        except Unsettled as error:
            self._discard()
            self._unsettled = error
            raise
        except FencedInstanceIdError as error:
            self._discard()
            raise StateError(
                "kafka: another process is in the group under our group.instance.id, and goes on "
                "with what was ours; if both are to run, give each a data_dir or a name of its own"
            ) from error
        except KafkaError as error:  # it was aborted; the client would go on with its offsets
            raise self._unavailable(error) from error
        self._ending = None
        self._counted()

    def close(self) -> None:
        """Leave; a transaction that has no end yet is aborted by the brokers."""
        self._discard()

    def _send(self, messages: Iterable[Message]) -> list[Any]:
        """What the client promises of each."""
        waiting, sent = 0, []
        for message in messages:
            headers = list(message.headers)
            promise = self._producer.send(
                message.topic, message.value, message.key, headers, message.partition
            )
            sent.append(promise)
            waiting += len(message.value or b"")
            if waiting > FLUSH_BYTES:
                self._producer.flush(timeout=ANSWER_SECONDS)
                waiting = 0
        return sent

    def _with_address(self, offsets: dict[Partition, int]) -> dict[TopicPartition, Any]:
        return {
            TopicPartition(*partition): OffsetAndMetadata(offset, self.address, -1)
            for partition, offset in offsets.items()
        }

    def _ended(self, offsets: dict[Partition, int], counted: Callable[[], None]) -> None:
        for partition in offsets.keys() & self._offsets.keys():  # one may have been away since
            self._offsets[partition] = max(offsets[partition], self._offsets[partition])
        counted()

    def _present_member(self) -> Any:
        """Our place in the group as the transaction begins: what we hold now can be somebody else's
        in a later generation alone, and then brokers refuse it, however late it ends. Unsettled
        where we have none; offsets of nobody in particular would fence nothing."""
        member = self._member()
        if not isinstance(member, str) and member.generation_id < 0:
            raise Unsettled("kafka: we are not in the group now, what we held may be another's")
        return member

    def _unavailable(self, error: Exception) -> Unavailable:
        """Without the client that it came from: whoever takes its name aborts what it began."""
        client = self._producer
        self._discard()
        return self._trouble.of(error, client)

    def _discard(self) -> None:
        """Leave the client to itself: should it still write, it is refused once another one has its
        name."""
        producer, self._producer, self._ending = self._producer, None, None
        if producer is not None:
            _in_background(partial(_leave, producer))


def _commit(
    producer: Any, sent: list[Any], told: dict[TopicPartition, Any], member: Any
) -> dict[Partition, int]:
    """End it, and say where: in a thread of its own, as the client waits for as long as the broker
    is away. It knows of nothing else: a client that is stuck would keep a service that was long
    followed."""
    ends: dict[Partition, int] = {}
    try:
        producer.flush()
        for promise in sent:  # the client may leave one out and commit the others
            if promise.failed():
                raise promise.exception
            written = promise.value
            ends[written.topic, written.partition] = written.offset + 1 + MARKER
        if told:
            producer.send_offsets_to_transaction(told, member)
        producer.commit_transaction()
    except KafkaError as error:
        try:
            producer.abort_transaction()
        except KafkaError as another:
            raise Unsettled(f"kafka: {error!r}, then {another!r}") from another
        raise
    return ends


def _leave(producer: Any) -> None:
    with suppress(KafkaError):  # there is nothing to abort, or nobody to tell
        producer.abort_transaction()
    producer.close(CLOSE_SECONDS)


def _in_background(call: Callable[[], T]) -> "Future[T]":
    """Run it in a thread that does not keep the process from ending."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
            result.set_exception(error)

    threading.Thread(target=run, name="transaction", daemon=True).start()
    return result
