"""Fixtures of the tests that need a broker."""

import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient

from tests.conftest import HOW_TO_KAFKA, kafka_home
from tests.kafka.secured import Secured, secured_broker
from tests.kafka.topics import FOR_EVER


@pytest.fixture
def topic(bootstrap_servers: str) -> Iterator[str]:
    name = f"s{uuid.uuid4().hex[:10]}"
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.create_topics({name: {"num_partitions": 2, "configs": FOR_EVER}})
        yield name
        admin.delete_topics([name])


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    home = kafka_home()
    if home is None:
        pytest.skip(f"no broker to secure: {HOW_TO_KAFKA}")
    with secured_broker(home, tmp_path_factory.mktemp("secured")) as broker:
        yield broker
