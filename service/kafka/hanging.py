"""Transactions that are over, and that a partition holds open for ever.

A broker that is started again can be asked to end a transaction before it knows of the partitions
in which it has to say so. Then it says of itself that the transaction is over, and readers of what
is committed see nothing that is behind it, though it is all there.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.admin import AbortTransactionSpec, TransactionState

OFFSETS_TOPIC = "__consumer_offsets"
OVER = {TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT}


class Open(NamedTuple):
    """A transaction that has begun in a partition and not ended there."""

    place: TopicPartition
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    start_offset: int


def end_hanging(admin: Any, prefix: str, topics: Iterable[str]) -> list[str]:
    """End in these topics, and in that of the groups' offsets, what producers whose transactional
    id begins with `prefix` have left behind; where it was. Raises KafkaError, where it may not.

    It is aborted: what a transaction left in other partitions may count, what it left here was seen
    by nobody.
    """
    places = _places(admin, {*topics, OFFSETS_TOPIC})
    before = open_transactions(admin, places)
    over = {
        one.producer_id
        for one in chain.from_iterable(admin.list_transactions().values())
        if one.transactional_id.startswith(prefix) and one.state in OVER
    }
    # One that was still going on at first would be over by now, and not open any more.
    hanging = [one for one in before & open_transactions(admin, places) if one.producer_id in over]
    for one in hanging:
        abort(admin, one)
    return [f"{one.place.topic}-{one.place.partition} at {one.start_offset}" for one in hanging]


def abort(admin: Any, one: Open) -> None:
    """Write the marker that is missing."""
    admin.abort_transaction(AbortTransactionSpec(*one[:4]))


def _places(admin: Any, topics: set[str]) -> list[TopicPartition]:
    return [
        TopicPartition(topic["name"], part["partition_index"])
        for topic in admin.describe_topics(sorted(topics))
        for part in topic["partitions"]
    ]


def open_transactions(admin: Any, places: Iterable[TopicPartition]) -> set[Open]:
    """Those that have no end yet in these partitions."""
    return {
        Open(
            place, one.producer_id, one.producer_epoch, one.coordinator_epoch,
            one.current_transaction_start_offset,
        )
        for place, state in admin.describe_producers(list(places)).items()
        for one in state.active_producers
        if one.current_transaction_start_offset >= 0
    }  # fmt: skip
