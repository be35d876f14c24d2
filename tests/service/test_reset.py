"""A stream begins anew, and stays so after a crash."""

from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.errors import Unavailable
from service.memory.store import Checkpoint, InMemoryStore
from service.records import RawBatch
from service.settings.limits import LimitSettings
from tests.service.parts import Collected, make_pipeline, raw_batch, wave
from tests.service.test_api import NDJSON, client, running  # noqa: F401 - a fixture

LINES = wave(300, "s", spikes=[195])
OTHERS = wave(60, "t")
FIRST = raw_batch(LINES[:200] + OTHERS)
SECOND = raw_batch(LINES[200:], first_offset=260)


def scored(
    batches: list[RawBatch], store: InMemoryStore, most: int | None, reset: bool = False
) -> Collected:
    """What comes of batches; a reset follows the last, and a crash follows that."""
    limits = LimitSettings(max_resident_streams=most)
    pipeline, collected = make_pipeline(batches, store, limits=limits)
    pipeline.restore()
    while not pipeline.source.finished:
        pipeline.run_once()
    if reset:
        assert pipeline.reset("default", "s")
        assert not pipeline.reset("default", "nobody")
    return collected


@pytest.mark.parametrize("most", [None, 1])
def test_after_a_reset_events_are_scored_as_a_new_streams(most: int | None) -> None:
    """Whether its memory was at hand or in the store; what was read before is not read again, and
    another stream goes on as it was."""
    store = InMemoryStore()
    before = scored([FIRST], store, most, reset=True)
    after = scored([FIRST, SECOND], store, most)
    fresh = scored([SECOND], InMemoryStore(), most)
    assert after.scored == fresh.scored == len(SECOND)
    told = [np.concatenate([d.scored.scores for d in c.deliveries]) for c in (after, fresh)]
    assert told[0].tolist() == told[1].tolist()
    assert [e["change"] for d in before.deliveries for e in d.episodes] == ["opened"]
    changes = [episode for one in after.deliveries for episode in one.episodes]
    assert [episode["change"] for episode in changes] == ["closed"]
    assert changes[0]["id"] == "default:events:0:195"


def test_a_reset_that_cannot_be_saved_says_so() -> None:
    class Full(InMemoryStore):
        def save(self, checkpoint: Checkpoint) -> None:
            raise Unavailable("disk full")

    pipeline, _ = make_pipeline([FIRST], Full())
    pipeline.restore()
    pipeline.run_once()
    with pytest.raises(Unavailable, match="disk full"):
        pipeline.reset("default", "s")


def test_who_changed_what_is_noted_where_it_cannot_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Checkpoint) -> None:
        raise Unavailable("disk full")

    episode = {"kind": "false", "episode": "default:log:0:195"}
    for service, client in running(tmp_path):  # noqa: F402 - not the fixture
        client.post("/api/v1/events?scores=true", content=b"\n".join(LINES[:200]), headers=NDJSON)
        with monkeypatch.context() as broken:
            broken.setattr(service.pipeline.store, "save", full)
            for path, body in (("feedback", episode), ("reset", None)):
                reply = client.post(f"/api/v1/streams/s/{path}", json=body)
                assert (reply.status_code, "not saved" in reply.text) == (503, True)
        noted = client.get("/api/v1/audit").json()["items"]
    assert [one["what"] for one in noted] == ["reset", "feedback"]
    assert noted[0]["before"]["events"] == 200


def test_a_stream_is_reset_over_http(client: TestClient) -> None:  # noqa: F811 - the fixture
    body = b"\n".join(LINES[:50])
    client.post("/api/v1/events?scores=true", content=body, headers=NDJSON)
    reply = client.post("/api/v1/streams/s/reset")
    assert (reply.status_code, reply.json()) == (200, {"stream": "s", "detector": "default"})
    assert client.get("/api/v1/streams/s").status_code == 404
    assert client.post("/api/v1/streams/nobody/reset").status_code == 404
    body = b"\n".join(LINES[50:53])
    client.post("/api/v1/events?scores=true", content=body, headers=NDJSON)
    assert client.get("/api/v1/streams/s").json()["events"] == 3
