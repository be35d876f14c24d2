"""Which topics are read."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

BEGINS = "^"  # as librdkafka tells a pattern from a name
LONGEST = 249  # characters of a pattern; of a topic's name there are no more
OF_GROUPS = re.compile(r"\\[1-9]|\(\?\(|\(\?P")
"""A group's number or name, which would be another one where patterns are joined."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Topics by name, and by pattern: a regular expression that begins with ^, which a topic's name
    is to begin with. What is `written` here no pattern takes: it would never end."""

    told: tuple[str, ...]
    written: frozenset[str] = frozenset()

    @classmethod
    def of(cls, told: Iterable[str], written: Collection[str] = ()) -> "Subscription":
        return cls(tuple(dict.fromkeys(told)), frozenset(written))

    @property
    def names(self) -> list[str]:
        return [one for one in self.told if not is_pattern(one)]

    @property
    def patterns(self) -> list[str]:
        return [one for one in self.told if is_pattern(one)]

    def __contains__(self, topic: object) -> bool:
        return topic in self.told or any(self._fits(str(topic), one) for one in self.patterns)

    def among(self, topics: Iterable[str]) -> list[str]:
        """Those that are told by name, and of these others those that fit a pattern."""
        return list(dict.fromkeys([*self.names, *(one for one in sorted(topics) if one in self)]))

    def missing(self, topics: Collection[str]) -> list[str]:
        """Names that are not among these topics, and patterns that none of them fits."""
        return [
            one
            for one in self.told
            if one not in topics and not any(self._fits(topic, one) for topic in topics)
        ]

    @property
    def expression(self) -> str | None:
        """One that every topic fits that is to be read; None where there are names alone."""
        if not self.patterns:
            return None
        ours = "|".join(map(re.escape, sorted(self.written)))
        names = [f"{re.escape(name)}$" for name in self.names]
        return f"^(?!(?:{ours})$)(?:{'|'.join([*names, *self.patterns])})"

    def check(self) -> None:
        """ValueError where a pattern cannot be used, alone or together with the others."""
        for one in self.patterns:
            if len(one) > LONGEST:
                raise ValueError(f"{one[:20]!r}… is longer than {LONGEST} characters")
            if OF_GROUPS.search(one):
                raise ValueError(
                    f"{one!r} has a named group or refers to a group; as patterns are joined, "
                    "neither is possible: write out what is repeated"
                )
            _check_expression(one)
        if self.expression is not None:
            _check_expression(self.expression)

    def _fits(self, topic: str, told: str) -> bool:
        fits = is_pattern(told) and re.match(told, topic) is not None
        return fits and topic not in self.written


def _check_expression(text: str) -> None:
    try:
        re.compile(text)
    except (re.error, OverflowError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


def is_pattern(told: str) -> bool:
    return told.startswith(BEGINS)
