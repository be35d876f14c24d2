from pathlib import Path

import pytest

from model import compiled


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two modules; no folder of the user's or of the environment is touched."""
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("A = 1\n", encoding="utf-8")
    monkeypatch.setattr(compiled, "HERE", tmp_path)
    monkeypatch.setattr(compiled, "GIVEN", "")
    return tmp_path


def test_machine_code_of_other_sources_is_not_used(sources: Path) -> None:
    """A change in any module is another folder: a function holds constants of other modules."""
    before = compiled.cache_folder(sources)
    assert compiled.cache_folder(sources) == before
    (sources / "two.py").write_text("A = 2\n", encoding="utf-8")
    assert compiled.cache_folder(sources) != before


def test_machine_code_stands_beside_the_sources_or_where_it_is_told(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default in `__pycache__`; numba's own setting, as the image has it, comes first."""
    assert compiled.cache_folder(sources).parent == sources / "__pycache__"
    monkeypatch.setattr(compiled, "GIVEN", str(sources / "given"))
    assert compiled.cache_folder(sources).parent == sources / "given"
