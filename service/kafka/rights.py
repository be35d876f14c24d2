"""What the service needs to be allowed to do, and what of it brokers do not allow."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

TOPIC, GROUP, TRANSACTIONS = "topic", "group", "transactional id"
FLAGS = {TOPIC: "--topic", GROUP: "--group", TRANSACTIONS: "--transactional-id"}
PREFIXED = "--resource-pattern-type prefixed"
REFUSALS = {
    TOPIC: TopicAuthorizationFailedError,
    GROUP: GroupAuthorizationFailedError,
    TRANSACTIONS: TransactionalIdAuthorizationFailedError,
}


class Right(NamedTuple):
    """An operation on a resource, and what for; see docs/kafka-security.md."""

    operation: str
    resource: str
    name: str
    reason: str

    def __str__(self) -> str:
        named = f"{FLAGS[self.resource]} {self.name}"
        if self.resource == TRANSACTIONS:  # every instance has one
            named = f"{FLAGS[TRANSACTIONS]} {self.name.rpartition('.')[0]}. {PREFIXED}"
        return (
            f"{self.operation} on the {self.resource} {self.name} (to {self.reason}): "
            f"kafka-acls.sh --add --allow-principal User:… --operation {self.operation.title()} "
            f"{named}"
        )


def needed(
    read: Iterable[str], told: Iterable[str], memories: Iterable[str], group: str, name: str
) -> list[Right]:
    """Of a group that reads topics, tells to others, and has memories and transactions."""
    return [
        *(Right("READ", TOPIC, topic, "read events") for topic in read),
        *(Right("WRITE", TOPIC, topic, "tell what was found") for topic in told),
        *(Right("READ", TOPIC, topic, "restore memories") for topic in memories),
        *(Right("WRITE", TOPIC, topic, "save memories") for topic in memories),
        Right("READ", GROUP, group, "share partitions and keep offsets"),
        Right("WRITE", TRANSACTIONS, name, "write what counts together"),
    ]


def missing(admin: Any, rights: Sequence[Right], error: Exception | None = None) -> list[Right]:
    """Those that brokers do not give us, as far as they say, and those that an error is about.

    A topic's operations they tell whoever may describe it, which who may read or write it may; a
    group's too, once it is there; of transactions only whether they may be seen. Older brokers say
    nothing of all that.
    """
    topics = {one.name for one in rights if one.resource == TOPIC}
    allowed = {
        (TOPIC, told["name"]): _operations(told) for told in admin.describe_topics(sorted(topics))
    }
    for resource, describe in (
        (GROUP, lambda name: admin.describe_groups([name])[name]),
        (TRANSACTIONS, lambda name: admin.describe_transactions([name])),
    ):
        for name in {one.name for one in rights if one.resource == resource}:
            allowed[resource, name] = _allowed(resource, name, describe, error)
    return [
        one
        for one in rights
        if (operations := allowed.get((one.resource, one.name))) is not None
        and one.operation not in operations
    ]


def absent(admin: Any, rights: Sequence[Right]) -> list[str]:
    """Topics that are not there."""
    topics = sorted({one.name for one in rights if one.resource == TOPIC})
    told = admin.describe_topics(topics) if topics else ()
    unknown = UnknownTopicOrPartitionError.errno
    return [topic["name"] for topic in told if topic["error_code"] == unknown]


def _allowed(resource: str, name: str, describe: Any, error: Exception | None) -> set[str] | None:
    """What may be done with a group, or a transactional id; None where nobody says."""
    if isinstance(error, REFUSALS[resource]):
        return set()
    try:
        told = describe(name)
    except REFUSALS[resource]:
        return set()
    except (KafkaError, KeyError):  # it is not there yet, or whoever looks after it is not
        return None
    return _operations(told) if resource == GROUP else None


def _operations(told: dict[str, Any]) -> set[str] | None:
    """What may be done with what was described; None where it is not there, or nobody says."""
    refused = told.get("error_code") == TopicAuthorizationFailedError.errno
    if refused or GroupAuthorizationFailedError.message in str(told.get("error")):
        return set()
    if told.get("error_code") or told.get("error") or not told.get("authorized_operations"):
        return None
    return set(told["authorized_operations"])
