"""Time as text and numbers. Scores never read the wall clock; only the edges do."""

import math
import re
import time
from datetime import UTC, datetime

EARLIEST, LATEST = 0.0, 4e9  # Unix seconds: 1970 to 2096
TIME_NAMES = ("time", "timestamp")  # where nothing else is said; the first that is there counts
MILLISECONDS_FROM = 1e11  # a larger number is taken for milliseconds
# Longer than any RFC 3339 time: bounds the work on a hostile string.
LONGEST_TEXT = 40
_SHAPE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")


def now() -> float:
    """Unix seconds."""
    return time.time()


def parse_time(value: object) -> float:
    """RFC 3339 text (UTC where no zone is given), or Unix seconds or milliseconds -> Unix seconds.

    Raises ValueError for anything else and for times outside 1970 to 2096.
    """
    if isinstance(value, str):
        seconds = _parse_text(value.strip())
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
        if abs(seconds) >= MILLISECONDS_FROM:
            seconds /= 1000.0
    else:
        raise ValueError(f"expected RFC 3339 text or a Unix time, found {type(value).__name__}")
    if not (math.isfinite(seconds) and EARLIEST <= seconds <= LATEST):
        raise ValueError(f"{value!r} is not between 1970 and 2096")
    return seconds


def _parse_text(text: str) -> float:
    if len(text) > LONGEST_TEXT or not _SHAPE.match(text):
        raise ValueError(f"{text[:LONGEST_TEXT]!r} is not an RFC 3339 time")
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def format_time(seconds: float) -> str:
    """Unix seconds -> RFC 3339 in UTC, to the microsecond where there is a fraction.

    Times that no event may have come out as the nearest that one may.
    """
    seconds = min(max(seconds, EARLIEST), LATEST)
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
