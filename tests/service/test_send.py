"""`wakeful send`: the rows of a CSV file are events of a running service."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.keys import Keys
from tests.processes import Wakeful, wakeful

ROWS = ["when,machine,heat,comment"]
ROWS += [f"{1.7e9 + 60 * n},pump-{n % 2},{20 + n % 5},fine" for n in range(2500)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wakeful]:
    folder = tmp_path_factory.mktemp("data")
    with wakeful("serve", "--data-dir", str(folder), "--port", "0") as process:
        yield process


def sent(served: Wakeful, *arguments: str) -> tuple[int, str]:
    ran = CliRunner().invoke(main, ["send", "--to", served.address, *arguments])
    return ran.exit_code, ran.output


def test_rows_become_events_of_their_streams(served: Wakeful, tmp_path: Path) -> None:
    file = tmp_path / "plant.csv"
    file.write_text("\n".join([*ROWS, "never,pump-0,3,odd"]))
    status, said = sent(served, str(file), "--key", "machine", "--time", "when")
    assert (status, "2500 rows accepted, 1 rejected (1 bad_time)" in said) == (0, True)
    assert "not sent: comment" in said
    served.wait_for(lambda: served.get("/api/v1/now")["streams"] == 2, "both are there")
    served.wait_for(
        lambda: served.get("/api/v1/streams/pump-1")["events"] == 1250, "all are scored"
    )
    assert list(served.get("/api/v1/streams/pump-1")["features"]) == ["heat"]


def test_categories_are_sent_where_they_are_named(served: Wakeful, tmp_path: Path) -> None:
    file = tmp_path / "plant.csv"
    file.write_text("\n".join(ROWS[:3]))
    asked = ("--key", "machine", "--time", "when", "--categories")
    status, said = sent(served, str(file), *asked, "comment")
    assert (status, "not sent" in said) == (0, False)
    assert sent(served, str(file), *asked, "colour")[0] == 2


def test_a_file_is_a_stream_where_no_column_is(served: Wakeful, tmp_path: Path) -> None:
    file = tmp_path / "oven.csv"
    file.write_text("timestamp,heat\n2026-01-01T00:00:00Z,3\n")
    assert sent(served, str(file))[0] == 0
    served.wait_for(lambda: served.get("/api/v1/streams?search=oven")["items"] != [], "it is there")


@pytest.mark.parametrize(
    ("text", "told"),
    [("heat\n3\n", "no column says when"), ("timestamp,text\n1,a\n", "no numeric column")],
)
def test_what_cannot_be_sent_is_refused(
    served: Wakeful, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "odd.csv"
    file.write_text(text)
    status, said = sent(served, str(file))
    assert (status, told in said) == (2, True), said


def test_nobody_listens(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("timestamp,heat\n1,3\n")
    ran = CliRunner().invoke(main, ["send", "--to", "http://127.0.0.1:1", str(file)])
    assert (ran.exit_code, "is `wakeful serve` running there?" in ran.output) == (1, True)


def test_who_shows_no_key_is_told_how(tmp_path: Path) -> None:
    Keys(tmp_path / "keys.json").create("ann", "operator", None, "", None)
    file = tmp_path / "a.csv"
    file.write_text("timestamp,heat\n1,3\n")
    with wakeful("serve", "--data-dir", str(tmp_path), "--port", "0") as process:
        status, said = sent(process, str(file))
    assert status == 1
    assert "WAKEFUL_API__TOKEN" in said
    assert "{" not in said
