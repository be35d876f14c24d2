"""What is written down is so."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from docs.generate import pages
from service.api.app import create_app
from service.bootstrap import build_service
from service.cli import main
from service.demo.presets import PRESETS
from service.errors import (
    RecordRejected,
    SettingsError,
    StateError,
    Unavailable,
    Unsettled,
    WakefulError,
)
from service.settings.loading import load_settings

ROOT = Path(__file__).parents[2]
WRITTEN = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")})


def test_the_tables_made_from_the_code_are_up_to_date() -> None:
    for page, text in pages().items():
        assert page.read_text(encoding="utf-8") == text, f"run `make docs` for {page}"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_command_and_every_make_target_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"`[^`\n]+`|^\$ .*$", text, re.MULTILINE))
    commands = set(re.findall(r"\bwakeful ([a-z]+)\b", code))
    targets = set(re.findall(r"\bmake ([a-z]+)\b", code))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert commands <= set(main.commands)
    assert all(f"\n{target}:" in makefile for target in targets)


VALUES = "# my-values.yaml"  # of the chart, whose own tests render them


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_settings_file_shown_is_one_that_is_read(page: Path, tmp_path: Path) -> None:
    found = re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    shown = [text for text in found if not text.startswith(VALUES)]
    file = tmp_path / "wakeful.yaml"
    (tmp_path / "secret").write_text("https://example.com/hook", encoding="utf-8")
    (tmp_path / "hook").write_text("whsec_aGVsbG8=", encoding="utf-8")
    for text in shown:
        told = re.sub(r"/run/secrets/(?!hook)\w+", str(tmp_path / "secret"), text)
        told = told.replace("/run/secrets/hook", str(tmp_path / "hook"))
        file.write_text(told, encoding="utf-8")
        assert load_settings(file).detectors
    assert shown or page.parent.name != "walkthroughs"


@pytest.mark.parametrize("name", ["vitals", "transactions"])
def test_the_settings_of_a_walk_through_are_those_of_its_preset(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "walkthroughs" / f"{name}.md").read_text(encoding="utf-8")
    file = tmp_path / "wakeful.yaml"
    file.write_text(page.split("```yaml")[1].split("```")[0], encoding="utf-8")
    shown, preset = load_settings(file).detectors["default"], PRESETS[name].detector
    own = {"key": preset.key, "artifact": preset.artifact}  # how a user's own are called
    assert shown.model_copy(update=own) == preset


ROUTE = re.compile(r"`(?:(?:GET|POST|PATCH|DELETE) )?(/[a-z0-9/{}.-]{4,})[`?]")


def test_every_route_named_exists_and_each_is_named(tmp_path: Path) -> None:
    service = build_service(load_settings(None, {"data_dir": tmp_path}))
    with TestClient(create_app(service)) as client:
        paths = set(client.get("/openapi.json").json()["paths"]) | {"/docs", "/openapi.json"}
    service.close()
    routes = {re.sub(r"\{[^}]+\}", "{}", path) for path in paths}
    for page in (ROOT / "README.md", ROOT / "docs" / "api.md"):
        found = ROUTE.findall(page.read_text(encoding="utf-8"))
        named = {re.sub(r"\{[^}]+\}", "{}", path) for path in found}
        assert named
        assert named <= routes
    assert named == routes, "the page of the API names each"


def test_the_tree_of_errors_is_complete() -> None:
    tree = {SettingsError, RecordRejected, Unavailable, Unsettled, StateError}
    assert set(WakefulError.__subclasses__()) == tree


def test_each_dependency_is_explained() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    explained = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    declared = set(re.findall(r'"([a-z][a-z0-9-]+)(?:[<>=]+[^"]*)"', project)) - {"hatchling"}
    missing = [name for name in declared if not re.search(rf"\b{name.split('-')[0]}", explained)]
    assert len(declared) > 20
    assert missing == []
