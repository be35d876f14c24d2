"""Anomalies, and what else can be said of them; dead letters."""

from typing import Literal

from pydantic import BaseModel, Field

from service.api.schemas.events import Result

Severity = Literal["minor", "major", "critical"]


class Anomaly(Result):
    """An anomalous event: a result with its name and its place."""

    id: str = Field(description="`<detector>:<topic>:<partition>:<offset>`, safe in a URL.")
    detector: str
    severity: Severity = Field(description="minor from a score of 1, major 1.5, critical 2.5.")
    why: str = Field(description="In words.")
    topic: str = Field(description="Where the event came from; `log` is the embedded log.")
    partition: int
    offset: int = Field(description="Of the event's record in its partition.")
    artifact: str = Field(description="Fingerprint of the artifact that scored the event.")


class AnomalyPage(BaseModel):
    items: list[Anomaly]
    next_cursor: str | None = Field(
        description="Pass as `cursor` for the next page; null at the end."
    )


class NormalFeature(BaseModel):
    """In input units."""

    feature: str
    actual: float
    nearest: float = Field(description="The value of a normal event that is nearest to the actual.")
    low: float | None = Field(
        description="From where it is normal; null where there is no end, and where several "
        "features had to be other."
    )
    high: float | None = Field(description="Up to where; null as `low`.")


class Counterfactual(BaseModel):
    """The smallest change that would have made an event a normal one, its score below 1, had all
    else been as it was."""

    features: list[NormalFeature] = Field(
        description="The most blamed one where that is enough, else the most blamed ones together."
    )
    score: float = Field(
        description="Of the event as it came, as the memory that is asked has it: within a tenth "
        "of what it was then."
    )
    says: str = Field(description="In words.")


class SimilarTime(BaseModel):
    """A time of the stream's past whose values were like those that end with the anomaly."""

    start: str
    end: str
    distance: float = Field(
        description="Of the values, each window's in its own scale and from its own mean: 0 for "
        "the same form, 1.41 for nothing in common."
    )
    score: float = Field(description="The highest of that time.")
    anomalous: bool = Field(description="Whether it is at least 1.")


class UsualValue(BaseModel):
    """What a feature usually is at such a time, as its stream's memory had learnt it."""

    of: Literal["day", "week"] = Field(
        description="At this half hour of the day, or hour of the week."
    )
    value: float
    deviation: float = Field(description="How far values usually are from it, in the mean.")


class Why(BaseModel):
    """What else can be said of an anomaly, from the values that are kept of its stream."""

    id: str
    stream: str
    detector: str
    feature: str | None = Field(description="The most blamed one, of which the rest is said.")
    counterfactual: Counterfactual | None = Field(
        description="From a memory that is made again from the values that are kept; null where "
        "it does not say of the event what was said then."
    )
    unknown: str | None = Field(description="Why there is no counterfactual.")
    usual: list[UsualValue] = Field(
        description="Of the feature, at the event's time of day and of week; without what the "
        "memory does not know, or what foretells the stream no better than its mean does."
    )
    events: int = Field(description="Of the stream's past that were looked at.")
    since: str | None = Field(description="The time of the first of them.")
    unseen: bool | None = Field(
        description="Whether the value lies outside of all of theirs; null where there are none."
    )
    similar: list[SimilarTime] = Field(
        description="The most similar first, three at most; none where no time was much alike."
    )


class DeadLetterBody(BaseModel):
    id: str
    detector: str
    topic: str
    partition: int
    offset: int
    timestamp: str
    reason: str
    detail: str
    key: str | None
    value: str | None = Field(description="The record, cut to 4096 bytes.")
    value_bytes: int


class DeadLetterPage(BaseModel):
    items: list[DeadLetterBody]
    next_cursor: str | None
