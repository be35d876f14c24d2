"""Each figure has its baseline, and what cannot be measured is named."""

import json
import time
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.bench import (
    checkpoints,
    kafka,
    latency,
    moving,
    readers,
    recovery,
    run,
    stages,
    upgrade,
)
from service.bench.result import Result, by_turns
from service.bench.workload import base
from service.cli import main
from service.errors import WakefulError
from service.sources.memory import MemorySource


def test_a_figure_stands_beside_its_baseline() -> None:
    result = Result("figure", 30.0, "events/s", "a loop", 20.0)
    assert result.to_json() == {
        "name": "figure",
        "value": 30.0,
        "unit": "events/s",
        "baseline": 20.0,
        "ratio": 1.5,
        "against": "a loop",
    }
    assert Result("alone", 1.0, "bytes").ratio is None


def test_measurements_are_taken_by_turns_and_their_medians_count() -> None:
    order: list[str] = []
    values = iter([1.0, 10.0, 3.0, 30.0, 2.0, 20.0])

    def take(name: str) -> float:
        order.append(name)
        return next(values)

    assert by_turns(3, lambda: take("a"), lambda: take("b")) == [2.0, 20.0]
    assert order == ["a", "b"] * 3


def test_stages_add_up_to_something() -> None:
    results = {one.name: one.value for one in stages.cost_of_stages(base(), 4096, 1)}
    assert 0.0 < results["base_slots"] < results["base_all_stages"]
    assert 0.0 < results["base_decode"] < results["base_all_stages"]


def test_many_streams_are_held_against_a_thousand() -> None:
    result = stages.million_vs_thousand(base(), 2048, 1, most=3000)
    assert result.name == "3000_vs_thousand_streams"
    assert result.value > 0.0
    assert result.ratio


def test_alarms_after_a_change_are_held_against_those_before() -> None:
    results = upgrade.alarms_after_a_change(10)
    assert [one.name for one in results] == ["upgrade_alarms", "way_back_alarms"]
    assert all(one.ratio is not None for one in results)


def test_a_step_is_held_against_a_product_of_matrices() -> None:
    result = stages.step_vs_gemm_peak(base(), 1, rows=2000)
    assert result.ratio
    assert 0.0 < result.ratio < 2.0


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "WARM_UP", 500)
    monkeypatch.setattr(latency, "WARM_UP_SECONDS", 0.2)
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.2)


@pytest.mark.usefixtures("short")
def test_from_a_real_broker_to_the_score_beside_a_loop_that_counts(bootstrap_servers: str) -> None:
    result = kafka.end_to_end(bootstrap_servers, base(), 90_000, 1, "figure", readers.POLL)
    assert (result.name, result.against) == ("figure", readers.POLL.about)
    assert result.value > 0.0
    assert result.ratio


READERS = {"confluent_kafka": readers.CONFLUENT, "quixstreams": readers.QUIXSTREAMS}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "reader", [readers.POLL, *(one for name, one in READERS.items() if find_spec(name))]
)
def test_a_reader_reads_the_same_topic_twice(
    bootstrap_servers: str, reader: readers.Reader
) -> None:
    """As it must where measurements are taken by turns."""
    with kafka.filled_topic(bootstrap_servers, base().records(20_000, 100)) as topic:
        for _ in range(2):
            assert reader.run(bootstrap_servers, topic, 20_000) > 0.0


@pytest.mark.usefixtures("short")
def test_events_are_timed_from_when_they_were_due_to_their_scores(bootstrap_servers: str) -> None:
    results = latency.produce_to_score(bootstrap_servers, base(), 500.0, 1.0)
    assert [one.name for one in results] == [f"produce_to_score_{p}" for p in latency.SHARES]
    assert all(one.unit == "ms" and one.ratio for one in results)
    assert 0.0 < results[0].value <= results[1].value <= results[2].value


def test_a_posted_event_is_timed_until_its_reply() -> None:
    results = latency.post_to_reply(20)
    assert [one.name for one in results] == [f"post_to_reply_{p}" for p in latency.SHARES]
    assert 0.0 < results[0].value <= results[1].value <= results[2].value


def test_what_was_due_before_it_was_asked_is_not_forgotten() -> None:
    """One slow answer makes those behind it late: no coordinated omission."""
    pauses = iter([0.2, *[0.0] * 9])
    waited = latency._at_a_pace(lambda: time.sleep(next(pauses)), 10)
    assert waited[0] >= 0.2
    assert waited[5] >= 0.2 - 5 * latency.POST_EVERY


def test_saving_and_restoring_stand_beside_the_bytes_alone() -> None:
    results = checkpoints.saving_and_restoring(base(), 200, 1000, 1)
    names = ["checkpoint_of_200", "checkpoint_of_200_among_1000", "restore_of_1000"]
    assert [one.name for one in results] == names
    assert all(one.unit == "s" and one.ratio for one in results)


@pytest.mark.usefixtures("short")
def test_checkpoints_are_held_against_none() -> None:
    with checkpoints.pipeline_of(base(), 1e-9) as pipeline:
        for raw in islice(checkpoints.endless(base(), 2000), 5):
            pipeline.source = MemorySource([raw])
            pipeline.run_once()
        assert 1 <= checkpoints.checkpoints_of(pipeline) <= 5
    result = checkpoints.cost_of_checkpoints(base(), 2000, 1)
    assert result.value > 0.0
    assert result.ratio


def test_memories_in_kafka_are_held_against_none(bootstrap_servers: str) -> None:
    results = kafka.cost_of_changelog(bootstrap_servers, base(), 300, 1)
    assert [one.name for one in results] == ["with_changelog_vs_none", "changelog_bytes"]
    assert results[1].ratio
    assert results[1].ratio >= 1.0


def test_ready_again_is_timed_with_memories_and_without(bootstrap_servers: str) -> None:
    results = [
        recovery.ready_after_kill(base(), 20, 1),
        recovery.ready_after_kill_kafka(bootstrap_servers, base(), 20, 1),
    ]
    names = ["ready_after_kill_20", "ready_after_kill_kafka_20"]
    assert [one.name for one in results] == names
    assert all(one.value > 0.0 and one.ratio for one in results)


def test_what_moves_and_what_stays_are_timed(
    bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "CALM_SECONDS", 0.2)
    monkeypatch.setattr(moving, "AFTER_SECONDS", 0.2)
    results = moving.stalls(bootstrap_servers, base(), 20)
    names = ["stall_of_moving_partition", "stall_of_staying_partition"]
    assert sorted(one.name for one in results) == names
    assert all(one.value > 0.0 and one.baseline for one in results)


def test_without_a_broker_what_needs_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.setitem(
        run.__dict__, "MEASUREMENTS", [m for m in run.MEASUREMENTS if "base" in m.name]
    )
    file = tmp_path / "bench.json"
    ran = CliRunner().invoke(main, ["bench", "--quick", "--json", str(file)], env={})
    assert ran.exit_code == 0, ran.output
    written = json.loads(file.read_text())
    assert written["results"] == []
    assert "--bootstrap-servers" in written["missing"]["end_to_end_base_vs_poll"]
    assert written["machine"]["cores"]


def test_an_unknown_measurement_is_wrong_usage() -> None:
    ran = CliRunner().invoke(main, ["bench", "--only", "everything"])
    assert ran.exit_code == 2
    assert "step_vs_gemm_peak" in ran.output


def test_silence_of_the_broker_ends_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "SILENCE_SECONDS", 0.0)
    with pytest.raises(WakefulError, match="no record came"):
        readers.counted(lambda: 0, 10)
