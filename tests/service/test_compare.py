"""`wakeful compare`, as a command."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import service.compare
from service.cli import main
from service.compare import QUICK_LENGTHS


def test_the_three_cells_stand_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column for each cell, a line for each figure; the same in the file."""
    monkeypatch.setattr(service.compare, "QUICK_UPDATES", 5)
    wave = np.sin(np.arange(600) / 5.0)
    rows = "\n".join(f"{60 * k},{x:.4f}" for k, x in enumerate(wave.tolist()))
    (tmp_path / "wave.csv").write_text(f"timestamp,value\n{rows}\n")
    file = tmp_path / "figures.json"
    given = ["compare", str(tmp_path / "wave.csv"), "--quick", "--json", str(file)]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.output
    header, *lines = [line for line in result.output.splitlines() if line.strip()]
    assert header.split() == ["rnn", "gru", "lstm"]
    assert sum(line.startswith("recall, ") for line in lines) == 2 * len(QUICK_LENGTHS)
    cells = json.loads(file.read_text())["cells"]
    assert [one["cell"] for one in cells] == ["rnn", "gru", "lstm"]
    assert cells[2]["network_bytes"] == 2 * cells[1]["network_bytes"]  # h and c
    for one in cells:
        assert one["steps_per_second"] > 0.0
        assert 0.0 < one["disturbances_found"] <= 1.0
        assert all(0.0 <= x <= 1.0 for recall in one["recall"].values() for x in recall.values())


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    """Exit status 2, and which file."""
    result = CliRunner().invoke(main, ["compare", str(tmp_path / "nothing.csv")])
    assert result.exit_code == 2
    assert "nothing.csv" in result.output
