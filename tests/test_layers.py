"""The house has one direction."""

import subprocess
import sys


def test_the_import_contracts_are_kept() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_serving_does_not_import_torch() -> None:
    code = (
        "import sys, service.run, service.bootstrap, service.replay, service.demo.feeder;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
