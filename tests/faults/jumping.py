"""`wakeful` on a machine whose clock jumps, by minutes and by years, each half second."""

import random
import time

from service.cli import main

JUMPS = (0.0, -60.0, 60.0, -86_400.0, 3000.0, 86_400.0 * 400, -1e9)
SECONDS = 0.5

real = time.time


def jumping() -> float:
    turn = int(time.monotonic() / SECONDS)
    return real() + random.Random(turn).choice(JUMPS)


if __name__ == "__main__":
    time.time = jumping
    main()
