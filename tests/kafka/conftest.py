"""Fixtures of the tests that need a broker."""

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient

from tests.kafka.topics import FOR_EVER


@pytest.fixture
def topic(bootstrap_servers: str) -> Iterator[str]:
    name = f"s{uuid.uuid4().hex[:10]}"
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.create_topics({name: {"num_partitions": 2, "configs": FOR_EVER}})
        yield name
        admin.delete_topics([name])
