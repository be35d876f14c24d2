"""`python -m tests.faults.soak`: see `run`. KAFKA_HOME is an untarred Apache Kafka."""

import argparse
import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import HOW_TO_KAFKA, kafka_home
from tests.faults.soak.run import Length, soak

MEASURED_SECONDS = 8.0
RELOADS = 5
FAULTS = 9  # however short it is: one of each


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--scene-seconds", type=float, default=30.0)
    parser.add_argument(
        "--share", type=float, default=0.5, help="of the load that it takes; less beside other work"
    )
    parser.add_argument("--json", type=Path, help="where to write what was found")
    parser.add_argument("--log", type=Path, default="soak.log", help="what the service logs")
    given = parser.parse_args()
    home = kafka_home()
    if home is None:
        parser.error(HOW_TO_KAFKA)
    length = Length(
        60.0 * given.minutes, given.scene_seconds, MEASURED_SECONDS, FAULTS, given.share, RELOADS
    )
    with TemporaryDirectory() as folder:
        try:
            verdict = soak(home, Path(folder), length)
        finally:
            for log in Path(folder).glob("service.log"):
                shutil.copy(log, given.log)
    print(verdict.to_text())  # noqa: T201
    if given.json is not None:
        given.json.write_text(json.dumps(verdict.to_json(), indent=2) + "\n", encoding="utf-8")
    return 1 if verdict.wrong() else 0


if __name__ == "__main__":
    sys.exit(main())
