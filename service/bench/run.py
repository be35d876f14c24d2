"""The measurements by their names, and a run of some of them."""

import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

from service.bench import (
    checkpoints,
    history,
    kafka,
    latency,
    moving,
    peers,
    recovery,
    stages,
    upgrade,
)
from service.bench.readers import CONFLUENT, POLL, QUIXSTREAMS, Reader
from service.bench.result import Result, by_turns
from service.bench.workload import HIDDEN, Workload, base, joint
from service.errors import SettingsError, WakefulError


class Bench:
    """What the measurements share: artifacts and brokers, each made when first asked for."""

    def __init__(self, quick: bool, bootstrap_servers: str | None, stack: ExitStack) -> None:
        self.quick = quick
        self._given = bootstrap_servers
        self._stack = stack
        self.repeats = 3 if quick else 5
        self.records = 60_000 if quick else 300_000  # in a topic
        self.events = 20_000 if quick else 100_000  # in memory
        self.peer_events = 2_000 if quick else 10_000
        self.rows = 1_000_000
        self.changed = 100_000  # rows of them in a checkpoint
        self.seconds = 10.0 if quick else 30.0  # that are paced
        self.requests = 500 if quick else 3_000

    @cached_property
    def joint(self) -> Workload:
        return joint(Path(self._stack.enter_context(tempfile.TemporaryDirectory())))

    @cached_property
    def base(self) -> Workload:
        return base()

    @cached_property
    def servers(self) -> str:
        return self._stack.enter_context(kafka.brokers(self._given))

    @cached_property
    def end_to_end(self) -> Result:
        return self.beside(self.joint, "end_to_end_vs_poll", POLL)

    def beside(self, work: Workload, name: str, peer: Reader) -> Result:
        return kafka.end_to_end(self.servers, work, self.records, self.repeats, name, peer)

    @cached_property
    def given(self) -> peers.Given:
        return peers.Given.of(list(self.joint.records(self.peer_events, stages.THOUSAND)))


def _against_torch(bench: Bench) -> list[Result]:
    (theirs,) = by_turns(bench.repeats, lambda: peers.torch_lstm(bench.given, HIDDEN))
    name = "torch.nn.LSTM, event by event, a dict of states, without Kafka and JSON"
    return [Result("end_to_end_vs_torch", bench.end_to_end.value, "events/s", name, theirs)]


