"""Fixtures of the tests that need a broker."""

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient


@pytest.fixture
def topic(bootstrap_servers: str) -> Iterator[str]:
    name = f"s{uuid.uuid4().hex[:10]}"
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}})
        yield name
        admin.delete_topics([name])
