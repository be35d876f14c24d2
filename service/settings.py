"""The settings: one typed tree, read at one border.

A file (YAML, TOML or JSON), then the environment (`WAKEFUL_SECTION__NAME`), then flags; the later
ones win. Parts of the service receive plain values, never this tree.
"""

import math
import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from model.suppression import Rule
from service.clock import TIME_NAMES
from service.errors import SettingsError
from service.notify.messages import ADDRESSES, signature
from service.subscription import Subscription

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
SECTION_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
FOREIGN = {"test_bootstrap_servers", "test_data"}  # WAKEFUL_ variables that are no settings
DIRECTIONS = {"low": -1, "both": 0, "high": 1}


def _split(value: object) -> object:
    """`a:9092,b:9092` -> a list, as Kafka's own configuration has it."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _secret(name: str, file: Path | None, given: SecretStr | None) -> str | None:
    """What a file holds, or what was given."""
    if file is None:
        return given.get_secret_value() if given else None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error}") from None
    if not text:
        raise ValueError(f"{name} {file} is empty")
    return text


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ApiSettings(Section):
    host: str = Field(
        "127.0.0.1",
        description="Address to listen on. Any other than loopback asks for a key, see `wakeful keys`.",
    )
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    advertise: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+$",
        description="Where other instances of the group reach this one's API, such as `http://10.0.0.7:8080`; not set: its host and port.",
    )
    keys_file: Path | None = Field(
        None,
        description="File of the keys that `wakeful keys` makes, hashed, which instances may share; not set: `keys.json` in `data_dir`.",
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+$",
        description="Where people find the page, for links in notifications; not set: none.",
    )
    token: SecretStr | None = Field(
        None,
        description="One more key, an admin's, such as a deployment makes. Better kept in a file: `api.token_file`.",
    )
    token_file: Path | None = Field(None, description="File that holds this key.")
    max_body_bytes: int = Field(
        16 * 2**20, gt=0, description="Largest request body; a larger one is refused with 413."
    )
    max_requests_per_second: float = Field(
        500.0,
        gt=0,
        description="Of one address, other than loopback; more are refused with 429. Probes and metrics do not count.",
    )
    trusted_proxies: list[str] = Field(
        [],
        description="Addresses or networks of proxies in front, whose `X-Forwarded-For` and `X-Forwarded-Proto` say who asks.",
    )
    max_connections: int = Field(
        1000, gt=0, description="Open at the same time; more are refused with 503."
    )
    tls_cert_file: Path | None = Field(
        None, description="PEM file of the certificate and its chain; set with the next: HTTPS."
    )
    tls_key_file: Path | None = Field(None, description="PEM file of its private key.")
    tls_ca_file: Path | None = Field(
        None,
        description="PEM file of the authority by which other instances are known; not set: the system's.",
    )
    max_events_per_request: int = Field(
        20_000, gt=0, description="Most events in one request; more are refused with 413."
    )
    score_timeout_seconds: float = Field(
        30.0, gt=0, description="How long `?scores=true` waits for the scores."
    )

    @model_validator(mode="after")
    def _readable(self) -> "ApiSettings":
        self.secret()
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_cert_file and tls_key_file go together")
        for name in ("tls_cert_file", "tls_key_file", "tls_ca_file"):
            file: Path | None = getattr(self, name)
            if file is not None and not file.is_file():
                raise ValueError(f"{name}: {file} is not there")
        return self

    def secret(self) -> str | None:
        """The fixed key, or None where there is none."""
        return _secret("api.token_file", self.token_file, self.token)


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
        if self.url is not None and not _is_address(self.url):
            raise ValueError("url: an address such as https://registry:8081 is needed")
        return self

    def secret(self) -> str | None:
        """The password, or None where there is none."""
        return _secret("kafka.schema_registry.password_file", self.password_file, self.password)


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
        description="Kafka's own options by Kafka's own names, such as `security.protocol`, passed to every client; for TLS and credentials see docs/kafka-security.md.",
    )

    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()

    def memory_topic_of(self, detector: str) -> str:
        return self.memory_topic or f"wakeful.{detector}.memory"


class CheckpointSettings(Section):
    interval_seconds: float = Field(
        5.0,
        gt=0,
        description="Time between checkpoints of the changed memories; longer where they would take more than a thirtieth of the time that there is something to do.",
    )


class HistorySettings(Section):
    url: SecretStr | None = Field(
        None,
        description="Database of anomalies and dead letters, such as `postgresql://user:password@host/database`, which instances may share; not set: `wakeful.db`. Better kept in a file: `history.url_file`.",
    )
    url_file: Path | None = Field(None, description="File that holds the database's address.")
    max_bytes: int = Field(
        2 * 2**30,
        gt=0,
        description="Room in `data_dir` for every stream's values and scores, which the page draws: half of it holds each event, then 2 of 16 are kept, then 2 of 128.",
    )
    max_days: float = Field(
        90.0,
        gt=0,
        description="About how long they are kept at most, and so are anomalies, closed episodes, dead letters, the audit log and what receivers were told.",
    )

    @model_validator(mode="after")
    def _readable(self) -> "HistorySettings":
        self.secret()
        return self

    def secret(self) -> str | None:
        """The address, or None where the history is in a file of ours."""
        return _secret("history.url_file", self.url_file, self.url)


class LogSettings(Section):
    retention_hours: float = Field(
        168.0, ge=0, description="How long the embedded log keeps events that are checkpointed."
    )


class LimitSettings(Section):
    max_event_bytes: int = Field(
        65_536, gt=0, description="Largest record; a larger one is rejected (`too_large`)."
    )
    max_stream_bytes: int = Field(
        256, gt=0, description="Longest stream name in UTF-8; a longer one is rejected (`bad_key`)."
    )
    max_features: int = Field(
        64,
        gt=0,
        le=64,
        description="Most features of a detector; where they are found in the events, further fields are ignored and counted.",
    )
    max_batch_events: int = Field(
        4096, gt=0, description="Most records taken from a source at once."
    )
    max_resident_streams: int | None = Field(
        None,
        gt=0,
        description="Most streams of a detector whose memories are kept in this process; those that have waited longest for an event wait in the store. Not set: as many as fit into half of the machine's memory, which detectors share equally.",
    )

    @property
    def batch_events(self) -> int:
        """Most records taken from a source at once: no more streams than may be resident."""
        return min(self.max_batch_events, self.max_resident_streams or self.max_batch_events)

    max_clock_skew_seconds: float = Field(
        604_800.0,
        ge=0,
        description="How far an event's time may be ahead of the time stored with its record (`future`), or behind its stream's newest (`late`). Within it, events are scored in the order in which they arrive.",
    )


Between = tuple[float | None, float | None]


class RuleSettings(Section):
    least_deviation: float = Field(
        0.0, ge=0, description="Smaller deviations from what was expected do not alarm."
    )
    least_share: float = Field(
        0.0, ge=0, description="Nor do those that are a smaller share of what was expected."
    )
    normal: Between | None = Field(
        None, description="From, to: a value between them does not alarm, either may be null."
    )
    limits: Between | None = Field(
        None, description="From, to: a value outside alarms whatever was expected."
    )

    @field_validator("normal", "limits")
    @classmethod
    def _in_order(cls, between: Between | None) -> Between | None:
        low, high = _ends(between)
        if not low <= high:
            raise ValueError(f"{low} to {high} has nothing in it; the lower one comes first")
        return between

    def terms(self) -> Rule:
        """The same for the scorer."""
        fine = (math.nan, math.nan) if self.normal is None else _ends(self.normal)
        return Rule(self.least_deviation, self.least_share, *fine, *_ends(self.limits))


def _ends(between: Between | None) -> tuple[float, float]:
    low, high = between or (None, None)
    return -math.inf if low is None else low, math.inf if high is None else high


class DetectorSettings(Section):
    topics: list[str] | None = Field(
        None,
        description="Topics of this detector, names and patterns; not set: `kafka.topics`.",
    )
    key: str = Field(
        "stream",
        min_length=1,
        description="Field that names the stream, where the record has no key.",
    )
    time: str = Field(
        "time",
        min_length=1,
        description="Field with the event's time (where it is `time`, `timestamp` is taken too); where it is missing, the time stored with the record counts.",
    )
    features: list[str] | None = Field(
        None,
        min_length=1,
        description="Fields to watch. Not set: those of the artifact; for the base artifact every numeric field.",
    )
    ignore: list[str] = Field(
        [], description="Numeric fields not to watch, where `features` is not set."
    )
    artifact: Path | None = Field(
        None,
        description="Artifact folder, as `wakeful train` writes it, or `base` or `compact`, which ship; not set: `base`.",
    )
    replaces: Path | None = Field(
        None,
        description="Artifact folder that `artifact` follows: its memories go on to speak while the new ones warm up, and are kept warm as long as this stands. The two the other way round is the way back.",
    )
    warm_up_hours: float = Field(
        72.0,
        ge=0,
        description="Event time after which a memory of a new artifact may speak in place of an older one, see `replaces`.",
    )
    direction: dict[str, Literal["low", "high", "both"]] = Field(
        {}, description="For a feature, which deviation counts: `low`, `high` or `both`."
    )
    rules: dict[str, RuleSettings] = Field(
        {},
        description="For a feature, what does not matter and what always does, in its own units: `least_deviation`, `least_share`, `normal`, `limits`. What does not matter is scored all the same, and told as suppressed.",
    )
    false_alarms_per_week: float = Field(
        1.0,
        gt=0,
        le=10_000,
        description="False-alarm budget: about how many a normal stream may raise in a week of event time. Whatever the budget, about one block of 50 events in five reaches the threshold at most.",
    )

    @model_validator(mode="after")
    def _features_differ(self) -> "DetectorSettings":
        if self.features and len(set(self.features)) != len(self.features):
            raise ValueError("features: a name stands twice")
        if self.features and (clash := {self.key, *self.times()} & set(self.features)):
            raise ValueError(f"features: {sorted(clash)} is the key or the time")
        return self

    def times(self) -> tuple[str, ...]:
        """The fields that may hold an event's time, in the order in which they are looked for."""
        return TIME_NAMES if self.time == TIME_NAMES[0] else (self.time,)

    def directions(self) -> dict[str, int]:
        return {name: DIRECTIONS[direction] for name, direction in self.direction.items()}


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none
        return False


