"""Events as the world sends them: most are usual, some are late, twice, poison, or of another time.

Always the same for a seed.
"""

import json
from collections.abc import Iterator

import numpy as np
from kafka import KafkaProducer

START = 1.7e9  # Unix seconds of the first event
STEP_SECONDS = 60.0
LATEST = 1_780_000_000_000  # milliseconds; a broker takes nothing from the future
POISON = (
    b"", b"{", b"[1, 2]", b'{"value": "high"}', b'{"value": 1e999}', b"\xff\xfe", b"{}", b"null",
    b'{"value": 1, "time": "never"}', b'{"value": 1, "time": 99999999999}',
)  # fmt: skip

Record = tuple[bytes | None, bytes | None, int]
"""Key, value, and the milliseconds that are stored with it."""


def records(count: int, streams: int, seed: int = 1) -> Iterator[Record]:
    """Noisy sines, spikes among them; one record in fifty is not as it should be."""
    random = np.random.default_rng(seed)
    phases = random.uniform(0, 6, streams)
    last: Record = (b"s-0", b"{}", 1)
    for n in range(count):
        step, stream = divmod(n, streams)
        time = START + STEP_SECONDS * step
        value = 10 * np.sin(step / 8 + phases[stream]) + 0.5 * random.normal()
        chance = random.random()
        if chance < 0.01:
            value += 30.0
        if 0.01 < chance < 0.015:  # late, or from another clock
            time += float(random.choice([-3600.0, -86_400.0 * 30, 3600.0, 86_400.0 * 6]))
        event = {"time": time, "value": round(value, 6)}
        record: Record = (b"s-%d" % stream, json.dumps(event).encode(), int(time * 1000))
        if 0.015 < chance < 0.02:
            record = last
        elif 0.02 < chance < 0.025:
            record = (record[0], POISON[int(random.integers(len(POISON)))], record[2])
        elif 0.025 < chance < 0.027:
            record = (record[0], None, record[2])
        elif 0.027 < chance < 0.029:  # whose time is the record's, which may be any
            record = (record[0], b'{"value": 1.5}', int(random.integers(1, LATEST)))
        elif 0.029 < chance < 0.03:
            record = (None, record[1], record[2])
        yield record
        last = record


def produce(producer: KafkaProducer, topic: str, some: Iterator[Record]) -> None:
    """By key, and what has none to the first partition."""
    for key, value, milliseconds in some:
        partition = 0 if key is None else None
        producer.send(topic, value, key, timestamp_ms=milliseconds, partition=partition)
    producer.flush()
