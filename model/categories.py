"""Fields that are no numbers, such as a merchant or a terminal, as the network reads them.

A text is hashed to one of a fixed number of buckets, and the network learns a vector for each
bucket (feature hashing: Weinberger et al. 2009, ICML): no list of what there is has to be kept, and
one that was never seen before is read like the others of its bucket.
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

BUCKETS = 256
NONE = 0  # the bucket of what is missing

I64 = npt.NDArray[np.int64]


def bucket_of(text: str | None) -> int:
    """1 to BUCKETS - 1, the same on every machine; NONE where there is no text.

    >>> bucket_of("terminal-7") == bucket_of("terminal-7"), bucket_of(None)
    (True, 0)
    """
    if text is None:
        return NONE
    return 1 + crc32(text.encode("utf-8", "surrogatepass")) % (BUCKETS - 1)


def buckets_of(texts: Sequence[Sequence[str | None]], categories: int) -> I64:
    """(n, categories), of n events."""
    rows = [[bucket_of(text) for text in event] for event in texts]
    return np.array(rows, np.int64).reshape(len(rows), categories)
