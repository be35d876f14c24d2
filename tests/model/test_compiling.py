"""What is compiled is compiled once, whoever starts together."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SLOW = """
import sys
from model.compiled import compiled, is_kept

@compiled
def twice(x):
    return 2.0 * x

print("ready", is_kept(twice), flush=True)
sys.stdin.readline()
assert twice(4.0) == 8.0
print(sum(twice.stats.cache_misses.values()), is_kept(twice))
"""
DYING = """
import io, sys
said, sys.stdin = sys.stdin, io.StringIO("now")
import model.compiled

@model.compiled.contextmanager
def stopped(index, alone=model.compiled._alone):
    with alone(index):
        print("here", flush=True)
        said.readline()
        yield

model.compiled._alone = stopped
import slow
"""
BESIDE = """
from model.compiled import is_kept
from model.compiling import begun, compile_beside
from model.judge import judge
from service.bootstrap import build_detector
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings

assert not is_kept(judge)
compile_beside()
begun().join()
for features in (["a"], ["a", "b"], None):
    settings = DetectorSettings.model_validate({"features": features})
    detector = build_detector("default", settings, LimitSettings())
    if features is None:
        detector = detector.another(detector.memory, ("a", "b", "c"))
    detector.scorer.compile_judge(detector.arena.table)
print(sum(judge.stats.cache_misses.values()), sum(judge.stats.cache_hits.values()))
"""


def started(folder: Path, code: str) -> "subprocess.Popen[str]":
    """A process that has kept nothing of an earlier start."""
    where = {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": f"{ROOT}:{folder}"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **where},
    )


def test_of_processes_that_start_together_one_compiles(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    processes = [started(tmp_path, "import slow") for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready False\n"
    said = sorted(process.communicate("now\n")[0].strip() for process in processes)
    assert said == ["0 True", "0 True", "1 True"]


def test_who_dies_while_it_compiles_keeps_nobody_waiting(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    dying, other = started(tmp_path, DYING), started(tmp_path, "import slow")
    for process, said in ((dying, "ready False\nhere\n"), (other, "ready False\n")):
        assert process.stdout is not None
        for line in said.splitlines(keepends=True):
            assert process.stdout.readline() == line
    assert other.stdin is not None
    other.stdin.write("now\n")
    other.stdin.flush()
    dying.kill()
    dying.communicate()
    assert other.communicate()[0].strip() == "1 True"


def test_the_longest_loop_that_is_compiled_beside_is_the_one_that_is_called(
    tmp_path: Path,
) -> None:
    """Of any number of features: else it would have been compiled for nothing."""
    process = started(tmp_path, BESIDE)
    assert process.communicate()[0].split() == ["0", "1"]
    assert process.returncode == 0
