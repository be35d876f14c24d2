"""What went wrong, as RFC 9457 tells it."""

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str | None = Field(
        None, description="Of an error of the service itself: its name in the log."
    )
