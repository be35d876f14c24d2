"""Fields that are no numbers, such as a merchant or a terminal, as the network reads them.

A text is hashed to one of a fixed number of buckets, and the network learns a vector for each
bucket (feature hashing: Weinberger et al. 2009, ICML): no list of what there is has to be kept. A
bucket that was never seen in training is read much as a missing text is.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

BUCKETS = 256
NONE = 0  # the bucket of what is missing
FRACTION = re.compile(r"^(-?\d+)(?:\.(\d*[1-9])?)0*$")

I64 = npt.NDArray[np.int64]


@lru_cache(maxsize=65536)
def bucket_of(text: str | None) -> int:
    """1 to BUCKETS - 1, the same on every machine; NONE where there is no text.

    Blanks around a text do not count, nor do zeros at the end of a fraction, so that a file's cell
    and an event's field have the same bucket.

    >>> bucket_of(" 7.0") == bucket_of("7"), bucket_of("7.10") == bucket_of("7.1")
    (True, True)
    >>> bucket_of("70") == bucket_of("7"), bucket_of(None), bucket_of("")
    (False, 0, 0)
    """
    text = text.strip() if text else None
    if not text:
        return NONE
    if number := FRACTION.match(text):
        text = ".".join(part for part in number.groups() if part)
    return 1 + crc32(text.encode("utf-8", "surrogatepass")) % (BUCKETS - 1)


def buckets_of(texts: Sequence[Sequence[str | None]], categories: int) -> I64:
    """(n, categories), of n events."""
    if not categories:
        return np.zeros((len(texts), 0), np.int64)
    rows = [[bucket_of(text) for text in event] for event in texts]
    return np.array(rows, np.int64).reshape(len(rows), categories)
