"""What Prometheus is told: always the same series, whatever is watched."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from service.bootstrap import build_service
from service.settings.detector import DetectorSettings
from service.settings.tree import Settings
from tests.service.parts import events, make_pipeline, raw_batch, wave


def series(registry: CollectorRegistry) -> set[tuple[str, ...]]:
    """Every series by its name and labels."""
    return {
        (sample.name, *map(str, sorted(sample.labels.items())))
        for family in registry.collect()
        for sample in family.samples
    }


def scored(streams: int) -> set[tuple[str, ...]]:
    """The series after events of so many streams, anomalies and rejected records."""
    many = [{"stream": f"s{i}", "time": 1.7e9, "value": 1.0 * i} for i in range(streams)]
    batch = [*events(many), *wave(300, spikes=[250]), b"no JSON"]
    pipeline, collected = make_pipeline([raw_batch(batch)])
    pipeline.run()
    assert collected.anomalies
    assert collected.reasons == ["malformed_json"]
    assert pipeline.metrics.registry.get_sample_value(
        "wakeful_streams", {"detector": "default"}
    ) == (streams + 1)
    return series(pipeline.metrics.registry)


def test_a_thousand_streams_have_as_many_series_as_one() -> None:
    """Prometheus keeps each series: were there some for each stream, it would not bear them."""
    assert scored(1000) == scored(1)


def test_every_series_is_there_before_the_first_event() -> None:
    """A rate over a series that begins at 1 would miss its first event."""
    pipeline, _ = make_pipeline([])
    pipeline.run()
    assert series(pipeline.metrics.registry) == scored(1)


def test_events_of_a_replaced_artifact_are_counted_only_where_one_is_replaced() -> None:
    """Its series tells that `replaces` stands, and an alert reads that."""
    name, labels = "wakeful_events_of_replaced_artifact_total", {"detector": "default"}
    alone, _ = make_pipeline([])
    following, _ = make_pipeline([], settings=DetectorSettings(replaces="compact"))
    for pipeline in (alone, following):
        pipeline.run()
    assert alone.metrics.registry.get_sample_value(name, labels) is None
    assert following.metrics.registry.get_sample_value(name, labels) == 0.0


def test_the_room_on_the_disk_of_the_data_is_told(tmp_path: Path) -> None:
    service = build_service(Settings.model_construct(data_dir=tmp_path))
    try:
        free = service.metrics.registry.get_sample_value("wakeful_data_dir_free_bytes")
        assert free is not None
        assert free > 0
    finally:
        service.close()
