"""What logs and traces say: one form for every line, and which records it is about."""

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.api.app import create_app
from service.bootstrap import build_service
from service.errors import SettingsError
from service.records import RawBatch
from service.settings.tree import Settings
from service.sinks.links import Links
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import no_span, spans
from tests.processes import wakeful
from tests.service.parts import make_pipeline, raw_batch, wave

LOCAL = "http://127.0.0.1"
LINES = """
import logging, warnings
from service.telemetry.logging import configure_logging, log
configure_logging()
configure_logging()
log.info("ours", offset=17)
logging.getLogger("kafka.conn").warning("no %s", "broker")
logging.getLogger("kafka.conn").info("nobody asked")
warnings.warn("old")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("uvicorn.error").exception("broken")
"""
HELD = """
from service.telemetry.logging import configure_logging, log
configure_logging()

def broken(n):
    held = "told to " + "nobody"
    return n / 0

try:
    broken(1)
except ZeroDivisionError as error:
    log.error("broken", exc_info=error)
"""


def test_every_line_of_the_log_is_an_object_with_a_level_and_a_time() -> None:
    """Those of libraries too: what reads logs has one form to read."""
    ran = subprocess.run([sys.executable, "-c", LINES], check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    said = [(line["level"], line["event"], line.get("logger")) for line in lines]
    assert all("timestamp" in line for line in lines)
    assert said[:2] == [("info", "ours", None), ("warning", "no broker", "kafka.conn")]
    assert [level for level, _, _ in said] == ["info", "warning", "warning", "error"]
    assert "old" in said[2][1]
    assert lines[3]["exception"][0]["exc_type"] == "ZeroDivisionError"


def test_a_traceback_on_a_terminal_shows_no_local_variable() -> None:
    """Where `rich` is installed, too, which would show them."""
    ours, terminal = pty.openpty()
    said = b""
    with subprocess.Popen([sys.executable, "-c", HELD], stderr=terminal):
        os.close(terminal)
        with suppress(OSError):  # at the terminal's end
            while part := os.read(ours, 10_000):
                said += part
    os.close(ours)
    assert b"ZeroDivisionError" in said
    assert b"told to nobody" not in said


def test_where_a_batch_breaks_what_should_not_break_the_log_says_which_records() -> None:
    """Whoever looks for the cause needs the records."""
    pipeline, collected = make_pipeline([raw_batch(wave(20), first_offset=40)])

    def broken(delivery: object) -> None:
        raise ZeroDivisionError

    collected.deliver = broken  # type: ignore[method-assign]
    with capture_logs() as logs, pytest.raises(ZeroDivisionError):
        pipeline.run()
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert (line["topic"], line["partition"]) == ("events", 0)
    assert (line["first"], line["last"]) == (40, 59)


def test_an_error_of_the_service_itself_is_found_in_its_log_by_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer names it, and says nothing of the inside."""
    service = build_service(Settings.model_construct(data_dir=tmp_path))

    def broken(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(service.history, "dead_letters", broken)
    try:
        client = TestClient(create_app(service), LOCAL, raise_server_exceptions=False)
        with capture_logs() as logs:
            answer = client.get("/api/v1/dead-letters")
    finally:
        service.close()
    (line,) = logs
    assert answer.status_code == 500
    assert answer.json()["instance"] == line["instance"]
    assert line["request"] == "GET /api/v1/dead-letters"
    assert "inside" not in answer.text


def test_no_trace_is_made_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    assert spans() is no_span
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert spans() is no_span
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER"):
        spans()


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The address of something that takes traces, and what it was sent."""
    bodies: list[bytes] = []

    class Taken(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
            pass

    server = HTTPServer(("127.0.0.1", 0), Taken)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_batch_is_traced_through_its_stages_to_a_collector(tmp_path: Path) -> None:
    """One trace a batch: where its time went, and which records it was."""
    pytest.importorskip("opentelemetry.sdk", reason="install the extra otel")
    messages = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    with collector() as (address, bodies):
        asked = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        data_dir = str(tmp_path / "data")
        with wakeful("serve", "--port", "0", "--data-dir", data_dir, environment=asked) as process:
            event = {"stream": "web-1", "time": "2026-11-21T07:00:00Z", "cpu": 0.4}
            process.post("/api/v1/events?scores=true", json.dumps(event).encode())
        told = [messages.ExportTraceServiceRequest.FromString(body) for body in bodies]
    resources = [resource for one in told for resource in one.resource_spans]
    sent = [span for one in resources for scope in one.scope_spans for span in scope.spans]
    (batch,) = [span for span in sent if span.name == "batch"]
    about: dict[str, Any] = {
        one.key: one.value.string_value or one.value.int_value for one in batch.attributes
    }
    assert about["messaging.destination.name"] == "log"
    assert (about["messaging.kafka.offset"], about["messaging.batch.message_count"]) == (0, 1)
    within = {span.name for span in sent if span.parent_span_id == batch.span_id}
    assert {"decode", "score", "deliver"} <= within
    assert "checkpoint" in {span.name for span in sent}
    (service,) = {
        one.value.string_value
        for resource in resources
        for one in resource.resource.attributes
        if one.key == "service.name"
    }
    assert service == "wakeful"


def exemplars(metrics: Metrics) -> dict[str, dict[str, str]]:
    """Of each stage, the labels of the newest."""
    (family,) = metrics.stage_seconds.collect()
    told = sorted(
        (sample.exemplar.timestamp, sample.labels["stage"], sample.exemplar.labels)
        for sample in family.samples
        if sample.exemplar
    )
    return {stage: labels for _, stage, labels in told}


def test_the_time_of_a_stage_says_which_records_it_was() -> None:
    """Whoever sees a slow batch finds it."""
    pipeline, _ = make_pipeline([raw_batch(wave(20), first_offset=40)])
    pipeline.run()
    told = exemplars(pipeline.metrics)
    here = {"topic": "events", "partition": "0", "offset": "40"}
    assert {told[stage]["offset"] for stage in ("decode", "score", "deliver")} == {"40"}
    assert told["score"] == here
    assert "checkpoint" not in told  # of no batch


def test_a_topic_of_any_name_leaves_an_exemplar_within_its_bounds() -> None:
    metrics = Metrics()
    with metrics.batch(("t" * 249, 12), 2**62, 1), metrics.stage("score"):
        pass
    assert exemplars(metrics)["score"] == {"partition": "12", "offset": str(2**62)}


def test_exemplars_are_for_who_takes_openmetrics(tmp_path: Path) -> None:
    service = build_service(Settings.model_construct(data_dir=tmp_path))
    with service.metrics.batch(("events", 0), 17, 1), service.metrics.stage("score"):
        pass
    try:
        client = TestClient(create_app(service), LOCAL)
        plain = client.get("/metrics")
        rich = client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    finally:
        service.close()
    assert plain.headers["content-type"].startswith("text/plain")
    assert "# {" not in plain.text
    assert rich.headers["content-type"].startswith("application/openmetrics-text")
    assert '# {offset="17",partition="0",topic="events"}' in rich.text
    assert rich.text.endswith("# EOF\n")


def number(value: int) -> bytes:
    """As Kafka writes one: zigzag, small enough for a byte."""
    assert 0 <= value < 64
    return bytes([value << 1])


def with_header(value: bytes, name: bytes, header: bytes) -> RawBatch:
    """A record with a header behind its value, as Kafka stores it."""
    behind = number(1) + number(len(name)) + name + number(len(header)) + header
    raw = raw_batch([value + behind])
    raw.values[0, 1] = len(value)
    return replace(raw, headers=True)


def delivered(header: bytes) -> Any:
    """The span in which an anomaly was delivered whose record had this `traceparent`, and its
    exemplar's trace."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="install the extra otel")
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    simple = pytest.importorskip("opentelemetry.sdk.trace.export").SimpleSpanProcessor
    kept, provider = export.InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(simple(kept))
    tracer = provider.get_tracer("test")
    metrics = Metrics(lambda name, about: tracer.start_as_current_span(name, attributes=about))
    raw = with_header(b"{}", b"traceparent", header)
    told: Any = SimpleNamespace(raw=raw, anomalies=[{"id": "default:events:0:0", "offset": 0}])
    with metrics.batch(("events", 0), 0, 1), metrics.stage("deliver"):
        Links().deliver(told)
    span, _ = kept.get_finished_spans()
    trace = f"{span.context.trace_id:032x}"
    assert exemplars(metrics)["deliver"]["trace_id"] == trace
    return span


def test_an_anomaly_links_the_trace_of_its_record() -> None:
    """From what a producer did to what was said of it, and back."""
    trace, there = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    (link,) = delivered(f"00-{trace}-{there}-01".encode()).links
    assert f"{link.context.trace_id:032x}" == trace
    assert f"{link.context.span_id:016x}" == there
    assert dict(link.attributes) == {"wakeful.anomaly": "default:events:0:0"}


@given(st.binary(max_size=60))
def test_a_header_that_is_no_trace_context_links_nothing(header: bytes) -> None:
    assert len(delivered(header).links) == 0
