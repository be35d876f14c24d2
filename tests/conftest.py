"""Fixtures for every test, and a loud word about what could not be tested here."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from service.bench.broker import running_broker

HOW_TO_KAFKA = "set KAFKA_HOME to an untarred Apache Kafka, or WAKEFUL_TEST_BOOTSTRAP_SERVERS"
LONGEST = {
    "test_random_faults", "test_secured", "test_kafka", "test_bench", "test_processes", "test_page",
    "test_group", "test_upgrade", "test_detectors", "test_training", "test_population",
}  # fmt: skip
SHARED = Path(__file__).parents[2] / "shared"
os.environ.setdefault("KAFKA_OPTS", "-XX:TieredStopAtLevel=1")  # brokers that live for minutes

settings.register_profile("busy", deadline=None)  # what a busy machine takes says nothing
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the fault suite in its long form")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first: the others fill the time beside it."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def kafka_home() -> Path | None:
    home = os.environ.get("KAFKA_HOME")
    return Path(home).resolve() if home else None


@pytest.fixture(scope="session")
def bootstrap_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real broker for all tests of a process: the one given, or one started from KAFKA_HOME."""
    given = os.environ.get("WAKEFUL_TEST_BOOTSTRAP_SERVERS")
    home = kafka_home()
    if given:
        yield given
    elif home is not None:
        with running_broker(home, tmp_path_factory.mktemp("kafka")) as broker:
            yield broker.address
    else:
        pytest.skip(f"no broker: {HOW_TO_KAFKA}")


@pytest.fixture(scope="session")
def labelled_data() -> Path:
    """The folder of labelled series, where there is one."""
    folder = Path(os.environ.get("WAKEFUL_TEST_DATA", SHARED / "data"))
    if not folder.is_dir():
        pytest.skip("no labelled series: set WAKEFUL_TEST_DATA to their folder")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    without_broker = [report for report in skipped if HOW_TO_KAFKA in str(report.longrepr)]
    if without_broker:
        terminalreporter.section("NOT TESTED: KAFKA", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(without_broker)} Kafka tests were skipped: {HOW_TO_KAFKA}.")
