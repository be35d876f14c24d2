"""How long an event waits for its score, paced: late ones are timed from when they were due."""

import http.client
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import numpy.typing as npt
from kafka import KafkaConsumer, TopicPartition

from service.bench.kafka import filled_topic, service_on
from service.bench.readers import POLL_RECORDS
from service.bench.result import Result
from service.bench.served import START_SECONDS, serving
from service.bench.workload import Workload
from service.errors import WakefulError
from service.records import Delivery
from service.run import freeze

SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
STREAMS = 1000
WARM_UP_SECONDS = 3.0
POST_EVERY = 0.01  # seconds
LINGER_MS = 1

F64 = npt.NDArray[np.float64]
Look = Callable[[], F64]
"""Waits for records a moment, and returns for how long each of those that came has been due."""


def produce_to_score(servers: str, work: Workload, rate: float, seconds: float) -> list[Result]:
    """Milliseconds from when an event is due at its producer to its score, at so many a second,
    beside the same until kafka-python's poll() returns it."""
    ours = _paced(servers, work, rate, seconds, _scored)
    theirs = _paced(servers, work, rate, seconds, _polled)
    about = f"until kafka-python's poll() has it, at {rate:,.0f} events a second too"
    return _results("produce_to_score", ours, about, theirs)


def post_to_reply(requests: int) -> list[Result]:
    """Milliseconds until the reply to an event that is posted has its score, one after the other,
    beside those of an address that does nothing."""
    event = {"stream": "bench", "value": 1.0}
    with serving() as address:
        connection = http.client.HTTPConnection(address)
        with closing(connection):
            post = partial(_asked, connection, "POST", "/api/v1/events?scores=true", event)
            alive = partial(_asked, connection, "GET", "/livez", None)
            for ask in (post, alive):
                _at_a_pace(ask, requests // 10)
            ours, theirs = _at_a_pace(post, requests), _at_a_pace(alive, requests)
    return _results("post_to_reply", ours, "GET /livez", theirs)


def _results(name: str, ours: F64, about: str, theirs: F64) -> list[Result]:
    return [
        Result(
            f"{name}_{label}", 1000.0 * float(np.quantile(ours, share)), "ms", about,
            1000.0 * float(np.quantile(theirs, share)),
        )
        for label, share in SHARES.items()
    ]  # fmt: skip


def _paced(
    servers: str,
    work: Workload,
    rate: float,
    seconds: float,
    looking: Callable[[str, str, Workload], Iterator[Look]],
) -> F64:
    """Seconds that each event waited."""
    if not find_spec("confluent_kafka"):
        raise WakefulError("confluent-kafka is not installed: .venv/bin/pip install -e '.[bench]'")
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    with filled_topic(servers, work.records(STREAMS, STREAMS)) as topic:
        arguments = (servers, topic, work, rate, WARM_UP_SECONDS + seconds, ready)
        producer = context.Process(target=_produce, args=arguments)
        with contextmanager(looking)(servers, topic, work) as look:
            producer.start()
            _until(STREAMS, look, time.monotonic() + START_SECONDS)  # what it was filled with
            ready.set()
            warm, all_ = (int(rate * each) for each in (WARM_UP_SECONDS, WARM_UP_SECONDS + seconds))
            deadline = time.monotonic() + 10.0 * (WARM_UP_SECONDS + seconds) + START_SECONDS
            waited = _until(all_, look, deadline)
        producer.join()
    if producer.exitcode:
        raise WakefulError("the producer failed")
    return waited[warm:]


def _until(events: int, look: Look, deadline: float) -> F64:
    """For how long each of so many events had been due."""
    found: list[F64] = []
    while sum(map(len, found)) < events:
        found.append(look())
        if time.monotonic() > deadline:
            raise WakefulError(f"{events} events did not come in time")
    return np.concatenate(found)


def _produce(
    servers: str, topic: str, work: Workload, rate: float, seconds: float, ready: Event
) -> None:
    """Send events when they are due, each stamped with that moment."""
    from confluent_kafka import Producer  # noqa: PLC0415 - an extra

    producer = Producer(
        {"bootstrap.servers": servers, "linger.ms": LINGER_MS, "queue.buffering.max.messages": 0}
    )
    records = list(work.records(STREAMS, STREAMS))
    values = [b"{" + value.partition(b",")[2] for _, value in records]  # without their time
    ready.wait()
    started, sent, events = time.time(), 0, int(rate * seconds)
    while sent < events:
        due = min(int(rate * (time.time() - started)) + 1, events)
        for n in range(sent, due):
            key, value = records[n % STREAMS][0], values[n % STREAMS]
            producer.produce(topic, value, key, timestamp=round(1000.0 * (started + n / rate)))
        sent = max(sent, due)
        producer.poll(0.0005)
    producer.flush()


class _Timed:
    """A sink that knows for how long events were due when their scores came."""

    def __init__(self) -> None:
        self.waited: list[F64] = []

    def deliver(self, delivery: Delivery) -> None:
        due = delivery.raw.timestamps[delivery.scored.records]
        self.waited.append(np.asarray(time.time() - due))

    def flush(self, wait: bool = True) -> None:
        pass

    def close(self) -> None:
        pass


def _scored(servers: str, topic: str, work: Workload) -> Iterator[Look]:
    """Ours: the whole service, without its web server."""
    with (
        tempfile.TemporaryDirectory() as folder,
        service_on(servers, topic, work, Path(folder)) as service,
    ):
        freeze()  # as `wakeful serve` does
        timed = _Timed()
        service.pipeline.sinks = [*service.pipeline.sinks, timed]

        def look() -> F64:
            service.pipeline.run_once()
            waited, timed.waited = timed.waited, []
            return np.concatenate([np.empty(0), *waited])

        yield look


def _polled(servers: str, topic: str, work: Workload) -> Iterator[Look]:  # noqa: ARG001 - as ours
    """A bare loop."""
    consumer = KafkaConsumer(bootstrap_servers=servers, max_poll_records=POLL_RECORDS)
    with closing(consumer):
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)

        def look() -> F64:
            parts = consumer.poll(timeout_ms=100).values()
            now = time.time()
            return np.array([now - record.timestamp / 1000.0 for part in parts for record in part])

        yield look


def _asked(connection: http.client.HTTPConnection, method: str, path: str, body: object) -> None:
    """One request whose reply must be well."""
    data = None if body is None else json.dumps(body).encode()
    connection.request(method, path, data, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    reply.read()
    if reply.status != http.HTTPStatus.OK:
        raise WakefulError(f"{method} {path} was answered with {reply.status}")


def _at_a_pace(ask: Callable[[], None], requests: int) -> F64:
    """Seconds that each request took from when it was due."""
    started = time.perf_counter()
    waited = np.empty(requests)
    for n in range(requests):
        due = started + n * POST_EVERY
        time.sleep(max(0.0, due - time.perf_counter()))
        ask()
        waited[n] = time.perf_counter() - due
    return waited
