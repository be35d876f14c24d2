"""The settings as one tree, in the order in which they are layered: flags, environment, file."""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.settings.api import ApiSettings
from service.settings.detector import DetectorSettings
from service.settings.kafka import KafkaSettings
from service.settings.limits import LimitSettings
from service.settings.notify import NotifySettings
from service.settings.storage import CheckpointSettings, HistorySettings, LogSettings
from service.subscription import Subscription

TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
SECTION_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

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
