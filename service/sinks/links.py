"""Traces of the records that anomalies are about, linked to the batch's own trace."""

from collections.abc import Iterator

from service.kafka.headers import headers_of
from service.records import Delivery
from service.telemetry.tracing import About, link

TRACEPARENT = "traceparent"  # the header, by W3C's name


class Links:
    """A sink: whoever wrote a record finds what was said of it, from its trace and back."""

    def deliver(self, delivery: Delivery) -> None:
        link(_contexts(delivery))

    def flush(self, wait: bool = True) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """There is nothing to close."""


def _contexts(delivery: Delivery) -> Iterator[tuple[bytes, About]]:
    """Those of anomalies' records alone: of others nobody reads the headers."""
    for anomaly in delivery.anomalies:
        for name, value in headers_of(delivery.raw, anomaly["offset"]):
            if name == TRACEPARENT:
                yield value, {"wakeful.anomaly": anomaly["id"]}
