"""Traces of what becomes of a batch, by OpenTelemetry; none unless its variables ask for them.

`OTEL_TRACES_EXPORTER=otlp` has spans sent; where to, and which, is said by OpenTelemetry's other
variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_TRACES_SAMPLER`.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import MappingProxyType

from service.errors import SettingsError

About = Mapping[str, str | int]
Span = Callable[[str, About], AbstractContextManager[object]]
"""Opens a span of this name, within the one that is open, with what it is about."""

NOTHING: About = MappingProxyType({})
NO_SPAN = nullcontext()
ASKED_BY = "OTEL_TRACES_EXPORTER"
TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")  # W3C trace context


def no_span(_name: str, _about: About) -> AbstractContextManager[object]:
    return NO_SPAN


def spans() -> Span:
    """As the environment asks for; SettingsError where that is not to be had."""
    match os.environ.get(ASKED_BY, "none"):
        case "none" | "":
            return no_span
        case "otlp":
            return _sent()
        case other:
            raise SettingsError(f"{ASKED_BY}: {other!r} is not known; otlp or none")


@cache
def _sent() -> Span:
    """Spans that a thread of OpenTelemetry sends in the background, the last ones at the end. One
    for the process, whose settings may be read again."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(f"{ASKED_BY}: {error}; .venv/bin/pip install -e '.[otel]'") from None
    name = os.environ.get("OTEL_SERVICE_NAME", "wakeful")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("wakeful")
    return lambda name, about: tracer.start_as_current_span(name, attributes=dict(about))


def trace_id() -> str | None:
    """Of the trace that is open, where it is to be sent."""
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        return None
    context = trace.get_current_span().get_span_context()
    sampled = context.is_valid and context.trace_flags.sampled
    return f"{context.trace_id:032x}" if sampled else None


def link(contexts: Iterable[tuple[bytes, About]]) -> None:
    """Link the span that is open to those that W3C trace contexts name, each with what it is about.
    Where no span is recorded they are not looked at; what is no such context is left out."""
    if (trace := sys.modules.get("opentelemetry.trace")) is None:
        return
    span = trace.get_current_span()
    if not span.is_recording():
        return
    for text, about in contexts:
        if (found := TRACEPARENT.fullmatch(text)) is not None:
            there, span_there, flags = (int(part, 16) for part in found.groups())
            context = trace.SpanContext(there, span_there, True, trace.TraceFlags(flags))
            span.add_link(context, dict(about))