class NotifySettings(Section):
    kind: Literal["webhook", "alertmanager", "slack", "pagerduty", "opsgenie"] = Field(
        "webhook",
        description="What is sent: `webhook` (Standard Webhooks), `alertmanager`, `slack`, `pagerduty` or `opsgenie`.",
    )
    url: SecretStr | None = Field(
        None,
        description="Where to; for PagerDuty and Opsgenie their own, if not set. Of Alertmanager its root.",
    )
    url_file: Path | None = Field(None, description="File that holds it: Slack's is a secret.")
    secret: SecretStr | None = Field(
        None,
        description="A webhook's signing key (`whsec_…`), PagerDuty's routing key, Opsgenie's API key. Better kept in a file: `secret_file`.",
    )
    secret_file: Path | None = Field(None, description="File that holds it.")
    detectors: list[str] = Field([], description="Whose episodes; empty: all.")
    streams: str = Field(
        "*", min_length=1, max_length=200, description="Of which streams: `*`, `?`."
    )
    least_severity: Literal["minor", "major", "critical"] = Field(
        "minor", description="Episodes less severe are not told."
    )
    closed: bool = Field(True, description="Whether the end of an episode is told too.")
    private: bool = Field(
        False,
        description="Whether the address may be in a private network, and without TLS; else it is refused.",
    )

    @model_validator(mode="after")
    def _whole(self) -> "NotifySettings":
        address, key = self.address(), self.key()
        if self.kind in ("pagerduty", "opsgenie") and key is None:
            raise ValueError(f"secret_file: {self.kind} asks for a key")
        if not _is_address(address):
            raise ValueError("url: an address such as https://example.com/hook is needed")
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ValueError("secret_file: one line of plain characters is needed")
        if address.startswith("http://") and not self.private:
            raise ValueError(
                "url: without TLS only in a private network: set private, or use https"
            )
        if self.kind == "webhook" and key is not None:
            try:
                signature(key, "", "", b"")
            except ValueError:
                raise ValueError("secret: whsec_ and base64 behind it") from None
        return self

    def address(self) -> str:
        return _secret("url_file", self.url_file, self.url) or ADDRESSES.get(self.kind, "")

    def key(self) -> str | None:
        return _secret("secret_file", self.secret_file, self.secret)


