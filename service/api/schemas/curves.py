"""What streams were like, as columns."""

from pydantic import BaseModel, Field


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
    scores: list[float] = Field(description="To 2 % of 1 + score downwards, and never across 1.")
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
