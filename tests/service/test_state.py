"""`wakeful state`, as its users call it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.bootstrap import build_service
from service.cli import main
from service.settings.loading import load_settings
from tests.base import FINGERPRINT, MEMORIES
from tests.service.parts import wave


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The data folder of a service that has scored two streams."""
    service = build_service(load_settings(None, {"data_dir": tmp_path / "served"}))
    assert service.log is not None
    service.log.append("default", wave(60, "s") + wave(40, "t"))
    service.pipeline.restore()
    service.pipeline.run_once()
    service.pipeline.checkpoint()
    service.close()
    return tmp_path / "served"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["state", *map(str, arguments)])


def figures(tmp_path: Path, *arguments: object) -> Any:
    file = tmp_path / "figures.json"
    assert run(*arguments, "--json", file).exit_code == 0
    return json.loads(file.read_text())


def test_memories_move_to_another_folder_as_they_are(served: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "memories", tmp_path / "other"
    assert run("export", file, "--data-dir", served).output == f"2 memories in {file}\n"
    assert run("import", file, "--data-dir", other).output == f"2 memories from {file}\n"
    same = run("verify", file, "--data-dir", other)
    assert same.output == "2 memories, the same bits\n"
    service = build_service(load_settings(None, {"data_dir": other}))
    service.pipeline.restore()
    (detector,) = service.pipeline.memories()
    known = detector.stream("s")
    assert known is not None
    assert known["events"] == 60
    assert service.pipeline.positions == {("log", 0): 100}
    service.close()


def test_what_is_there_is_said(served: Path, tmp_path: Path) -> None:
    file = tmp_path / "memories"
    run("export", file, "--data-dir", served)
    (said,) = figures(tmp_path, "inspect", file)["memories"]
    assert said == figures(tmp_path, "inspect", "--data-dir", served)["memories"][0]
    assert (said["memories"], said["streams"], said["positions"]) == (MEMORIES, 2, {"log-0": 100})


def test_what_differs_is_said(served: Path, tmp_path: Path) -> None:
    file = tmp_path / "memories"
    run("export", file, "--data-dir", served)
    service = build_service(load_settings(None, {"data_dir": served}))
    assert service.log is not None
    service.log.append("default", wave(61, "s")[60:])
    service.pipeline.restore()
    service.pipeline.run_once()
    service.pipeline.checkpoint()
    service.close()
    found = run("verify", file, "--data-dir", served)
    assert found.exit_code == 1
    assert f"{MEMORIES}: s: differs" in found.output
    assert f"{MEMORIES}: t" not in found.output


def test_memories_are_not_put_over_others(served: Path, tmp_path: Path) -> None:
    file = tmp_path / "memories"
    run("export", file, "--data-dir", served)
    refused = run("import", file, "--data-dir", served)
    assert refused.exit_code == 1
    assert f"there are memories of {MEMORIES} already" in refused.output


def test_a_running_service_keeps_its_memories_to_itself(served: Path, tmp_path: Path) -> None:
    service = build_service(load_settings(None, {"data_dir": served}))
    refused = run("export", tmp_path / "memories", "--data-dir", served)
    service.close()
    assert refused.exit_code == 1
    assert "in use by another wakeful" in refused.output


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    refused = run("export", tmp_path / "memories", "--data-dir", tmp_path / "none")
    assert refused.exit_code == 1
    assert "there is no such folder" in refused.output
    assert not (tmp_path / "none").exists()


def test_memories_of_an_artifact_that_is_not_configured_are_exported_imported_and_dropped(
    served: Path, tmp_path: Path
) -> None:
    file, other = tmp_path / "memories", tmp_path / "other"
    run("export", file, "--data-dir", served)
    config = tmp_path / "wakeful.yaml"
    config.write_text("detectors: {default: {artifact: compact}}")
    assert run("import", file, "--config", config, "--data-dir", other).exit_code == 0
    (there,) = figures(tmp_path, "inspect", "--config", config, "--data-dir", other)["memories"]
    assert there["memories"] == MEMORIES
    refused = run("drop", FINGERPRINT, "--data-dir", other)
    assert "is configured" in refused.output
    dropped = run("drop", FINGERPRINT, "--config", config, "--data-dir", other)
    assert dropped.output == f"{MEMORIES}: gone\n"
    assert run("drop", FINGERPRINT, "--config", config, "--data-dir", other).exit_code == 1
    assert list(other.glob("*.rows")) == []