def _against_river(bench: Bench) -> list[Result]:
    (theirs,) = by_turns(bench.repeats, lambda: peers.river_trees(bench.given))
    name = "river's HalfSpaceTrees of 25 trees, without Kafka and JSON"
    return [Result("end_to_end_vs_river", bench.end_to_end.value, "events/s", name, theirs)]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One that can be asked for by its name."""

    name: str
    about: str
    run: Callable[[Bench], list[Result]]


MEASUREMENTS = (
    Measurement(
        "stages",
        "microseconds an event takes in memory, by stage",
        lambda b: [
            result
            for work in (b.joint, b.base)
            for result in stages.cost_of_stages(work, b.events, b.repeats)
        ],
    ),
    Measurement(
        "step_vs_gemm_peak",
        "the network's step over a million rows, beside a product of matrices",
        lambda b: [stages.step_vs_gemm_peak(b.joint, b.repeats, b.rows)],
    ),
    Measurement(
        "million_vs_thousand_streams",
        "events a second over a million streams, beside a thousand",
        lambda b: [stages.million_vs_thousand(b.base, b.events, b.repeats)],
    ),
    Measurement(
        "memory_of_streams",
        "MiB that a million streams take, beside their rows",
        lambda b: [stages.memory_of_streams(b.base, b.rows)],
    ),
    Measurement(
        "checkpoints",
        "seconds to save 100,000 changed rows, and to take a million back",
        lambda b: checkpoints.saving_and_restoring(b.base, b.changed, b.rows, b.repeats),
    ),
    Measurement(
        "with_checkpoints_vs_none",
        "events a second of 100,000 streams with checkpoints, beside none",
        lambda b: [checkpoints.cost_of_checkpoints(b.base, b.changed, 1 if b.quick else 3)],
    ),
    Measurement(
        "with_history_vs_none",
        "events a second with what streams were like kept, beside none; and its bytes a value",
        lambda b: [
            result
            for work in (b.joint, b.base)
            for result in history.cost_of_history(work, stages.THOUSAND, b.repeats)
        ],
    ),
    Measurement(
        "post_to_reply",
        "milliseconds until the reply to a posted event has its score",
        lambda b: latency.post_to_reply(b.requests),
    ),
    Measurement(
        "end_to_end_vs_poll",
        "from the broker to the score, beside kafka-python's bare poll()",
        lambda b: [b.end_to_end],
    ),
    Measurement(
        "end_to_end_base_vs_poll",
        "the same with the base artifact on one feature",
        lambda b: [b.beside(b.base, "end_to_end_base_vs_poll", POLL)],
    ),
    Measurement(
        "end_to_end_vs_confluent",
        "the same beside confluent-kafka and msgspec",
        lambda b: [b.beside(b.joint, "end_to_end_vs_confluent", CONFLUENT)],
    ),
    Measurement(
        "end_to_end_vs_quixstreams",
        "the same beside Quix Streams that counts with state",
        lambda b: [b.beside(b.joint, "end_to_end_vs_quixstreams", QUIXSTREAMS)],
    ),
    Measurement(
        "produce_to_score",
        "milliseconds from the producer to the score, at half of the load that it bears",
        lambda b: latency.produce_to_score(b.servers, b.joint, b.end_to_end.value / 2.0, b.seconds),
    ),
    Measurement(
        "changelog",
        "events a second with memories written to Kafka, beside none; and their bytes",
        lambda b: kafka.cost_of_changelog(b.servers, b.base, b.records, b.repeats),
    ),
    Measurement(
        "ready_after_kill",
        "seconds until it is ready after a kill, with 100,000 memories in SQLite, beside none",
        lambda b: [recovery.ready_after_kill(b.base, b.changed, b.repeats)],
    ),
    Measurement(
        "ready_after_kill_kafka",
        "the same with memories in Kafka",
        lambda b: [recovery.ready_after_kill_kafka(b.servers, b.base, b.changed, b.repeats)],
    ),
    Measurement(
        "stall_of_partitions",
        "seconds that two partitions of 50,000 streams stand still while one of them moves",
        lambda b: moving.stalls(b.servers, b.base, b.changed // 2),
    ),
    Measurement(
        "upgrade_alarms",
        "alarms of 1,000 streams in the week after an artifact is replaced, and the way back",
        lambda b: upgrade.alarms_after_a_change(200 if b.quick else 1000),
    ),
    Measurement("end_to_end_vs_torch", "the same beside torch, event by event", _against_torch),
    Measurement("end_to_end_vs_river", "the same beside half-space trees", _against_river),
    Measurement(
        "two_processes_vs_one",
        "two processes, a topic each, beside one",
        lambda b: [kafka.two_processes(b.servers, b.joint, b.records, b.repeats)],
    ),
)


def bench(
    only: Sequence[str], quick: bool, bootstrap_servers: str | None
) -> tuple[list[Result], dict[str, str]]:
    """The results, and why others could not be measured, by name."""
    known = {one.name: one for one in MEASUREMENTS}
    if unknown := set(only) - set(known):
        raise SettingsError(f"--only {min(unknown)}: no such measurement; {', '.join(known)}")
    results: list[Result] = []
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        shared = Bench(quick, bootstrap_servers, stack)
        chosen = [known[name] for name in only] or list(MEASUREMENTS)
        bar = stack.enter_context(tqdm(chosen, unit=" measurements", disable=None))
        for one in bar:
            bar.set_description(one.name)
            try:
                results += one.run(shared)
            except WakefulError as error:
                missing[one.name] = str(error)
    return results, missing


def machine() -> dict[str, Any]:
    """Where it was measured."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def to_text(results: Sequence[Result], missing: dict[str, str]) -> str:
    """A line for each result."""
    width = max([20, *(len(result.name) for result in results)])
    lines = [f"{'':<{width}}{'value':>14}  {'unit':<10}{'baseline':>14}{'ratio':>8}"]
    for result in results:
        line = f"{result.name:<{width}}{_number(result.value):>14}  {result.unit:<10}"
        if result.baseline is not None:
            line += f"{_number(result.baseline):>14}{result.ratio:>8.2f}  {result.against}"
        lines.append(line)
    return "\n".join([*lines, *(f"{name}: not measured: {why}" for name, why in missing.items())])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write_results(results: Sequence[Result], missing: dict[str, str], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "machine": machine(),
        "results": [result.to_json() for result in results],
        "missing": missing,
    }
    file.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
