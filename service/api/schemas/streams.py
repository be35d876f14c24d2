"""Streams and their memories."""

from pydantic import BaseModel, ConfigDict, Field


class StreamSummary(BaseModel):
    stream: str
    detector: str
    events: int
    time: str
    age_seconds: float = Field(description="Event time that the memory spans.")
    score: float
    level: float
    threshold: float
    tail_probability: float
    confidence: float
    anomalies: int
    alarms: int
    tolerated: float = Field(
        description="The score up to which a single event does not alarm, as a person said of one "
        "that it was no anomaly; 0 where nobody did."
    )


class FeatureMemory(BaseModel):
    """What a stream is remembered by, for one feature; in input units."""

    value: float = Field(description="The last one.")
    level: float = Field(description="Robust mean over about 3,000 events.")
    fast: float = Field(description="Running mean over about 5 events.")
    slow: float = Field(description="Running mean over about 33 events.")
    expected: float | None = Field(
        description="The next value, as the network expects it; null before it knows enough."
    )
    scale: float = Field(description="Mean absolute deviation from the level.")
    step: float = Field(description="Mean absolute increment.")
    spread: float = Field(description="How far the next value may be from the expected one.")
    count: int = Field(description="Values seen.")


class StreamDetail(StreamSummary):
    first_time: str
    usual_gap_seconds: float
    offset: int = Field(description="The last record that the memory has seen.")
    late: int = Field(description="Events scored although their time was behind the newest.")
    artifact: str
    memory_bytes: int
    features: dict[str, FeatureMemory]


class StreamPage(BaseModel):
    items: list[StreamSummary]
    next_cursor: str | None
    unreachable: list[str] = Field(
        [], description="Instances that did not answer: their streams are missing here."
    )


class ResetBody(BaseModel):
    """A stream that begins anew."""

    stream: str
    detector: str


class RewindTo(BaseModel):
    """How far back."""

    model_config = ConfigDict(extra="forbid")

    time: str = Field(description="RFC 3339 or Unix: what came from then on is forgotten.")


class RewindBody(BaseModel):
    """A stream that goes on from an earlier memory."""

    stream: str
    detector: str
    time: str = Field(description="Of the newest event that it remembers now.")
    whole: bool = Field(
        description="Whether every record was still there: else the memory begins later than the "
        "one of then did."
    )
