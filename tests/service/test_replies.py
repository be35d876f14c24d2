"""Results for those who wait."""

from itertools import pairwise

import pytest

from service.errors import Unavailable
from service.sinks.replies import Replies
from tests.service.parts import make_pipeline, raw_batch, wave

PARTITION = ("events", 0)


def run(replies: Replies, cuts: list[int]) -> None:
    values = [*wave(20), b"{"]
    edges = [0, *cuts, len(values)]
    batches = [raw_batch(values[a:b], a) for a, b in pairwise(edges)]
    pipeline, _ = make_pipeline(batches)
    pipeline.sinks = [replies]
    pipeline.run()


def test_outcomes_come_in_order_however_the_records_were_cut() -> None:
    whole, cut = Replies(), Replies()
    first, second = whole.expect(PARTITION, range(5, 21)), cut.expect(PARTITION, range(5, 21))
    run(whole, [])
    run(cut, [3, 9, 15])
    assert first.result(0) == second.result(0)
    assert len(first.result(0)) == 16
    assert first.result(0)[-1]["rejected"] == "malformed_json"


def test_whoever_gives_up_does_not_disturb_the_pipeline() -> None:
    replies = Replies()
    waiting = replies.expect(PARTITION, range(21))
    assert not waiting.cancel()
    forgotten = replies.expect(PARTITION, range(21))
    replies.forget(forgotten)
    run(replies, [])
    assert waiting.done()
    assert not forgotten.done()


def test_when_the_pipeline_ends_those_who_wait_are_told() -> None:
    replies = Replies()
    waiting = replies.expect(PARTITION, range(3))
    replies.close()
    with pytest.raises(Unavailable):
        waiting.result(0)
