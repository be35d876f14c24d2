"""A detector, and the rules of its features."""

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from model.suppression import Rule
from service.clock import TIME_NAMES
from service.settings.section import Section

DIRECTIONS = {"low": -1, "both": 0, "high": 1}

Between = tuple[float | None, float | None]


class RuleSettings(Section):
    least_deviation: float = Field(
        0.0, ge=0, description="Smaller deviations from what was expected do not alarm."
    )
    least_share: float = Field(
        0.0, ge=0, description="Nor do those that are a smaller share of what was expected."
    )
    normal: Between | None = Field(
        None, description="From, to: a value between them does not alarm, either may be null."
    )
    limits: Between | None = Field(
        None, description="From, to: a value outside is anomalous whatever was expected."
    )

    @field_validator("normal", "limits")
    @classmethod
    def _in_order(cls, between: Between | None) -> Between | None:
        low, high = _ends(between)
        if not low <= high:
            raise ValueError(f"{low} to {high} has nothing in it; the lower one comes first")
        return between

    def terms(self) -> Rule:
        """The same for the scorer."""
        fine = (math.nan, math.nan) if self.normal is None else _ends(self.normal)
        return Rule(self.least_deviation, self.least_share, *fine, *_ends(self.limits))


def _ends(between: Between | None) -> tuple[float, float]:
    low, high = between or (None, None)
    return -math.inf if low is None else low, math.inf if high is None else high


class DetectorSettings(Section):
    topics: list[str] | None = Field(
        None,
        description="Topics of this detector, names and patterns; not set: `kafka.topics`.",
    )
    key: str = Field(
        "stream",
        min_length=1,
        description="Field that names the stream, where the record has no key.",
    )
    time: str = Field(
        "time",
        min_length=1,
        description="Field with the event's time (where it is `time`, `timestamp` is taken too); where it is missing, the time stored with the record counts.",
    )
    features: list[str] | None = Field(
        None,
        min_length=1,
        description="Fields to watch. Not set: those of the artifact; for the base artifact every numeric field.",
    )
    ignore: list[str] = Field(
        [], description="Numeric fields not to watch, where `features` is not set."
    )
    artifact: Path | None = Field(
        None,
        description="Artifact folder, as `wakeful train` writes it, or `base` or `compact`, which ship; not set: `base`.",
    )
    replaces: Path | None = Field(
        None,
        description="Artifact folder that `artifact` follows: its memories go on to speak while the new ones warm up, and are kept warm as long as this stands. The two the other way round is the way back.",
    )
    warm_up_hours: float = Field(
        72.0,
        ge=0,
        description="Event time after which a memory of a new artifact may speak in place of an older one, see `replaces`.",
    )
    direction: dict[str, Literal["low", "high", "both"]] = Field(
        {}, description="For a feature, which deviation counts: `low`, `high` or `both`."
    )
    rules: dict[str, RuleSettings] = Field(
        {},
        description="For a feature, what does not matter and what always does, in its own units: `least_deviation`, `least_share`, `normal`, `limits`. What does not matter is scored all the same, and told as suppressed.",
    )
    false_alarms_per_week: float = Field(
        1.0,
        gt=0,
        le=10_000,
        description="False-alarm budget: about how many a normal stream may raise in a week of event time. Whatever the budget, about one block of 50 events in five reaches the threshold at most.",
    )

    @model_validator(mode="after")
    def _features_differ(self) -> "DetectorSettings":
        if self.features and len(set(self.features)) != len(self.features):
            raise ValueError("features: a name stands twice")
        if self.features and (clash := {self.key, *self.times()} & set(self.features)):
            raise ValueError(f"features: {sorted(clash)} is the key or the time")
        return self

    def times(self) -> tuple[str, ...]:
        """The fields that may hold an event's time, in the order in which they are looked for."""
        return TIME_NAMES if self.time == TIME_NAMES[0] else (self.time,)

    def directions(self) -> dict[str, int]:
        return {name: DIRECTIONS[direction] for name, direction in self.direction.items()}
