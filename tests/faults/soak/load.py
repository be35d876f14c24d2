"""Events at a fixed rate, each stamped with the moment at which it is due."""

import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from kafka import KafkaProducer

from tests.faults.events import POISON

STREAMS = 500
FAR = 5000.0  # a value that a rule has alarm, whatever was expected
LIMITS = (-1000.0, 1000.0)
PATTERN = 50_000  # records, which come again and again
TICK_SECONDS = 0.005
MOST_AT_ONCE = 1000  # records, before it is looked whether the pace is another one
LATE_SECONDS = 1.0
FOR_EVER_MS = 2**31 - 1


def name_of(stream: int) -> bytes:
    """One in ten is muted now and then, and one in fifty is told to receivers."""
    kind = "told" if stream % 50 == 1 else "muted" if stream % 10 == 0 else "s"
    return f"{kind}-{stream}".encode()


def records(seed: int = 1) -> list[tuple[bytes, bytes]]:
    """Keys and values: noisy sines; one in a hundred is far off, one in a thousand poison."""
    random = np.random.default_rng(seed)
    phases = random.uniform(0, 6, STREAMS)
    made = []
    for n in range(PATTERN):
        step, stream = divmod(n, STREAMS)
        value = 10 * np.sin(step / 8 + phases[stream]) + 0.5 * random.normal()
        chance = random.random()
        if chance < 0.01:
            value = FAR
        body = json.dumps({"value": round(float(value), 4)}).encode()
        if chance > 0.999:
            body = POISON[int(random.integers(len(POISON)))]
        made.append((name_of(stream), body))
    return made


@dataclass
class Load:
    """The producer, in a process of its own, which a test's threads do not hold up."""

    _rate: Any
    _sent: Any
    _taken: Any
    _due: Any
    _ending: Any
    _process: Any

    def pace(self, events_per_second: float) -> None:
        """So many from now on; 0 for a pause."""
        self._rate.value = events_per_second

    @property
    def sent(self) -> int:
        return int(self._sent.value)

    @property
    def waiting(self) -> int:
        """Records that are due, and that the broker has not taken yet."""
        late = max(0.0, time.time() - self._due.value)
        return int(self._sent.value - self._taken.value + late * self._rate.value)

    def kept_up_with(self, event_time: float | None) -> bool:
        """Whether the newest event that was scored is about as new as the newest that is due."""
        if self._rate.value == 0.0:
            return True
        return event_time is not None and self._due.value - event_time <= LATE_SECONDS

    def stop(self) -> None:
        """All that was sent is acknowledged then."""
        self.pace(0.0)
        self._ending.set()
        self._process.join()
        if self._process.exitcode:
            raise RuntimeError("the producer failed")


@contextmanager
def producing(servers: str, topic: str) -> Iterator[Load]:
    """Nothing yet."""
    context = multiprocessing.get_context("spawn")
    rate, ending = context.Value("d", 0.0), context.Event()
    sent, taken, due = context.Value("q", 0), context.Value("q", 0), context.Value("d", 0.0)
    arguments = (servers, topic, rate, sent, taken, due, ending)
    process = context.Process(target=_produce, args=arguments, daemon=True)
    process.start()
    try:
        yield Load(rate, sent, taken, due, ending, process)
    finally:
        process.kill()
        process.join()


def _produce(
    servers: str, topic: str, rate: Any, sent: Any, taken: Any, due: Any, ending: Any
) -> None:
    """Written once each, in order, whatever becomes of the broker meanwhile."""
    producer = KafkaProducer(
        bootstrap_servers=servers,
        linger_ms=2,
        acks="all",
        enable_idempotence=True,
        delivery_timeout_ms=FOR_EVER_MS,
        max_block_ms=FOR_EVER_MS,
        request_timeout_ms=10_000,
        reconnect_backoff_max_ms=500,
    )
    failed: list[BaseException] = []

    def take(_: object) -> None:  # by the client's one thread
        taken.value += 1

    pattern = records()
    while not ending.is_set():
        present, each = time.time(), rate.value
        if each == 0.0:
            due.value = present
        for _ in range(MOST_AT_ONCE):
            if due.value >= present:
                break
            key, value = pattern[sent.value % PATTERN]
            promise = producer.send(topic, value, key, timestamp_ms=int(1000.0 * due.value))
            promise.add_callback(take).add_errback(failed.append)
            sent.value += 1
            due.value += 1.0 / each
        else:
            continue
        time.sleep(TICK_SECONDS)
    producer.flush()
    producer.close()
    if failed:
        raise failed[0]