MANY: dict[str, type[BaseModel]] = {"detectors": DetectorSettings, "notify": NotifySettings}
"""Sections of which there are as many as somebody names."""


class Settings(BaseSettings):
    """Everything that can be set. See `docs/settings.md`, which is made from these descriptions."""

    model_config = SettingsConfigDict(
        env_prefix="WAKEFUL_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Field(
        Path("wakeful-data"),
        description="Folder of `wakeful.db` (anomalies, dead letters, the embedded log, positions), of the memories and of what streams were like; with Kafka the memories are there, and this is where idle ones are found by name.",
    )
    api: ApiSettings = ApiSettings()
    kafka: KafkaSettings = KafkaSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    log: LogSettings = LogSettings()
    history: HistorySettings = HistorySettings()
    limits: LimitSettings = LimitSettings()
    notify: dict[str, NotifySettings] = Field(
        {}, description="Who is told of episodes, by a name of yours."
    )
    detectors: dict[str, DetectorSettings] = Field(
        {"default": DetectorSettings()}, min_length=1, description="The detectors by name."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - its signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # What `load_settings` was given comes in two layers: flags above, the file below.
        given = init_settings() if isinstance(init_settings, InitSettingsSource) else {}
        flags = InitSettingsSource(settings_cls, given.get("flags", {}))
        file = InitSettingsSource(settings_cls, given.get("file", {}))
        return (flags, env_settings, file)

    @field_validator("detectors", "notify")
    @classmethod
    def _named(cls, sections: dict[str, Any]) -> dict[str, Any]:
        for name in sections:
            if not SECTION_NAME.fullmatch(name):  # variables of the environment know no capitals
                raise ValueError(f"{name!r}: a name is of a-z, 0-9, - and _")
        return sections

    @model_validator(mode="after")
    def _no_loop(self) -> "Settings":
        written, every = self._written(), self.subscription()
        for topic in sorted(written | set(every.names)):
            if not TOPIC_NAME.fullmatch(topic):
                raise ValueError(
                    f"kafka.topics: {topic!r} is no topic's name (a-z, A-Z, 0-9, ., _ and -); a "
                    "pattern begins with ^"
                )
        try:
            every.check()
        except ValueError as error:
            raise ValueError(f"kafka.topics: {error}") from None
        if loop := sorted(written & set(every.names)):
            raise ValueError(
                f"kafka.topics: {', '.join(loop)} is written to: it cannot be read too"
            )
        return self

    def keys_file(self) -> Path:
        return self.api.keys_file or self.data_dir / "keys.json"

    def topics_of(self, detector: str) -> list[str]:
        return self.detectors[detector].topics or self.kafka.topics

    def subscription(self, *detectors: str) -> Subscription:
        """The topics of these detectors, or of all; what is written here is for no pattern."""
        told = [topic for name in detectors or self.detectors for topic in self.topics_of(name)]
        return Subscription.of(told, self._written())

    def _written(self) -> set[str]:
        kafka = self.kafka
        told = {kafka.anomalies_topic, kafka.episodes_topic, kafka.dead_letters_topic}
        return told | {kafka.memory_topic_of(name) for name in self.detectors}


def load_settings(file: Path | None = None, flags: dict[str, Any] | None = None) -> Settings:
    """Read file, environment and flags; SettingsError lists each problem with its place."""
    if unknown := _unknown_variables():
        raise SettingsError("\n".join(unknown))
    body = read_file(file) if file else {}
    try:
        return Settings(file=body, flags=flags or {})  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError("\n".join(_in_words(problem) for problem in error.errors())) from None
    except SourceError as error:
        raise SettingsError(_not_json(error)) from None


def _in_words(problem: Any) -> str:
    """One of pydantic's problems as a place and what to do."""
    place = ".".join(map(str, problem["loc"])) or "settings"
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg'].removeprefix('Value error, ')}"
    known = _names_at(problem["loc"][:-1])
    near = get_close_matches(str(problem["loc"][-1]), known, 1)
    return f"{place}: no such setting; " + (
        f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    )


def _names_at(place: tuple[Any, ...]) -> list[str]:
    """The names of the settings in a section, or of the sections."""
    section: Any = Settings
    if place and place[0] in MANY:
        section = RuleSettings if "rules" in place else MANY[place[0]]
    else:
        for name in place:
            section = section.model_fields[name].annotation
    return list(getattr(section, "model_fields", {}))


def _unknown_variables() -> list[str]:
    """Variables of the environment that start like settings and are none."""
    unknown = []
    for variable in sorted(os.environ):
        section, *_ = variable.removeprefix("WAKEFUL_").lower().split("__")
        if variable.startswith("WAKEFUL_") and section not in {*Settings.model_fields, *FOREIGN}:
            near = get_close_matches(section, Settings.model_fields, 1)
            hint = f"; did you mean WAKEFUL_{near[0].upper()}?" if near else ""
            unknown.append(f"{variable}: no such setting{hint}")
    return unknown


def _not_json(error: SourceError) -> str:
    """Name the environment variable whose text is not the JSON that it should be."""
    text = getattr(error.__cause__, "doc", None)
    named = [name for name, value in os.environ.items() if value == text]
    variables = [name for name in named if name.startswith("WAKEFUL_")]
    return (
        f"{', '.join(variables) or error}: is not JSON ({error.__cause__}); "
        """a list is written as '["a", "b"]', an object as '{"a": 1}'"""
    )


def read_file(file: Path) -> dict[str, Any]:
    """A YAML (JSON included) or TOML file as a tree."""
    try:
        text = file.read_text(encoding="utf-8")
        body = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:  # its text quotes the file, which may hold a secret
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        what = getattr(error, "problem", None) or "is not YAML"
        raise SettingsError(f"{where}: {what}") from None
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        raise SettingsError(f"{file}: {error}") from None
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise SettingsError(f"{file}: expected sections at the top, found {type(body).__name__}")
    return body
