"""How much is taken of what comes."""

from pydantic import Field

from service.settings.section import Section


class LimitSettings(Section):
    max_event_bytes: int = Field(
        65_536, gt=0, description="Largest record; a larger one is rejected (`too_large`)."
    )
    max_stream_bytes: int = Field(
        256, gt=0, description="Longest stream name in UTF-8; a longer one is rejected (`bad_key`)."
    )
    max_features: int = Field(
        64,
        gt=0,
        le=64,
        description="Most features of a detector; where they are found in the events, further fields are ignored and counted.",
    )
    max_batch_events: int = Field(
        4096, gt=0, description="Most records taken from a source at once."
    )
    max_resident_streams: int | None = Field(
        None,
        gt=0,
        description="Most streams of a detector whose memories are kept in this process; those that have waited longest for an event wait in the store. Not set: as many as fit into half of the machine's memory, which detectors share equally.",
    )

    @property
    def batch_events(self) -> int:
        """Most records taken from a source at once: no more streams than may be resident."""
        return min(self.max_batch_events, self.max_resident_streams or self.max_batch_events)

    max_clock_skew_seconds: float = Field(
        604_800.0,
        ge=0,
        description="How far an event's time may be ahead of the time stored with its record (`future`), or behind its stream's newest (`late`). Within it, events are scored in the order in which they arrive.",
    )
