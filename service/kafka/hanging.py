"""Transactions that are over, and that a partition holds open for ever.

A broker that is started again can be asked to end a transaction before it knows of the partitions
in which it has to say so. Then it says of itself that the transaction is over. Readers of what is
committed see nothing that is behind it in such a partition, though it is all there; and where its
producer writes there again, what was aborted is committed with what comes next, and told twice.
"""

from collections.abc import Iterable, Mapping
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.admin import AbortTransactionSpec, TransactionState
from kafka.errors import (
    TopicAuthorizationFailedError,
    TransactionalIdNotFoundError,
    UnsupportedVersionError,
)

OFFSETS_TOPIC = "__consumer_offsets"
COMMITTED = {TransactionState.PREPARE_COMMIT, TransactionState.COMPLETE_COMMIT}
OVER = {TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT}


class Open(NamedTuple):
    """A transaction that has begun in a partition and not ended there."""

    place: TopicPartition
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    start_offset: int


class Past(NamedTuple):
    """What the coordinator says of a producer's last transaction."""

    producer_id: int
    producer_epoch: int
    state: TransactionState


def past_of(admin: Any, name: str) -> Past | None:
    """Of who has this transactional id; None where there was nobody, or a broker before 3.0 does
    not say."""
    try:
        return _pasts(admin, [name])[0]
    except (TransactionalIdNotFoundError, UnsupportedVersionError):
        return None


def end_own(admin: Any, past: Past, topics: Iterable[str]) -> tuple[list[str], list[str]]:
    """End in these topics, and in that of the groups' offsets, what we left behind under a name
    that we have taken anew: where it was, and topics in which we may not look. Nothing of ours goes
    on, so that what is open hangs."""
    found: set[Open] = set()
    unseen = []
    for topic, places in groupby(_places(admin, {*topics, OFFSETS_TOPIC}), itemgetter(0)):
        try:
            found |= open_transactions(admin, places)
        except TopicAuthorizationFailedError:
            unseen.append(str(topic))
    return _ended(admin, found, {past.producer_id: past}), unseen


def end_hanging(admin: Any, prefix: str, topics: Iterable[str]) -> list[str]:
    """The same of all producers whose transactional id begins with `prefix`, if their transactions
    are over. Raises KafkaError, where it may not."""
    places = _places(admin, {*topics, OFFSETS_TOPIC})
    before = open_transactions(admin, places)
    names = {
        one.transactional_id
        for one in chain.from_iterable(admin.list_transactions().values())
        if one.transactional_id.startswith(prefix)
    }
    over = {one.producer_id: one for one in _pasts(admin, sorted(names)) if one.state in OVER}
    # One that was still going on at first would be over by now, and not open any more.
    return _ended(admin, before & open_transactions(admin, places), over)


def _ended(admin: Any, found: Iterable[Open], over: Mapping[int, Past]) -> list[str]:
    """As the coordinator decided: what it left in other partitions counts already, or does not. The
    group's offsets come last: they say that all before them was told."""
    hanging = [one for one in found if one.producer_id in over]
    for one in sorted(hanging, key=lambda one: one.place.topic == OFFSETS_TOPIC):
        last = over[one.producer_id]
        commits = last.state in COMMITTED and one.producer_epoch == last.producer_epoch
        _mark(admin, one, commits)
    return [f"{one.place.topic}-{one.place.partition} at {one.start_offset}" for one in hanging]


def _mark(admin: Any, one: Open, commits: bool) -> None:
    """Write the marker that is missing, as `abort_transaction` of the client does, which knows no
    other end."""
    spec = AbortTransactionSpec(*one[:4])
    request = admin._abort_transaction_request(spec)
    request.markers[0].transaction_result = commits

    async def mark() -> None:
        (leader,) = await admin._async_get_leader_for_partitions([one.place])
        response = await admin._manager.send(request, node_id=leader)
        admin._abort_transaction_process_response(response, spec)

    admin._manager.run(mark)


def _pasts(admin: Any, names: list[str]) -> list[Past]:
    if not names:
        return []
    described = admin.describe_transactions(names).values()
    return [Past(one.producer_id, one.producer_epoch, one.state) for one in described]


def _places(admin: Any, topics: set[str]) -> list[TopicPartition]:
    """Their partitions, of those topics that are there."""
    return [
        TopicPartition(topic["name"], part["partition_index"])
        for topic in admin.describe_topics()
        if topic["name"] in topics
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
