"""Transactions through the end of a broker, and its return."""

import logging
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from service.bench.broker import running_broker
from service.errors import Unavailable
from service.kafka.transactions import Message, Transactions
from tests.conftest import HOW_TO_KAFKA, kafka_home
from tests.kafka.topics import read

WAIT_SECONDS = 60.0
REFUSED = 3  # connections, after which the transaction has asked for one as well


def test_what_was_begun_without_a_broker_ends_once_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client drops what it had to ask when no connection was to be had; we do not let it:
    the memories would be read again, for half a minute in which nothing is scored."""
    home = kafka_home()
    if home is None:
        pytest.skip(f"no broker to kill: {HOW_TO_KAFKA}")
    counted: list[str] = []
    with running_broker(home, tmp_path / "kafka") as broker:
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            admin.create_topics({"t": {"num_partitions": 1}})
        transactions = Transactions([broker.address], {}, "t.test", lambda: "g")
        with closing(transactions):
            transactions.open()
            first = [Message("t", b"k", b"first")]
            transactions.commit(first, {}, lambda: counted.append("first"))
            broker.kill(signal.SIGTERM)
            second = [Message("t", b"k", b"second")]
            with caplog.at_level(logging.ERROR, "kafka.net.manager"):
                transactions.commit(second, {}, lambda: counted.append("second"), wait=False)
                wait_for(caplog, REFUSED, "Connection failed")
            broker.start()
            settled(transactions)
        assert counted == ["first", "second"]
        assert [one.value for one in read(broker.address, "t", 0)] == [b"first", b"second"]


def wait_for(caplog: pytest.LogCaptureFixture, count: int, message: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while sum(message in one for one in list(caplog.messages)) < count:
        assert time.monotonic() < deadline, f"never {count} times: {message}"
        time.sleep(0.01)


def settled(transactions: Transactions) -> None:
    """Once it is known what became of the last one; Unsettled where nobody will know."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return transactions.settle()
        except Unavailable:
            assert time.monotonic() < deadline, "it does not end"
