"""`wakeful replay` and `wakeful train`, as their users call them."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from model.artifact import Artifact
from service.cli import main
from service.sinks.csv import COLUMNS

Rows = list[dict[str, str]]


def wakeful(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write(file: Path, text: str) -> Path:
    data = text.encode()
    file.write_bytes(gzip.compress(data) if file.suffix == ".gz" else data)
    return file


def read(file: Path) -> Rows:
    with file.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def replay(out: Path, *arguments: object) -> Result:
    result = wakeful("replay", "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return result


def sine(rows: int, spike: int | None = None, start: float = 1.7e9, period: float = 9.0) -> str:
    random = np.random.default_rng(3)
    text = io.StringIO()
    text.write("timestamp,load,note,label\n")
    for n in range(rows):
        value = 10 * np.sin(n / period) + random.normal(0, 0.4) + (40.0 if n == spike else 0.0)
        text.write(f"{start + 60 * n},{value},text,0\n")
    return text.getvalue()


def test_one_row_comes_out_for_each_row_in_with_the_promised_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "load.csv.gz", sine(400, spike=350))
    replay(tmp_path / "out", file, "--ignore", "label")
    rows = read(tmp_path / "out" / "load.csv")
    assert list(rows[0]) == [*COLUMNS, "expected_load"]
    assert [int(row["row"]) for row in rows] == list(range(400))
    assert {row["stream"] for row in rows} == {"load"}
    assert rows[0]["time"] == "2023-11-14T22:13:20Z"
    assert (rows[350]["anomalous"], rows[350]["alarm"]) == ("1", "1")
    assert float(rows[350]["score"]) >= 1.0 > float(rows[200]["score"])
    assert abs(float(rows[200]["expected_load"]) - 10 * np.sin(200 / 9)) < 5


def test_a_label_is_no_feature_unless_it_is_asked_for(tmp_path: Path) -> None:
    """A detector that reads the answers would be a good one; who wants it watched names it."""
    file = write(tmp_path / "load.csv", sine(50))
    assert "label" in replay(tmp_path / "out", file).output
    assert "expected_label" not in read(tmp_path / "out" / "load.csv")[0]
    wakeful(
        "train", write(tmp_path / "n.csv", sine(300)), "--out", tmp_path / "a", "--cell", "mean"
    )
    assert Artifact(tmp_path / "a").config.features == ("load",)
    replay(tmp_path / "out", file, "--features", "load,label")
    assert "expected_label" in read(tmp_path / "out" / "load.csv")[0]


def test_a_bad_row_has_its_row_too_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = "time,a\n" + "".join(f"2024-01-01T00:{n:02}:00Z,{n}\n" for n in range(30))
    text += "noon,5\n2024-01-01T00:31:00Z,\n2024-01-01T00:32:00Z,high\n2024-01-01T00:33:00Z\n"
    text += "2024-01-01T00:34:00Z,7,extra\n"
    file = write(tmp_path / "a.csv", text)
    result = replay(tmp_path / "out", file, "--features", "a")
    rows = read(tmp_path / "out" / "a.csv")
    assert len(rows) == 35
    assert [row["confidence"] == "0.0" for row in rows[30:]] == [True, True, True, True, False]
    assert "4 rejected" in result.output


def test_each_file_starts_from_a_fresh_memory_unless_kept(tmp_path: Path) -> None:
    first = write(tmp_path / "first.csv", sine(300))
    second = write(tmp_path / "second.csv", sine(300, start=1.8e9))
    arguments = (first, second, "--ignore", "label")
    replay(tmp_path / "fresh", *arguments)
    replay(tmp_path / "alone", second, "--ignore", "label")
    fresh, alone = (read(tmp_path / name / "second.csv") for name in ("fresh", "alone"))
    assert fresh == alone
    text = "stream,time,v\n" + "".join(f"s,{1.7e9 + n},{n % 4}\n" for n in range(60))
    later = "stream,time,v\n" + "".join(f"s,{1.7e9 + n},{n % 4}\n" for n in range(60, 90))
    both = write(tmp_path / "one.csv", text), write(tmp_path / "two.csv", later)
    replay(tmp_path / "kept", *both, "--keep")
    replay(tmp_path / "whole", write(tmp_path / "whole.csv", text + later.split("\n", 1)[1]))
    kept = read(tmp_path / "kept" / "two.csv")
    whole = read(tmp_path / "whole" / "whole.csv")[60:]
    assert [row["score"] for row in kept] == [row["score"] for row in whole]


def test_keys_times_and_features_are_the_columns_that_are_named(tmp_path: Path) -> None:
    text = "at,id,x,y\n" + "".join(f"2024-01-01 00:{n:02}:00,{n % 3},{n},{-n}\n" for n in range(60))
    file = write(tmp_path / "k.csv", text)
    replay(tmp_path / "out", file, "--key", "id", "--time", "at", "--features", "y")
    rows = read(tmp_path / "out" / "k.csv")
    assert [row["stream"] for row in rows[:4]] == ["0", "1", "2", "0"]
    assert list(rows[0])[-1] == "expected_y"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--features", "nothing"], "no column 'nothing'"),
        (["--key", "nothing"], "no column 'nothing'"),
        (["--ignore", "load"], "no numeric column"),
        (["--direction", "load"], "NAME=VALUE"),
        (["--direction", "load=up"], "direction.load"),
        (["--direction", "other=low"], "other"),
        (["--artifact", "nowhere"], "artifact"),
    ],
)
def test_wrong_usage_is_named_and_exits_with_2(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    file = write(tmp_path / "load.csv", sine(10))
    result = wakeful("replay", file, "--out", tmp_path / "out", *arguments, "--ignore", "label")
    if "--ignore" in arguments:
        result = wakeful("replay", file, "--out", tmp_path / "out", "--ignore", "load,label")
    assert result.exit_code == 2
    assert said in result.output


def test_a_text_among_numbers_is_a_row_to_reject(tmp_path: Path) -> None:
    """Not a column to leave out: the reason is told with its row."""
    lines = sine(40).splitlines()
    lines[20] = lines[20].replace(lines[20].split(",")[1], "abc")
    file = write(tmp_path / "odd.csv", "\n".join(lines))
    result = replay(tmp_path / "out", file)
    assert "1 rejected (1 bad_value" in result.output


def test_a_file_without_times_is_said_to_have_none(tmp_path: Path) -> None:
    file = write(tmp_path / "when.csv", "when,x\n" + "".join(f"{n},{n}\n" for n in range(30)))
    assert "--time" in replay(tmp_path / "out", file).output
    file = write(tmp_path / "time.csv", file.read_text().replace("when", "time"))
    assert "--time" not in replay(tmp_path / "out", file).output


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    result = wakeful("replay", write(tmp_path / "e.csv", ""), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "is empty" in result.output


def test_a_declared_direction_counts_one_side_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "load.csv", sine(400, spike=350))
    for direction, anomalous in (("low", "0"), ("high", "1")):
        out = tmp_path / direction
        replay(out, file, "--features", "load", "--direction", f"load={direction}")
        assert read(out / "load.csv")[350]["anomalous"] == anomalous


def test_training_on_normal_rows_gives_an_artifact_that_replay_takes(tmp_path: Path) -> None:
    normal = write(tmp_path / "normal.csv", sine(1500))
    other = write(tmp_path / "other.csv", sine(600, spike=500))
    trained = wakeful(
        "train", normal, "--out", tmp_path / "artifact", "--where", "label=0", "--updates", 100
    )
    assert trained.exit_code == 0, trained.output
    artifact = Artifact(tmp_path / "artifact")
    assert artifact.config.features == ("load",)
    assert artifact.description.training["events"] == 1500
    assert "each stream is held against its own past" in trained.output
    assert "takes lstm" in trained.output
    replay(tmp_path / "out", other, "--artifact", tmp_path / "artifact")
    rows = read(tmp_path / "out" / "other.csv")
    assert rows[500]["anomalous"] == "1"


def test_an_artifact_that_knows_categories_reads_them_from_the_file(tmp_path: Path) -> None:
    """The shop says what comes next; an artifact that was trained on it asks for its column."""
    random = np.random.default_rng(0)
    shops = random.choice(["cheap", "dear"], 1200)
    amounts = np.r_[0.0, np.where(shops[:-1] == "dear", 60.0, 10.0)] + random.normal(0, 1, 1200)
    rows = zip(amounts, shops, strict=True)
    text = "amount,shop\n" + "".join(f"{amount:.2f},{shop}\n" for amount, shop in rows)
    file, artifact = write(tmp_path / "card.csv", text), tmp_path / "artifact"
    trained = wakeful(
        "train", file, "--out", artifact, "--categories", "shop", "--cell", "lstm",
        "--updates", 150,
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    assert replay(tmp_path / "out", file, "--artifact", artifact).exit_code == 0
    told = [row["expected_amount"] for row in read(tmp_path / "out" / "card.csv")]
    expected = np.array([float(cell or "nan") for cell in told])
    later = np.arange(1200) >= 600
    after_dear = np.r_[False, shops[:-1] == "dear"]
    assert expected[later & after_dear].mean() - expected[later & ~after_dear].mean() > 25.0
    bare = write(tmp_path / "bare.csv", "amount\n1.0\n2.0\n")
    refused = wakeful("replay", bare, "--out", tmp_path / "out", "--artifact", artifact)
    assert refused.exit_code == 2
    assert "'shop'" in refused.output
    twice = wakeful("train", file, "--out", artifact, "--categories", "shop,shop")
    assert twice.exit_code == 2
    assert "stands twice" in twice.output


def test_an_artifact_refuses_a_file_without_its_features(tmp_path: Path) -> None:
    normal = write(tmp_path / "normal.csv", sine(400))
    wakeful("train", normal, "--out", tmp_path / "artifact", "--ignore", "label", "--cell", "mean")
    file = write(tmp_path / "x.csv", "time,x\n1700000000,1\n")
    result = wakeful("replay", file, "--out", tmp_path / "o", "--artifact", tmp_path / "artifact")
    assert result.exit_code == 2
    assert "load" in result.output


def test_too_little_to_train_on_exits_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    file = write(tmp_path / "short.csv", sine(50))
    result = wakeful("train", file, "--out", tmp_path / "artifact", "--ignore", "label")
    assert result.exit_code == 1
    assert "base artifact" in result.output


def test_anomalous_rows_of_a_real_plant_score_higher_than_normal_ones(
    labelled_data: Path, tmp_path: Path
) -> None:
    folder = labelled_data / "skab"
    ignore = ("--ignore", "label,part")
    normal = folder / "anomaly-free__anomaly-free.csv.gz"
    trained = wakeful("train", normal, "--out", tmp_path / "artifact", *ignore, "--updates", 60)
    assert trained.exit_code == 0, trained.output
    files = sorted(folder.glob("valve1__*.csv.gz"))[:4]
    replay(tmp_path / "out", *files, "--artifact", tmp_path / "artifact", *ignore)
    scores, labels = [], []
    for file in files:
        scores += [float(row["level"]) for row in read(tmp_path / "out" / f"{file.name[:-7]}.csv")]
        with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
            labels += [row["label"] == "1" for row in csv.DictReader(text)]
    score, label = np.array(scores), np.array(labels)
    assert score[label].mean() > score[~label].mean()
    assert np.median(score[label]) > np.median(score[~label])


def test_rejected_rows_are_told_with_their_reasons(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "time,x\n2026-01-01T00:00:00Z,1\n10/01/2026,2\n")
    result = replay(tmp_path / "out", file)
    assert "1 bad_time" in result.output
    (rejected,) = read(tmp_path / "out" / "x.rejected.csv")
    assert (rejected["row"], rejected["reason"]) == ("1", "bad_time")
    assert rejected["detail"].startswith("'time': ")
    replay(tmp_path / "out", write(tmp_path / "x.csv", "time,x\n2026-01-01T00:00:00Z,1\n"))
    assert not (tmp_path / "out" / "x.rejected.csv").exists()


def test_rejected_rows_are_told_in_their_order(tmp_path: Path) -> None:
    """Whether their text or their stream's memory tells it."""
    rows = ["2026-03-01T00:00:00Z,1", "noon,2", "2026-01-01T00:00:00Z,3", "noon,4"]
    file = write(tmp_path / "x.csv", "\n".join(["time,x", *rows, ""]))
    replay(tmp_path / "out", file)
    found = read(tmp_path / "out" / "x.rejected.csv")
    assert [row["row"] for row in found] == ["1", "2", "3"]
    assert [row["reason"] for row in found] == ["bad_time", "late", "bad_time"]


