"""The longest loop, compiled in a process of its own beside whoever compiles the others.

It is half of what a first start compiles. `python -m model.compiling` is that process.
"""

import subprocess
import sys
import threading
from functools import cache

import numpy as np

from model.artifact import Artifact, folder_of
from model.compiled import is_kept
from model.judge import judge
from model.row import RowTable
from model.scorer import Scorer

# -P: the model is ours, whatever is in the folder that we were started in.
COMMAND = [sys.executable, "-P", "-m", "model.compiling"]


def compile_beside() -> None:
    """Begin, unless it was compiled before. Who needs it meanwhile waits: see `model.compiled`."""
    if not is_kept(judge):
        begun()


@cache
def begun() -> threading.Thread:
    """Nothing depends on how it ends: whoever finds nothing compiled compiles."""
    thread = threading.Thread(target=_run, name="compiling", daemon=True)
    thread.start()
    return thread


def _run() -> None:
    nowhere = subprocess.DEVNULL
    subprocess.run(COMMAND, stdin=nowhere, stdout=nowhere, stderr=nowhere, check=False)  # noqa: S603


def main() -> None:
    """Of one feature and two memories: to the compiler the same as any number of them."""
    artifact = Artifact(folder_of(None))
    table = RowTable(artifact.layout(1), np.repeat(artifact.fresh_rows(1), 2, axis=0))
    Scorer(artifact, np.zeros(1, np.int8), 1.0, 0.0).compile_judge(table)


if __name__ == "__main__":
    main()
