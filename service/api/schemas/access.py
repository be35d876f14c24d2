"""Who asks, and who changed what."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


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
