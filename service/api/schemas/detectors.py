"""What is watched, with what, and how this instance is doing."""

from typing import Any

from pydantic import BaseModel, Field


class ArtifactBody(BaseModel):
    """What scores events."""

    fingerprint: str
    features: list[str] | None = Field(
        description="Those that are read together; null where any feature is, each for itself."
    )
    categories: list[str] = Field(description="Fields that are no numbers, read beside them.")
    predictor: str
    hidden: int = Field(description="Units of the network.")
    views: list[str] = Field(description="In which an event may be surprising.")
    training: dict[str, Any] = Field(description="What `wakeful train` noted.")


class ListedArtifact(ArtifactBody):
    name: str | None = Field(description="What settings call it, where it ships: base, compact.")
    detectors: list[str] = Field(description="That score with it, or replace it.")


class ArtifactList(BaseModel):
    items: list[ListedArtifact]


class DetectorBody(BaseModel):
    name: str
    topics: list[str] = Field(description="That it reads; none where events come by HTTP.")
    features: list[str] = Field(description="That are watched, or were found so far.")
    rules: dict[str, dict[str, Any]] = Field(description="Of features, as they are set.")
    false_alarms_per_week: float
    streams: int | None = Field(
        description="With a memory at this instance; null for a key of some names alone."
    )
    memory_bytes: int = Field(description="Of one stream.")
    artifact: ArtifactBody
    replaces: ArtifactBody | None = Field(
        description="The one that speaks of a stream until the other's memory is warm."
    )


class DetectorPage(BaseModel):
    items: list[DetectorBody]


class BudgetBody(BaseModel):
    name: str = Field(description="Of the detector.")
    false_alarms_per_week: float = Field(description="Promised, for a normal stream.")
    alarms_per_stream_week: float | None = Field(
        description="So far, true and false ones, of the streams in memory; null before these are "
        "a week of event time, and for a key of some names alone."
    )


class Now(BaseModel):
    """How this instance is doing."""

    time: float = Field(description="Unix seconds.")
    ready: bool
    waiting_for: str | None
    events_per_second: float = Field(
        description="Scored at this instance, of all its streams, over the last ten seconds."
    )
    lag_records: int | None = Field(description="Of the instance; null while it is not known.")
    streams: int | None = Field(
        description="With a memory at this instance; null while memories are not here, and for a "
        "key of some names alone."
    )
    event_time: float | None = Field(
        description="Unix seconds: of the newest event of these streams, by its own time; null as "
        "`streams`."
    )
    open_episodes: int
    detectors: list[BudgetBody]


class Reloaded(BaseModel):
    status: str
