"""Connections to brokers: what is heard of one that ends."""

import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaConnectionError
from kafka.net.selector import NetworkSelector

from service.kafka.connections import Client, Connections
from service.kafka.options import client_options

WHY = b"wrong password"


class Heard:
    """What a connection's other end says; what the client calls it with."""

    _sensors = None

    def __init__(self) -> None:
        self.data = b""
        self.end: Any = None

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, end: Any) -> None:
        self.end = end


def test_why_a_broker_hangs_up_is_read_though_it_has_hung_up_by_then() -> None:
    net, heard = NetworkSelector(), Heard()
    with closing(net), socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        connections = Connections(dict, net, bootstrap_servers=address)
        (broker,) = connections.cluster.bootstrap_brokers()
        transport = net.run(connections._build_transport, broker)
        answering, _ = server.accept()
        answering.sendall(WHY)
        answering.close()
        transport.set_protocol(heard)
        transport.resume_reading()
        while heard.end is None:
            net.poll(timeout_ms=1000)
        connections.close()
    assert heard.data == WHY


def test_a_broker_that_says_nothing_of_tls_is_not_waited_for() -> None:
    """It takes connections, as a stopped process does; the client would wait for ever."""
    known = client_options({"security.protocol": "SSL"}, KafkaAdminClient.DEFAULT_CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(KafkaConnectionError, match="TLS handshake"):
            KafkaAdminClient(bootstrap_servers=address, bootstrap_timeout_ms=500, **known)


def test_a_file_that_is_missing_is_an_error_of_the_clients(tmp_path: Path) -> None:
    """Any other would end its loops: no change of a leader would be heard of again."""
    net = NetworkSelector()
    with closing(net), socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        connections = Connections(
            dict, net, bootstrap_servers=address, security_protocol="SSL",
            ssl_cafile=str(tmp_path / "missing.pem"),
        )  # fmt: skip
        (broker,) = connections.cluster.bootstrap_brokers()
        with pytest.raises(KafkaConnectionError) as raised:
            net.run(connections._build_transport, broker)
        connections.close()
    assert isinstance(raised.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("config", [{}, {"group_id": "g"}])
def test_who_reads_makes_no_topic(config: dict[str, str]) -> None:
    client = Client(dict, bootstrap_servers="127.0.0.1:1", **config)
    asked = client.cluster.metadata_request()
    client.close()
    assert asked.allow_auto_topic_creation == (not config)
