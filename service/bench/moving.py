"""What a second worker costs the first one's streams: how long they stand still while it joins."""

import http.client
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from service.api.elsewhere import FORWARDED
from service.bench.kafka import filled_topic
from service.bench.recovery import environment
from service.bench.result import Result
from service.bench.served import START_SECONDS, process
from service.bench.workload import Workload
from service.errors import WakefulError

PARTITIONS = (0, 1)
CALM_SECONDS = 10.0
AFTER_SECONDS = 5.0  # that it is watched for after the move
EVERY_SECONDS = 0.02  # an event, and a look
ASK_SECONDS = 2.0


@dataclass
class Probe:
    """A stream that has an event every moment, and when more of them were in its memory."""

    partition: int
    owner: str = ""
    seen: int = 0
    times: list[float] = field(default_factory=list)

    @property
    def stream(self) -> str:
        return f"probe-{self.partition}"

    def note(self, address: str, events: int) -> None:
        if events > self.seen:
            self.owner, self.seen = address, events
            self.times.append(time.monotonic())

    def stall(self, since: float) -> float:
        """The longest that it stood still, in seconds."""
        times = [since, *(t for t in self.times if t > since), time.monotonic()]
        return max(after - before for before, after in itertools.pairwise(times))


def stalls(servers: str, work: Workload, streams: int) -> list[Result]:
    """One worker has two partitions of so many streams; a second one joins and is given one."""
    probes = [Probe(partition) for partition in PARTITIONS]
    with ExitStack() as stack:
        records = work.records(2 * streams, 2 * streams)
        topic = stack.enter_context(filled_topic(servers, records, len(PARTITIONS)))
        start = _starting(environment(servers, topic, work), stack)
        first = start()
        wait_until(partial(_all_saved, servers, topic))
        watch = stack.enter_context(_watched(servers, topic, work, probes))
        watch(first)
        wait_until(lambda: all(probe.times for probe in probes))
        calm_from = time.monotonic()
        time.sleep(CALM_SECONDS)
        calm = {probe.partition: probe.stall(calm_from) for probe in probes}
        joining_from = time.monotonic()
        second = start()
        watch(second)
        wait_until(lambda: second in (probe.owner for probe in probes))
        time.sleep(AFTER_SECONDS)
        return [
            Result(
                f"stall_of_{'moving' if probe.owner == second else 'staying'}_partition",
                probe.stall(joining_from), "s", "before", calm[probe.partition],
            )
            for probe in probes
        ]  # fmt: skip


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise WakefulError("the workers' partitions did not come to rest in time")
        time.sleep(EVERY_SECONDS)


def _all_saved(servers: str, topic: str) -> bool:
    """Whether the group's offsets, which are saved with the memories, are at the end."""
    places = [TopicPartition(topic, number) for number in PARTITIONS]
    with closing(KafkaConsumer(bootstrap_servers=servers, group_id=topic)) as consumer:
        ends = consumer.end_offsets(places)
        return all(consumer.committed(place) == ends[place] for place in places)


def _starting(variables: Mapping[str, str], stack: ExitStack) -> Callable[[], str]:
    """Starts one more worker, and gives its address."""

    def start() -> str:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return stack.enter_context(process(folder, variables))[1]

    return start


@contextmanager
def _watched(
    servers: str, topic: str, work: Workload, probes: list[Probe]
) -> Iterator[Callable[[str], None]]:
    """While probes have events: has a worker asked about each, all the time."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def run(task: Callable[..., None], *arguments: object) -> None:
        threads.append(threading.Thread(target=task, args=(over, *arguments), daemon=True))
        threads[-1].start()

    def watch(address: str) -> None:
        for probe in probes:
            run(_look, address, probe)

    run(_feed, servers, topic, work, probes)
    try:
        yield watch
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _feed(
    over: threading.Event, servers: str, topic: str, work: Workload, probes: list[Probe]
) -> None:
    body = b"{" + next(work.records(1, 1))[1].partition(b",")[2]  # at the record's own time
    with closing(KafkaProducer(bootstrap_servers=servers, linger_ms=0)) as producer:
        while not over.wait(EVERY_SECONDS):
            for probe in probes:
                producer.send(topic, body, probe.stream.encode(), partition=probe.partition)


def _look(over: threading.Event, address: str, probe: Probe) -> None:
    while not over.wait(EVERY_SECONDS):
        try:
            with closing(http.client.HTTPConnection(address, timeout=ASK_SECONDS)) as connection:
                connection.request(
                    "GET", f"/api/v1/streams/{probe.stream}", headers={FORWARDED: "1"}
                )
                probe.note(address, json.loads(connection.getresponse().read()).get("events", 0))
        except OSError:
            """It is not there yet, or busy: then it says nothing."""
