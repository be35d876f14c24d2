"""What `mkdocs` is to know of this repository: pages that stand outside of `docs`, pages that are
lists, and links to files that are no pages."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Where pages of the repository's root are in the site."""
LISTS = {"runbooks": "What to do when an alert fires", "decisions": "Decisions"}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]+)?\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(docs/([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in `docs`."""
    for source, page in OUTSIDE.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for folder, title in LISTS.items():
        rows = [
            f"- [{_title(one)}]({one.name})"
            for one in sorted((ROOT / "docs" / folder).glob("*.md"))
        ]
        content = f"# {title}\n\n" + "\n".join(rows) + "\n"
        files.append(File.generated(config, f"{folder}/index.md", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """Links as they are in the repository, as links of the site; of what is no page the name."""
    here = page.file.src_uri
    source = next((name for name, uri in OUTSIDE.items() if uri == here), f"docs/{here}")

    def link(found: "re.Match[str]") -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        uri = OUTSIDE.get(wanted, wanted.removeprefix("docs/"))
        if uri.rstrip("/") in LISTS:
            uri = f"{uri.rstrip('/')}/index.md"
        if files.get_file_from_path(uri) is None:
            if not (ROOT / wanted).exists():
                return found[0]  # a broken link: mkdocs says so
            return f"{text} (`{wanted}`)"
        return f"[{text}]({posixpath.relpath(uri, posixpath.dirname(here) or '.')}{anchor})"

    return LINK.sub(link, PICTURE.sub(r"![\1](\2)", markdown))


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
