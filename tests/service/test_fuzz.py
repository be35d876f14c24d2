"""Ten thousand pieces of garbage, as records and as bodies: every one accounted for."""

import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tests.service.parts import make_pipeline, raw_batch
from tests.service.test_api import running

PIECES, BODIES = 5_000, 1_500
GOOD = {"stream": "s", "time": 1.7e9, "cpu": 0.5, "latency_ms": 81}
ODD: list[Any] = [
    None, True, False, 0, -1, 1e308, -1e308, 10**400, 1e-320, "", "x", "1", "NaN", [], {}, [[]],
    {"a": 1}, "2026-11-21T07:00:00Z", "9999-12-31T23:59:59Z", "\x00", "é", "𝄞", "a" * 300, 4e9,
    1.7e12, 1.7e15, -5.5,
]  # fmt: skip
CHARACTERS = b'{}[]",:0123456789.eE+-ntrufals\\ \n\t\x00\xff'


def garbage(seed: int) -> Iterator[bytes]:
    """Mutations of a good event: odd fields, cut and flipped bytes, nesting, noise."""
    chance = random.Random(seed)
    for n in range(PIECES):
        body = {**GOOD, "time": 1.7e9 + n}
        for _ in range(chance.randrange(4)):
            body[chance.choice([*GOOD, "other", ""])] = chance.choice(ODD)
        text = bytearray(json.dumps(body).encode())
        kind = chance.randrange(6)
        if kind == 0:
            text = text[: chance.randrange(len(text))]
        elif kind == 1:
            for _ in range(chance.randrange(1, 5)):
                text[chance.randrange(len(text))] = chance.randrange(256)
        elif kind == 2:
            text = bytearray(chance.choices(CHARACTERS, k=chance.randrange(60)))
        elif kind == 3:
            text = bytearray(b"[" * chance.randrange(1, 2000))
        yield bytes(text)


def test_garbage_records_are_each_scored_or_dead_lettered() -> None:
    records = list(garbage(1))
    batches = [raw_batch(records[n : n + 500], n) for n in range(0, PIECES, 500)]
    pipeline, collected = make_pipeline(batches)
    pipeline.run()
    assert collected.scored + len(collected.reasons) == PIECES
    assert len(collected.scored_offsets | collected.rejected_offsets) == PIECES
    assert collected.scored > PIECES / 10
    assert len(set(collected.reasons)) >= 6


def test_garbage_bodies_get_an_answer_that_is_no_5xx_and_are_accounted_for(tmp_path: Path) -> None:
    chance = random.Random(2)
    for service, client in running(tmp_path):
        sent = 0
        for body in islice(garbage(3), BODIES):
            kind = chance.choice(
                ["application/json", "application/x-ndjson", "text/plain", "a/b;c"]
            )
            reply = client.post("/api/v1/events", content=body, headers={"content-type": kind})
            assert reply.status_code in (200, 400), reply.text
            answer = reply.json()
            sent += answer["accepted"] + len(answer["rejected"])
        last = client.post("/api/v1/events?scores=true", json=GOOD)  # by now all are processed
        assert last.status_code == 200
        assert service.log is not None
        assert service.log.next_offset == sent + 1
        text = client.get("/metrics").text
        counted = [
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith(("wakeful_events_scored_total{", "wakeful_events_rejected_total{"))
        ]
        assert sum(counted) == sent + 1
