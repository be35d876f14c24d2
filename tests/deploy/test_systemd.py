"""The systemd unit against the service, and by systemd's own tools where they are."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service import workers
from service.cli import main
from tests.deploy.test_deploy_files import DEPLOY, image_environment, is_setting

FILE = DEPLOY / "systemd" / "wakeful.service"
UNIT = FILE.read_text(encoding="utf-8")
PROGRAM = "/opt/wakeful/bin/wakeful"
MOST_EXPOSED = 20  # tenths of systemd's 10; it calls a unit "OK" up to 40
has_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def settings_of(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_the_unit_starts_what_there_is() -> None:
    """The command has these options, and every variable reaches something."""
    (command,) = settings_of("ExecStart")
    program, name, *given = shlex.split(command)
    assert program == PROGRAM
    known = {option for parameter in main.commands[name].params for option in parameter.opts}
    assert set(given[::2]) <= known
    variables = dict(one.split("=", 1) for one in settings_of("Environment"))
    ours = {one for one in variables if one.startswith("WAKEFUL_")}
    assert all(is_setting(one) for one in ours)
    assert variables.keys() - ours <= image_environment().keys()


def test_it_writes_where_it_may() -> None:
    """Memories to the unit's own state, machine code to its own cache."""
    (command,) = settings_of("ExecStart")
    assert "--data-dir ${STATE_DIRECTORY}" in command
    assert settings_of("StateDirectory") == settings_of("CacheDirectory") == ["wakeful"]
    assert "NUMBA_CACHE_DIR=%C/wakeful" in settings_of("Environment")
    assert settings_of("ProtectSystem") == ["strict"]
    assert settings_of("DynamicUser") == ["yes"]


def test_it_is_stopped_with_patience_and_not_started_on_wrong_settings() -> None:
    assert settings_of("TimeoutStopSec") == [f"{workers.END_SECONDS:g}"]
    assert settings_of("RestartPreventExitStatus") == [str(workers.WRONG_SETTINGS)]


@has_systemd
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """It passes over a line that it does not know, with a word in the log."""
    unit = tmp_path / FILE.name
    unit.write_text(UNIT.replace(PROGRAM, sys.executable), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ran.returncode, [line for line in ran.stderr.splitlines() if str(unit) in line]) == (
        0,
        [],
    )


@has_systemd
def test_it_is_as_closed_as_it_was() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager"]
    command += [f"--threshold={MOST_EXPOSED}", str(FILE)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
