"""The topics that are written to, described for AsyncAPI 3: made from the API's own schemas."""

import json
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.schemas.anomalies import Anomaly
from service.api.schemas.episodes import EpisodeChange
from service.settings.kafka import KafkaSettings

ID = {"wakeful.id": "The message's own name: the same whenever the record is read again."}
CARRIED = "The record's own headers, such as `traceparent`, are carried too."
REJECTED = {
    "__connect.errors.topic": "Where the record was.",
    "__connect.errors.partition": "Its partition, as text.",
    "__connect.errors.offset": "Its offset, as text.",
    "__connect.errors.exception.message": "The reason, and what is wrong.",
    "wakeful.reason": "The reason alone, for programs.",
    "wakeful.detector": "Which detector rejected it.",
    "wakeful.key_bytes": "How long the key was, before it was cut.",
    "wakeful.value_bytes": "How long the value was, before it was cut.",
}
REF = "#/components/schemas/{model}"


def asyncapi() -> str:
    """The description, as JSON."""
    topics = {
        "anomalies": ("anomalies_topic", Anomaly, "Each anomalous event."),
        "episodes": ("episodes_topic", EpisodeChange, "Each change of an episode."),
        "deadLetters": ("dead_letters_topic", None, "Records that were not scored, as they came."),
    }
    models: list[type[BaseModel]] = [Anomaly, EpisodeChange]
    _, schemas = models_json_schema([(one, "serialization") for one in models], ref_template=REF)
    body = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Wakeful",
            "version": version("wakeful"),
            "description": "Keyed by stream; within a transaction, so that readers of what is "
            "committed (`isolation.level` `read_committed`) get each message once.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, *told) for name, told in topics.items()},
        "operations": {
            f"send{name[0].upper()}{name[1:]}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
            }
            for name in topics
        },
        "components": {"schemas": schemas["$defs"]},
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _channel(
    name: str, setting: str, model: type[BaseModel] | None, summary: str
) -> dict[str, Any]:
    headers = {**ID, **({} if model else REJECTED)}
    message: dict[str, Any] = {
        "name": name,
        "summary": summary,
        "description": CARRIED,
        "headers": {
            "type": "object",
            "properties": {
                header: {"type": "string", "description": told} for header, told in headers.items()
            },
        },
        "bindings": {"kafka": {"key": {"type": "string", "description": "The stream."}}},
    }
    if model is not None:
        message["payload"] = {"$ref": REF.format(model=model.__name__)}
    return {
        "address": KafkaSettings.model_fields[setting].default,
        "description": f"Setting: kafka.{setting}",
        "messages": {name: message},
    }
