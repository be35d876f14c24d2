"""Who has the memories of which partition: an instance's address is with the group's offsets."""

import threading
import time
from contextlib import closing
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import GroupIdNotFoundError, KafkaError
from kafka.partitioner.default import murmur2

from service.kafka.options import client_options
from service.kafka.rights import GROUP, Right
from service.kafka.trouble import Trouble

FRESH_SECONDS = 2.0  # for which what was found is taken for true
ANSWER_MS = 3000


class Owners:
    """Asks the group's coordinator; while it is away, what it last said is taken for true. Usable
    from any thread; one asks at a time."""

    def __init__(self, bootstrap_servers: list[str], options: dict[str, Any], group: str) -> None:
        known = client_options(options, KafkaAdminClient.DEFAULT_CONFIG)
        self._config = {
            "bootstrap_timeout_ms": ANSWER_MS,
            "request_timeout_ms": ANSWER_MS,
            **known,
            "bootstrap_servers": bootstrap_servers,
        }
        rights = [Right("DESCRIBE", GROUP, group, "know who has which partition")]
        self._trouble = Trouble(bootstrap_servers, options, rights)
        self._group = group
        self._lock = threading.Lock()
        self._found: dict[TopicPartition, str] = {}
        self._found_at = -FRESH_SECONDS

    def addresses(self, stream: str | None = None) -> list[str]:
        """Every instance that has partitions; the one first that has the partition to which Kafka's
        own partitioner sends the stream's key. Unavailable where no broker answers."""
        found = self._ask()
        if stream is not None:
            found = dict(sorted(found.items(), key=lambda one: not _keyed(stream, one[0], found)))
        return list(dict.fromkeys(filter(None, found.values())))

    def _ask(self) -> dict[TopicPartition, str]:
        with self._lock:
            if time.monotonic() > self._found_at + FRESH_SECONDS:
                try:
                    with closing(KafkaAdminClient(**self._config)) as admin:
                        offsets = admin.list_group_offsets(self._group)[self._group]
                except KafkaError as error:
                    if not self._found:
                        raise self._trouble.of(error) from error
                else:
                    self._found = {place: told.metadata for place, told in offsets.items()}
                self._found_at = time.monotonic()
            return self._found


def _keyed(stream: str, place: TopicPartition, found: dict[TopicPartition, str]) -> bool:
    """Whether Kafka's partitioner sends a stream's key to this partition."""
    count = sum(other.topic == place.topic for other in found)
    return partition_of(stream.encode(), count) == place.partition


def partition_of(key: bytes, count: int) -> int:
    """To which of so many partitions Kafka's own partitioner sends a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % count)


def members(bootstrap_servers: list[str], options: dict[str, Any], group: str) -> int:
    """How many are in a group. Unavailable where no broker answers."""
    known = client_options(options, KafkaAdminClient.DEFAULT_CONFIG)
    try:
        with closing(
            KafkaAdminClient(**{**known, "bootstrap_servers": bootstrap_servers})
        ) as admin:
            return len(admin.describe_groups([group])[group].get("members") or ())
    except GroupIdNotFoundError:
        return 0
    except KafkaError as error:
        rights = [Right("DESCRIBE", GROUP, group, "see that nobody is in it")]
        raise Trouble(bootstrap_servers, options, rights).of(error) from error
