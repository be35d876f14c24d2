"""What a person says of a stream's events."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Feedback(BaseModel):
    """What a person says of an event of a stream: give the episode that was no anomaly, or the time
    from which on an anomaly was missed."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["false", "missed"]
    episode: str | None = Field(None, description="Its id; for `false`.")
    time: str | None = Field(None, description="RFC 3339 or Unix seconds; for `missed`.")
    seconds: float = Field(
        60.0, gt=0, le=86_400, description="After `time`, in which the event was."
    )


class FeedbackBody(BaseModel):
    id: str
    detector: str
    stream: str
    kind: Literal["false", "missed"]
    score: float = Field(description="Of the event, had nothing been said before.")
    episode: str | None
    time: str = Field(description="Of the event.")
    said: str = Field(description="When.")
    undone: bool


class FeedbackPage(BaseModel):
    items: list[FeedbackBody]
    next_cursor: str | None
