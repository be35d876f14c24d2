"""What is freed goes back to the machine."""

import platform
from pathlib import Path

import numpy as np
import pytest

from service.allocator import give_back

BLOCK, BLOCKS, KEPT = 8192, 2000, 10  # floats, how many, and each so many-th stays


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_holes_between_what_is_held_go_back() -> None:
    blocks = [np.ones(BLOCK) for _ in range(BLOCKS)]
    held = blocks[::KEPT]
    before = resident_bytes()
    blocks.clear()
    give_back()
    freed = 8 * BLOCK * (BLOCKS - len(held))
    assert resident_bytes() < before - 0.9 * freed


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return 1024 * int(line.split()[1])
