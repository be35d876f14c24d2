"""Every metric, in one file. Base units; never a stream's name in a label."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from model.suppression import SUPPRESSED
from service.records import CHANGES, REASONS, SEVERITIES, Partition
from service.telemetry.tracing import NOTHING, About, Span, no_span, trace_id

# When each counter was made would be a series more for each, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

STAGES = ("decode", "score", "deliver", "checkpoint")
MOST_EXEMPLAR = 128  # characters, of names and values, as OpenMetrics has it
STAGE_BUCKETS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class Metrics:
    """The metrics of one process, in a registry of their own, and what opens its traces' spans."""

    def __init__(self, span: Span = no_span) -> None:
        self.span = span
        self._records: dict[str, str] = {}
        self.registry = CollectorRegistry()
        self._of_events(self.registry)
        self._of_alarms(self.registry)
        self._of_memories(self.registry)
        self._of_the_pipeline(self.registry)
        self.process = ProcessCollector(registry=self.registry)

    def _of_events(self, r: CollectorRegistry) -> None:
        self.records = Counter(
            "wakeful_records_total",
            "Records read from the source, for each detector that they are for.",
            ["detector"],
            registry=r,
        )
        self.deleted_unread = Counter(
            "wakeful_records_deleted_unread_total",
            "Records that Kafka deleted before they were read: nobody scored them.",
            registry=r,
        )
        self.scored = Counter(
            "wakeful_events_scored_total", "Events scored.", ["detector"], registry=r
        )
        self.of_replaced = Counter(
            "wakeful_events_of_replaced_artifact_total",
            "Events of which the artifact in `replaces` told, as the new one's memories are not warm; there while `replaces` stands.",
            ["detector"],
            registry=r,
        )
        self.rejected = Counter(
            "wakeful_events_rejected_total",
            "Records rejected to the dead letters, by reason.",
            ["detector", "reason"],
            registry=r,
        )
        self.replayed = Counter(
            "wakeful_events_replayed_total",
            "Records read again after a restart that the memories had seen: they change nothing.",
            ["detector"],
            registry=r,
        )
        self.late = Counter(
            "wakeful_events_late_total",
            "Events scored although their time was behind their stream's newest.",
            ["detector"],
            registry=r,
        )
        self.ignored_fields = Counter(
            "wakeful_fields_ignored_total",
            "Numeric fields in events that are no features of the detector, or whose number is a text.",
            ["detector"],
            registry=r,
        )
        self.missing_values = Counter(
            "wakeful_values_missing_total",
            "Features missing in scored events.",
            ["detector"],
            registry=r,
        )

    def _of_alarms(self, r: CollectorRegistry) -> None:
        self.anomalies = Counter(
            "wakeful_anomalies_total",
            "Anomalous events, by severity.",
            ["detector", "severity"],
            registry=r,
        )
        self.alarms = Counter(
            "wakeful_alarms_total", "Events that notify someone.", ["detector"], registry=r
        )
        self.suppressed = Counter(
            "wakeful_suppressed_total",
            "Anomalous events that can notify nobody: by a mute, or by a rule.",
            ["detector", "by"],
            registry=r,
        )
        self.notifications = Counter(
            "wakeful_notifications_total",
            "What receivers were told: sent, retried, dead.",
            ["target", "outcome"],
            registry=r,
        )
        self.notifications_waiting = Gauge(
            "wakeful_notifications_waiting",
            "What receivers are still to be told.",
            ["target"],
            registry=r,
        )
        self.episodes = Counter(
            "wakeful_episodes_total",
            "Changes of episodes: opened, continued, closed, reopened.",
            ["detector", "change"],
            registry=r,
        )
        self.stream_seconds = Counter(
            "wakeful_stream_seconds_total",
            "Event time watched, summed over streams: alarms against it are the achieved alarm rate.",
            ["detector"],
            registry=r,
        )
        self.budget = Gauge(
            "wakeful_false_alarm_budget_per_week",
            "False alarms that a normal stream may raise in a week: the promise.",
            ["detector"],
            registry=r,
        )

    def _of_memories(self, r: CollectorRegistry) -> None:
        self.streams = Gauge("wakeful_streams", "Streams with a memory.", ["detector"], registry=r)
        self.resident_streams = Gauge(
            "wakeful_resident_streams",
            "Streams whose memory is in this process; the others' waits in the store.",
            ["detector"],
            registry=r,
        )
        self.evicted = Counter(
            "wakeful_evicted_total",
            "Memories of idle streams that left this process for the store.",
            ["detector"],
            registry=r,
        )
        self.recalled = Counter(
            "wakeful_recalled_total",
            "Memories that came back from the store with an event of their stream.",
            ["detector"],
            registry=r,
        )
        self.memory_bytes = Gauge(
            "wakeful_memory_bytes", "Bytes of the resident memories.", ["detector"], registry=r
        )

    def _of_the_pipeline(self, r: CollectorRegistry) -> None:
        self.stage_seconds = Histogram(
            "wakeful_stage_seconds",
            "Time of one batch in a stage of the pipeline.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=r,
        )
        self.checkpoints = Counter("wakeful_checkpoints_total", "Checkpoints saved.", registry=r)
        self.checkpoint_rows = Counter(
            "wakeful_checkpoint_rows_total", "Memories saved by checkpoints.", registry=r
        )
        self.checkpoint_time = Gauge(
            "wakeful_last_checkpoint_timestamp_seconds",
            "When the last checkpoint was saved.",
            registry=r,
        )
        self.unavailable = Counter(
            "wakeful_unavailable_total",
            "Times that a dependency did not answer and the pipeline tried again.",
            registry=r,
        )
        self.lag = Gauge(
            "wakeful_source_lag_records",
            "Records waiting in the source; NaN while nobody can look.",
            registry=r,
        )
        self.ready = Gauge(
            "wakeful_ready", "1 when memories are restored and events are being read.", registry=r
        )
        self.free_bytes = Gauge(
            "wakeful_data_dir_free_bytes", "Room left on the disk of `data_dir`.", registry=r
        )
        for stage in STAGES:
            self.stage_seconds.labels(stage)

    def announce(self, detector: str, budget_per_week: float, replaces: bool = False) -> None:
        """Make a detector's series exist from the start, at 0."""
        self.budget.labels(detector).set(budget_per_week)
        counters = [
            self.records, self.scored, self.replayed, self.late, self.ignored_fields,
            self.missing_values, self.alarms, self.stream_seconds, self.evicted, self.recalled,
        ]  # fmt: skip
        if replaces:  # without a replaced artifact the series is not there
            counters.append(self.of_replaced)
        for counter in counters:
            counter.labels(detector)
        for reason in REASONS:
            self.rejected.labels(detector, reason)
        for by in SUPPRESSED.values():
            self.suppressed.labels(detector, by)
        for severity in SEVERITIES:
            self.anomalies.labels(detector, severity)
        for change in CHANGES.values():
            self.episodes.labels(detector, change)

    @contextmanager
    def batch(self, partition: Partition, first: int, count: int) -> Iterator[None]:
        """Trace a batch of so many records; the exemplars of its stages name where it begins."""
        topic, number = partition
        about: About = {
            "messaging.destination.name": topic,
            "messaging.destination.partition.id": str(number),
            "messaging.kafka.offset": first,
            "messaging.batch.message_count": count,
        }
        self._records = {"partition": str(number), "offset": str(first), "topic": topic}
        try:
            with self.span("batch", about):
                yield
        finally:
            self._records = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one batch's stay in a stage, and trace it."""
        start = time.perf_counter()
        with self.span(name, NOTHING):
            try:
                yield
            finally:
                seconds = time.perf_counter() - start
                self.stage_seconds.labels(name).observe(seconds, self._exemplar())

    def _exemplar(self) -> dict[str, str] | None:
        """Which trace, where there is one, and which records; the first of these that fit."""
        told, left = {}, MOST_EXEMPLAR
        for label, value in {"trace_id": trace_id() or "", **self._records}.items():
            left -= len(label) + len(value)
            if value and left >= 0:
                told[label] = value
        return told or None
