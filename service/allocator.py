"""What the C library holds of freed memory.

glibc lets threads take memory from arenas of their own, eight for each core, and gives an arena's
pages back only from its end. A service that catches up now and then leaves holes in each, and the
process is as large as all of them together at their worst. So it has few, and what is free in them
goes back to the machine now and then: mallopt(3), malloc_trim(3).
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

M_ARENA_MAX = -8
ARENAS = 2  # nearly all of it is one thread's
EVERY_SECONDS = 60.0


@contextmanager
def tidy() -> Iterator[None]:
    """Few arenas from now on, and meanwhile what is free goes back now and then."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(M_ARENA_MAX, ARENAS)
    ending = threading.Event()
    thread = threading.Thread(target=_keep_giving_back, args=(ending,), name="allocator")
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def give_back() -> None:
    """What is free; nothing where the C library is another one."""
    if (malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        malloc_trim(ctypes.c_size_t(0))


def _keep_giving_back(ending: threading.Event) -> None:
    while not ending.wait(EVERY_SECONDS):
        give_back()
