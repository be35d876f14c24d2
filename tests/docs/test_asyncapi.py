"""What is written to topics is as it is described."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from docs.asyncapi import asyncapi
from tests.service.parts import make_pipeline, raw_batch, wave

TOLD = json.loads(asyncapi())


def schema_of(channel: str) -> dict[str, Any]:
    payload: dict[str, Any] = TOLD["channels"][channel]["messages"][channel]["payload"]
    return {**payload, "components": TOLD["components"]}


@pytest.fixture(scope="module")
def told() -> dict[str, list[Any]]:
    """As they are encoded for the topics."""
    pipeline, sink = make_pipeline([raw_batch(wave(450, spikes=[350, 352, 355]))])
    pipeline.run()
    changes = [one for delivery in sink.deliveries for one in delivery.episodes]
    told = {"anomalies": sink.anomalies, "episodes": changes}
    return {name: json.loads(msgspec.json.encode(some)) for name, some in told.items()}


@pytest.mark.parametrize("channel", ["anomalies", "episodes"])
def test_a_message_is_as_described(channel: str, told: dict[str, list[Any]]) -> None:
    schema = schema_of(channel)
    properties = TOLD["components"]["schemas"][schema["$ref"].split("/")[-1]]["properties"]
    assert told[channel]
    for message in told[channel]:
        jsonschema.validate(message, schema)
        assert set(message) == set(properties)


def test_episodes_without_a_new_peak_were_among_them(told: dict[str, list[Any]]) -> None:
    assert {one["why"] is None for one in told["episodes"]} == {True, False}
