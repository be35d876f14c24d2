"""A real Prometheus reads a running service with the deployed configuration, and a real
Alertmanager hears of its end."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from service.bench.broker import free_port
from tests.deploy.test_deploy_files import ALERTS_FILE, EVERY_RULE, PROMETHEUS, RULES
from tests.processes import WAIT_SECONDS, Wakeful, wakeful

T = TypeVar("T")

ALERTMANAGER = "prometheus-alertmanager"  # as Debian calls it
MISSING = [name for name in ("prometheus", ALERTMANAGER) if shutil.which(name) is None]

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed (Debian: these packages): {', '.join(MISSING)}"
)


def ask(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=WAIT_SECONDS) as reply:
        return json.loads(reply.read())


def wait_for(answer: Callable[[], T], what: str) -> T:
    """The first answer that is not empty."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := answer()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen")
        time.sleep(0.1)
    return found


@contextmanager
def running(*command: object, address: str, log: Path) -> Iterator[str]:
    """A server that answers at `address`, as long as the block lasts."""
    with log.open("w", encoding="utf-8") as written:
        process = subprocess.Popen(list(map(str, command)), stdout=written, stderr=written)

    def ready() -> bool:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(f"http://{address}/-/ready", timeout=WAIT_SECONDS):
                return True
        except OSError:
            return False

    try:
        wait_for(ready, f"{command[0]} ready")
        yield address
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


@contextmanager
def alertmanager(folder: Path) -> Iterator[str]:
    config = folder / "alertmanager.yml"
    nobody = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    config.write_text(yaml.safe_dump(nobody), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with running(
        ALERTMANAGER, f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}", "--cluster.listen-address=",
        address=address, log=folder / "alertmanager.log",
    ):  # fmt: skip
        yield address


@contextmanager
def prometheus(folder: Path, target: str, told: str) -> Iterator[str]:
    """The deployed configuration, with another target and no patience; the deployed rules, and the
    alert of a service that is down once more, without its two minutes."""
    at_once = [{**rule, "for": "0s"} for rule in RULES if rule["alert"] == "WakefulDown"]
    impatient = folder / "impatient.yml"
    impatient.write_text(
        yaml.safe_dump({"groups": [{"name": "at once", "rules": at_once}]}), encoding="utf-8"
    )
    (job,) = PROMETHEUS["scrape_configs"]
    config = {
        "global": {"scrape_interval": "3s", "evaluation_interval": "1s", "scrape_timeout": "3s"},
        "rule_files": [str(ALERTS_FILE), str(impatient)],
        "scrape_configs": [{**job, "static_configs": [{"targets": [target]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [told]}]}]},
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    with running(
        "prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}", "--enable-feature=exemplar-storage",
        address=address, log=folder / "prometheus.log",
    ):  # fmt: skip
        yield address


def names_told(process: Wakeful) -> set[str]:
    """Of the series at /metrics."""
    lines = process.text("/metrics").splitlines()
    return {line.split(" ")[0].split("{")[0] for line in lines if not line.startswith("#")}


def value(address: str, query: str) -> float | None:
    found = ask(address, f"/api/v1/query?query={urllib.parse.quote(query)}")["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def exemplar(address: str) -> dict[str, str]:
    """Of the time that scoring took: which records it was."""
    query = urllib.parse.quote('wakeful_stage_seconds_bucket{stage="score"}')
    end = time.time() + 60.0
    path = f"/api/v1/query_exemplars?query={query}&start={end - 3600.0}&end={end}"
    found = wait_for(lambda: ask(address, path)["data"], "an exemplar")
    labels: dict[str, str] = found[0]["exemplars"][0]["labels"]
    return labels


def target_of(address: str) -> tuple[str, str]:
    """Its health, and its last error."""
    (target,) = ask(address, "/api/v1/targets")["data"]["activeTargets"]
    return target["health"], target["lastError"]


def rules(address: str) -> list[dict[str, Any]]:
    """As Prometheus has them, once each was evaluated."""

    def evaluated() -> list[dict[str, Any]]:
        groups = ask(address, "/api/v1/rules")["data"]["groups"]
        every = [rule for group in groups for rule in group["rules"]]
        return [] if any(rule["health"] == "unknown" for rule in every) else every

    return wait_for(evaluated, "every rule evaluated")


def test_prometheus_reads_all_there_is_and_tells_of_the_end(tmp_path: Path) -> None:
    """Every series arrives, no rule is in error, and whoever watches is told with the runbook."""
    data_dir = str(tmp_path / "data")
    with (
        wakeful("serve", "--port", "0", "--data-dir", data_dir) as process,
        alertmanager(tmp_path) as told,
        prometheus(tmp_path, process.address.removeprefix("http://"), told) as address,
    ):
        event = {"stream": "web-1", "time": "2026-11-21T07:00:00Z", "cpu": 0.4}
        process.post("/api/v1/events?scores=true", json.dumps(event).encode())
        wait_for(lambda: value(address, "wakeful_events_scored_total") == 1.0, "the event counted")
        wait_for(lambda: target_of(address) == ("up", ""), "a scrape without an error")
        arrived = set(ask(address, "/api/v1/label/__name__/values")["data"])
        assert names_told(process) <= arrived
        assert exemplar(address) == {"topic": "log", "partition": "0", "offset": "0"}
        found = rules(address)
        assert len(found) == len(EVERY_RULE) + 1
        assert [rule.get("lastError") for rule in found if rule["health"] != "ok"] == []
        assert ask(told, "/api/v2/alerts") == []

        process.kill()
        (alert,) = wait_for(lambda: ask(told, "/api/v2/alerts"), "the alert")
        assert alert["labels"]["alertname"] == "WakefulDown"
        assert alert["annotations"]["runbook_url"] == "docs/runbooks/WakefulDown.md"
        assert alert["annotations"]["summary"].startswith("127.0.0.1:")
