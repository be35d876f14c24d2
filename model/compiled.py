"""Compiled loops over events.

The normaliser and the scoring layer visit events one by one, in arrival order, in compiled code.
Each event runs the same scalar instructions whatever else shares its batch, so a score cannot
depend on how events were cut into batches. No fast-math: the order of operations stands.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` with numba; the machine code is cached on disk between processes."""
    return cast(F, numba.njit(cache=True, fastmath=False, nogil=True)(function))
