import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import gc, json
from numba.core.dispatcher import Dispatcher
from service.bootstrap import build_detector
from service.settings.detector import DetectorSettings
from service.settings.limits import LimitSettings
from tests.service.parts import events, raw_batch

def compiled():
    return {f.py_func.__qualname__: len(f.signatures) for f in gc.get_objects()
            if isinstance(f, Dispatcher)}

settings = DetectorSettings.model_validate(
    {"features": FEATURES, "rules": {"a": {"least_deviation": 1.0}}}
)
detector = build_detector("default", settings, LimitSettings())
detector.warm_up()
before = compiled()
detector.process(raw_batch([b"{"], topic="rejected"))
one = {"a": 1.0, "time": 1.7e9}
for rows in (
    [{"stream": "s", **one}],
    [{"stream": f"s{n}", **one, "b": n} for n in range(500)],
    [{"stream": "s", "a": n, "time": 1.7e9 + n} for n in range(100)] + [{"stream": "s"}],
):
    detector.process(raw_batch(events(rows), topic=f"t{len(rows)}"))
detector.stream("s")
print(json.dumps({name: n for name, n in compiled().items() if n != before.get(name)}))
"""


@pytest.mark.parametrize("features", [["a"], ["a", "b"], None])
def test_after_the_warm_up_nothing_is_compiled(features: list[str] | None) -> None:
    """What is ready answers at once: events of one stream and of many, usual and unusual ones."""
    done = subprocess.run(
        [sys.executable, "-c", f"FEATURES = {features}\n{SCRIPT}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "{}"


FULL = """
import resource
from model.compiled import compiled

resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))

@compiled
def twice(x):
    return 2.0 * x

print(twice(4.0))
"""


def test_a_full_disk_does_not_keep_compiled_code_from_being_used(tmp_path: Path) -> None:
    (tmp_path / "full.py").write_text(FULL)  # numba asks for a file
    done = subprocess.run(
        [sys.executable, "-c", "import full"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": f"{ROOT}:{tmp_path}"},
    )
    assert done.stdout.strip() == "8.0"
    assert "cannot be kept for the next start" in done.stderr
