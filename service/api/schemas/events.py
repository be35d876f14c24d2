"""What becomes of events."""

from typing import Literal

from pydantic import BaseModel, Field


class FeatureResult(BaseModel):
    """In input units."""

    actual: float
    expected: float | None = Field(description="Reconstruction made before the value came.")
    low: float | None = Field(description="Lower end of the band that holds 99 % of normal values.")
    high: float | None = Field(description="Upper end of the band.")
    share: float = Field(
        description="This feature's part, 0 to 1, in the view of surprise that is loudest for the "
        "event; 0 where a rule says that its deviation does not matter, unless the event is "
        "suppressed."
    )
    limit: float | None = Field(
        None, description="The limit, as a rule sets it, that the value is beyond."
    )


class Result(BaseModel):
    """One scored event."""

    stream: str
    time: str = Field(description="Of the event, RFC 3339 in UTC.")
    score: float = Field(description="How surprising this event is; 1.0 at the threshold.")
    level: float = Field(description="How abnormal the stream is now, smoothed.")
    threshold: float = Field(description="Tail probability at which the score is 1.0.")
    tail_probability: float = Field(
        description="Probability that a normal block of 50 events holds one as surprising."
    )
    anomalous: bool = Field(description="Whether the score is at least 1.")
    alarm: bool = Field(description="Whether this event notifies someone.")
    suppressed: Literal["mute", "rule"] | None = Field(
        description="Why an anomalous event can notify nobody: a mute, or a rule of the detector."
    )
    confidence: float = Field(description="0 for a new stream to 1: how much is its own history.")
    features: dict[str, FeatureResult]


class Rejection(BaseModel):
    index: int = Field(description="Of the event in the request, from 0.")
    reason: str
    detail: str


class Ingested(BaseModel):
    """What became of the events of one request."""

    accepted: int
    rejected: list[Rejection]
    warnings: list[str] = Field(
        [],
        description="What is odd about accepted events, of the first hundred: fields that are not "
        "watched because their numbers are texts.",
    )
    results: list[Result | None] | None = Field(
        None, description="With `?scores=true`: one an event, in order; null for a rejected one."
    )
