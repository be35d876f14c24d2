"""Whose anomalies alarm nobody."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

NO_NUL = r"^[^\x00]*$"  # no text in PostgreSQL has one


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
