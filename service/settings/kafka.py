"""Kafka: brokers, topics, what is told where, and the registry of schemas."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from service.settings.section import Section, is_address, secret_of


def _split(value: object) -> object:
    """`a:9092,b:9092` -> a list, as Kafka's own configuration has it."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class SchemaRegistrySettings(Section):
    url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$",
        description="Schema registry of records in Confluent's wire format, in Avro, Protobuf or JSON Schema, such as `https://registry:8081`; not set: records are JSON. See docs/schema-registry.md.",
    )
    username: str | None = Field(
        None, description="Who we are to it, where it asks; Confluent Cloud's API key."
    )
    password: SecretStr | None = Field(
        None,
        description="The password for it. Better kept in a file: `kafka.schema_registry.password_file`.",
    )
    password_file: Path | None = Field(None, description="File that holds this password.")
    ca_file: Path | None = Field(
        None,
        description="PEM file of the authority by which its certificate is trusted; not set: the system's.",
    )

    @model_validator(mode="after")
    def _whole(self) -> "SchemaRegistrySettings":
        password = self.secret()
        if (self.username is None) != (password is None):
            raise ValueError("username and password_file go together")
        if self.url is None and (self.username or self.ca_file):
            raise ValueError("url: is not set, and the others are")
        if self.url is not None and not is_address(self.url):
            raise ValueError("url: an address such as https://registry:8081 is needed")
        return self

    def secret(self) -> str | None:
        """The password, or None where there is none."""
        return secret_of("kafka.schema_registry.password_file", self.password_file, self.password)


class KafkaSettings(Section):
    bootstrap_servers: Annotated[
        list[str] | None, BeforeValidator(_split, json_schema_input_type=list[str] | str | None)
    ] = Field(
        None,
        description="Brokers (`host:port`, comma-separated or a list). Set: events come from Kafka. Not set: from the embedded log.",
    )
    topics: list[str] = Field(
        ["events"],
        min_length=1,
        description="Topics to read: names, and patterns, regular expressions that begin with `^` (`^sensors[.]`). Topics that come to fit, and partitions that are added, are found within `metadata.max.age.ms` of `kafka.options`, 5 minutes.",
    )
    group_id: str = Field("wakeful", min_length=1, description="Consumer group.")
    anomalies_topic: str = Field(
        "wakeful.anomalies", description="Topic that anomalies are written to, keyed by stream."
    )
    episodes_topic: str = Field(
        "wakeful.episodes",
        description="Topic that each change of an episode is written to, keyed by stream.",
    )
    dead_letters_topic: str = Field(
        "wakeful.dead-letters",
        description="Topic that rejected records are written to, with their context as headers.",
    )
    memory_topic: str | None = Field(
        None,
        description="Compacted topic of the memories, made where it is not there; not set: `wakeful.<detector>.memory` for each detector. Groups and detectors may share one.",
    )
    options: dict[str, Any] = Field(
        {},
        repr=False,  # there may be a password
        description="Options of the clients by their own names, with dots, such as `security.protocol`, passed to every one; for TLS and credentials see docs/kafka-security.md.",
    )

    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()

    def memory_topic_of(self, detector: str) -> str:
        return self.memory_topic or f"wakeful.{detector}.memory"
