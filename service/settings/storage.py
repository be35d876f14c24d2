"""What is kept, and for how long."""

from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from service.settings.section import Section, secret_of


class CheckpointSettings(Section):
    interval_seconds: float = Field(
        5.0,
        gt=0,
        description="Time between checkpoints of the changed memories; longer where they would take more than a thirtieth of the time that there is something to do.",
    )


class HistorySettings(Section):
    url: SecretStr | None = Field(
        None,
        description="Database of anomalies and dead letters, such as `postgresql://user:password@host/database`, which instances may share; not set: `wakeful.db`. Without Kafka it is one instance's alone, and another `data_dir` needs another database: things are named by their events' offsets, which begin anew. Better kept in a file: `history.url_file`.",
    )
    url_file: Path | None = Field(None, description="File that holds the database's address.")
    max_bytes: int = Field(
        2 * 2**30,
        gt=0,
        description="Room in `data_dir` for every stream's values and scores, which the page draws: half of it holds each event, then 2 of 16 are kept, then 2 of 128.",
    )
    max_days: float = Field(
        90.0,
        gt=0,
        description="About how long they are kept at most, and so are anomalies, closed episodes and what receivers were told of them, dead letters, and the audit log.",
    )

    @model_validator(mode="after")
    def _readable(self) -> "HistorySettings":
        self.secret()
        return self

    def secret(self) -> str | None:
        """The address, or None where the history is in a file of ours."""
        return secret_of("history.url_file", self.url_file, self.url)


class LogSettings(Section):
    retention_hours: float = Field(
        168.0, ge=0, description="How long the embedded log keeps events that are checkpointed."
    )
