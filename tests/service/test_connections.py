"""Connections to brokers: what is heard of one that ends."""

import socket
from contextlib import closing
from typing import Any

from kafka.net.selector import NetworkSelector

from service.kafka.connections import Connections

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
