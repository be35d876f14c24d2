"""The documentation as pages: every link leads somewhere, and every page is in the navigation."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

ROOT = Path(__file__).parent.parent.parent
CONFIG = str(ROOT / "mkdocs.yml")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build(load_config(CONFIG, site_dir=str(folder)))
    return folder


def test_every_page_is_built_and_nothing_is_asked_of_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=.(https?:[^\"']+)", text)
        assert loaded == [], page


def test_every_page_can_be_come_to(site: Path) -> None:
    listed = str(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in listed, page
    index = (site / "decisions" / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs" / "decisions").glob("*.md"):
        assert page.stem in index


def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    docs = shutil.copytree(ROOT / "docs", tmp_path / "docs")
    page = docs / "metrics.md"
    page.write_text(f"{page.read_text(encoding='utf-8')}\n[there](nowhere.md)\n", encoding="utf-8")
    with pytest.raises(Abort):
        build(load_config(CONFIG, docs_dir=str(docs), site_dir=str(tmp_path / "site")))
