"""Transactions that the broker forgot to end."""

import time
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import AbortTransactionSpec

from service.kafka.hanging import Open, open_transactions
from tests.kafka.topics import Names

POLL_SECONDS = 1.0
ENDED_SECONDS = 40.0  # in which brokers end what a dead producer left open


def end_hanging(names: Names) -> int:
    """End, as an operator would with `kafka-transactions.sh`, what nobody else will; how many.

    A broker that is killed while it aborts a dead worker's transaction can say of itself
    (`CompleteAbort` in its transactions' log) that it did, without a marker in the partition. Then
    readers of what is committed see nothing that is behind, though it is all there.
    """
    with closing(KafkaAdminClient(bootstrap_servers=names.servers)) as admin:
        deadline = time.monotonic() + ENDED_SECONDS
        while (some := _open(admin, names)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for one in some:
            admin.abort_transaction(AbortTransactionSpec(*one[:4]))
    return len(some)


def _open(admin: Any, names: Names) -> set[Open]:
    return open_transactions(
        admin,
        [
            TopicPartition(topic["name"], part["partition_index"])
            for topic in admin.describe_topics()
            if topic["name"].startswith(names.events)
            for part in topic["partitions"]
        ],
    )
