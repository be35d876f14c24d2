"""Episodes, incidents, and who was told of them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.anomalies import Severity
from service.api.schemas.events import FeatureResult

EpisodeState = Literal["open", "closed"]


class BlamedFeature(FeatureResult):
    feature: str


class EpisodeChange(BaseModel):
    """A change of an episode: of anomalous events that belong together."""

    id: str = Field(description="The name of its first anomaly, safe in a URL.")
    detector: str
    artifact: str = Field(description="Fingerprint of the artifact that scored the events.")
    stream: str
    state: EpisodeState
    change: Literal["opened", "continued", "closed", "reopened"] = Field(
        description="What the last event that changed it did."
    )
    alarm: bool = Field(description="Whether that event notified someone.")
    severity: Severity = Field(description="Of its highest score.")
    score: float = Field(description="The highest so far.")
    start: str
    end: str = Field(description="Time of the newest anomalous event.")
    anomalies: int = Field(description="Anomalous events so far.")
    peak: str = Field(description="The id of the anomaly with the highest score.")
    why: str | None = Field(description="The peak in words; null where this event is not the peak.")
    features: list[BlamedFeature] | None = Field(
        description="Those of the peak, the one to blame most first; null as `why`."
    )
    topic: str
    partition: int
    offset: int = Field(description="Of the event that changed it last.")


class Episode(EpisodeChange):
    """Anomalous events that belong together."""

    began: str | None = Field(
        None, description="What was wrong with its first event; later ones are held against it."
    )
    why: str = Field(description="The peak in words.")
    features: list[BlamedFeature] = Field(
        description="Those of the peak, the one to blame most first; none where it was told before "
        "this database was, or elsewhere."
    )
    acknowledged: bool = Field(False, description="Whether a person has taken it on.")
    note: str | None = Field(None, description="What a person says of it.")


class EpisodePage(BaseModel):
    items: list[Episode]
    next_cursor: str | None = Field(
        description="Pass as `cursor` for the next page; null at the end."
    )


class Remark(BaseModel):
    """What a person says of an episode; what is left out stays as it was, null takes it back."""

    model_config = ConfigDict(extra="forbid")

    acknowledged: bool | None = None
    note: str | None = Field(None, max_length=2000, description="An empty one takes it away.")


class Incident(BaseModel):
    """Episodes of one or many streams that overlap in time."""

    id: str = Field(description="The name of its earliest episode.")
    state: EpisodeState = Field(description="open as long as one of its episodes is.")
    severity: Severity = Field(description="The highest of its episodes.")
    score: float
    start: str
    end: str
    streams: list[str]
    features: list[str] = Field(description="Those to blame, the one of most episodes first.")
    episodes: list[str] = Field(description="Names of its episodes, the earliest first.")
    worst: str = Field(description="The name of the episode with the highest score.")


class IncidentPage(BaseModel):
    items: list[Incident]
    truncated: bool = Field(
        description="Whether there are more episodes than were grouped: the newest are."
    )


class Notification(BaseModel):
    """What a receiver is told."""

    id: str
    target: str = Field(description="Its name in `notify`.")
    episode: str
    detector: str
    stream: str
    change: Literal["opened", "continued", "closed", "reopened"]
    severity: Severity
    state: Literal["waiting", "sent", "dead"]
    attempts: int
    said: str | None = Field(description="Why it was not taken, at the last try.")
    made: str


class NotificationPage(BaseModel):
    items: list[Notification]
    next_cursor: str | None
