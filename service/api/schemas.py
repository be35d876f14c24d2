"""What the API answers with, described for OpenAPI."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Severity = Literal["minor", "major", "critical"]
EpisodeState = Literal["open", "closed"]
NO_NUL = r"^[^\x00]*$"  # no text in PostgreSQL has one


class FeatureResult(BaseModel):
    """In input units."""

    actual: float
    expected: float | None = Field(description="Reconstruction made before the value came.")
    low: float | None = Field(description="Lower end of the band that holds 99 % of normal values.")
    high: float | None = Field(description="Upper end of the band.")
    share: float = Field(description="This feature's part of the surprise, 0 to 1.")


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
    events: int = Field(description="Of the stream's past that were looked at.")
    since: str | None = Field(description="The time of the first of them.")
    unseen: bool | None = Field(
        description="Whether the value lies outside of all of theirs; null where there are none."
    )
    similar: list[SimilarTime] = Field(
        description="The most similar first, three at most; none where no time was much alike."
    )


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
        description="Those of the peak, the one to blame most first."
    )
    acknowledged: bool = Field(False, description="Whether a person has taken it on.")
    note: str | None = Field(None, description="What a person says of it.")


class Remark(BaseModel):
    """What a person says of an episode; what is left out, or null, stays as it was."""

    model_config = ConfigDict(extra="forbid")

    acknowledged: bool | None = None
    note: str | None = Field(None, max_length=2000, description="An empty one takes it away.")


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


class Login(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: str = Field(max_length=512)


class Who(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    role: Literal["viewer", "operator", "admin"]
    detector: str | None = Field(description="Of this one alone.")
    prefix: str = Field(description="Of streams alone whose names begin so.")


class AuditEntry(BaseModel):
    """A change."""

    id: str
    time: str
    who: str = Field(description="The key's id and name.")
    what: str
    of: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(BaseModel):
    items: list[AuditEntry]
    next_cursor: str | None


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


class MuteTerms(BaseModel):
    """Whose anomalies alarm nobody, and when, by event time. Without stream and pattern: all."""

    model_config = ConfigDict(extra="forbid")

    detector: str | None = None
    stream: str | None = Field(None, max_length=1000, pattern=NO_NUL, description="Its name.")
    pattern: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        pattern=r"^[^*\x00]*(\*[^*\x00]+){0,4}\*?$",
        description="Of names: `*` stands for any characters, `?` for one; at most five `*`.",
    )
    features: list[Annotated[str, Field(max_length=200, pattern=NO_NUL)]] = Field(
        [], max_length=64, description="Of these alone; where it is empty, of all."
    )
    start: str | None = Field(None, description="RFC 3339 or Unix; none: since ever.")
    end: str | None = Field(None, description="Not included; none: until the mute is removed.")
    every: Literal["day", "week"] | None = Field(
        None, description="The time from start to end comes again."
    )
    note: str | None = Field(None, max_length=2000, pattern=NO_NUL)


class NewMute(MuteTerms):
    id: str | None = Field(
        None,
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="Yours, if any: the same mute sent twice is one.",
    )


class MuteBody(MuteTerms):
    id: str
    made: str = Field(description="When.")


class MuteChange(MuteBody):
    unreachable: list[str] = Field(
        description="Instances that did not answer, and do not know of it; ask again."
    )


class MuteList(BaseModel):
    items: list[MuteBody]


class EpisodePage(BaseModel):
    items: list[Episode]
    next_cursor: str | None = Field(
        description="Pass as `cursor` for the next page; null at the end."
    )


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


class Rejection(BaseModel):
    index: int = Field(description="Of the event in the request, from 0.")
    reason: str
    detail: str


class Ingested(BaseModel):
    """What became of the events of one request."""

    accepted: int
    rejected: list[Rejection]
    results: list[Result | None] | None = Field(
        None, description="With `?scores=true`: one an event, in order; null for a rejected one."
    )


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


class FeatureCurves(BaseModel):
    """One number for each time, in input units; null where there was none."""

    actual: list[float | None] = Field(description="To a 64th of the spread.")
    expected: list[float | None] = Field(description="Null before enough is known.")
    low: list[float | None]
    high: list[float | None]


class ScoresBody(BaseModel):
    """What a stream was like, as columns: entry k of each is of the same event."""

    stream: str
    detector: str
    times: list[float] = Field(description="Unix seconds, ascending.")
    scores: list[float] = Field(description="To 2 % downwards, and never across 1.")
    features: dict[str, FeatureCurves]
    thinned: bool = Field(description="Whether there were more events than are told.")


class GateCurves(BaseModel):
    """Of the units of encoder and decoder, one number for each time; null where no step ended."""

    events: int = Field(description="In a step: the network runs on the mean of so many.")
    forget: list[float | None] = Field(description="How far the forget gates were open, 0 to 1.")
    input: list[float | None] = Field(description="The input gates.")
    output: list[float | None] = Field(description="The output gates.")
    kept: list[float | None] = Field(
        description="The share of the cell state, in absolute values, that was kept."
    )
    written: list[float | None] = Field(
        description="The mean size of what was added to the cell state, 0 to 1."
    )


class GatesBody(BaseModel):
    """What a stream's memory kept, let in and told, worked out again from the values that are kept:
    columns, entry k of each is of the same event."""

    stream: str
    detector: str
    artifact: str
    feature: str | None = Field(
        description="Whose run of the network this is; null where it reads all features together."
    )
    features: list[str] = Field(description="Those that may be asked for.")
    warm_up: int = Field(
        description="Events before the first that is told, from a fresh memory on; 500 where as "
        "many are kept."
    )
    truncated: bool = Field(description="Whether there are more than the newest 2,000 of the time.")
    times: list[float] = Field(description="Unix seconds, in the order of arrival.")
    resolutions: list[GateCurves] = Field(description="The finest first.")


class HeatmapRow(BaseModel):
    stream: str
    scores: list[float | None] = Field(description="Null where there was no event.")


class Heatmap(BaseModel):
    start: float = Field(description="Unix seconds.")
    end: float
    columns: int
    rows: list[HeatmapRow]


class BudgetBody(BaseModel):
    name: str = Field(description="Of the detector.")
    false_alarms_per_week: float = Field(description="Promised, for a normal stream.")
    alarms_per_stream_week: float | None = Field(
        description="So far, true and false ones, of the streams in memory; null before there is "
        "any event time."
    )


class Now(BaseModel):
    """How this instance is doing."""

    time: float = Field(description="Unix seconds.")
    ready: bool
    waiting_for: str | None
    events_per_second: float = Field(description="Scored, over the last ten seconds.")
    lag_records: int | None = Field(description="Null while it is not known.")
    streams: int | None = Field(
        description="With a memory at this instance; null while memories are not here."
    )
    open_episodes: int
    detectors: list[BudgetBody]


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


class Reloaded(BaseModel):
    status: str


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
    late: int
    artifact: str
    memory_bytes: int
    features: dict[str, FeatureMemory]


class StreamPage(BaseModel):
    items: list[StreamSummary]
    next_cursor: str | None
    unreachable: list[str] = Field(
        [], description="Instances that did not answer: their streams are missing here."
    )


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
    topics: list[str] = Field(description="That it reads, where events come from Kafka.")
    features: list[str] = Field(description="That are watched, or were found so far.")
    rules: dict[str, dict[str, Any]] = Field(description="Of features, as they are set.")
    false_alarms_per_week: float
    streams: int = Field(description="With a memory at this instance.")
    memory_bytes: int = Field(description="Of one stream.")
    artifact: ArtifactBody
    replaces: ArtifactBody | None = Field(
        description="The one that speaks of a stream until the other's memory is warm."
    )


class DetectorPage(BaseModel):
    items: list[DetectorBody]


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


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str | None = Field(
        None, description="Of an error of the service itself: its name in the log."
    )