def test_a_file_of_which_nothing_could_be_scored_is_a_failure(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", "time,x\n10/01/2026,2\n")
    assert wakeful("replay", file, "--out", tmp_path / "out").exit_code == 1


@pytest.mark.parametrize("name", ["x.csv", "x.rejected.csv"])
def test_an_input_is_never_written_over(tmp_path: Path, name: str) -> None:
    files = [write(tmp_path / file, "x\n1\n") for file in ("x.csv", name)]
    result = wakeful("replay", *set(files), "--out", tmp_path)
    assert result.exit_code == 2
    assert files[0].read_text() == "x\n1\n"


def test_an_empty_line_of_one_column_is_a_row(tmp_path: Path) -> None:
    replay(tmp_path / "out", write(tmp_path / "x.csv", "x\n1\n2\n\n4\n"))
    assert len(read(tmp_path / "out" / "x.csv")) == 4


def test_columns_that_could_name_the_stream_are_pointed_at(tmp_path: Path) -> None:
    result = replay(tmp_path / "out", write(tmp_path / "x.csv", "host,x\na,1\nb,2\n"))
    assert "host" in result.output
    assert "--key" in result.output


@pytest.mark.parametrize(
    ("text", "says"),
    [("a;b\n1;2\n", "commas"), ('x\n"1,5"\n', "'1,5' in row 2"), ("x\n\n", "--features")],
)
def test_a_file_without_a_number_says_why(tmp_path: Path, text: str, says: str) -> None:
    result = wakeful("replay", write(tmp_path / "x.csv", text), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert says in result.output
