import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from model.artifact import (
    BASE,
    COMPACT,
    DESCRIPTION,
    FORMAT,
    GRAPH,
    SHIPPED,
    WEIGHTS,
    Artifact,
    Description,
    digest,
    folder_of,
)
from model.calibration import uncalibrated
from model.config import ModelConfig
from model.errors import ArtifactError, ModelError
from model.row import RowTable
from model.views import ABSENT, VIEWS
from tests.model.conftest import CELLS, description_of

FILES = (WEIGHTS, GRAPH, DESCRIPTION)


@pytest.fixture
def copy(joint: Artifact, tmp_path: Path) -> Path:
    """A whole artifact to damage."""
    return shutil.copytree(joint.folder, tmp_path / "artifact")


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / DESCRIPTION
    body = json.loads(path.read_text(encoding="utf-8"))
    change(body)
    path.write_text(json.dumps(body), encoding="utf-8")


def refusal(folder: Path) -> str:
    """The message with which an artifact is refused."""
    with pytest.raises(ArtifactError) as refused:
        Artifact(folder)
    return str(refused.value)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("features", [(), ("latency ms", "größe")], ids=["alone", "joint"])
def test_a_description_comes_back_as_it_was_written(features: tuple[str, ...], cell: Any) -> None:
    """Config, calibration and the training record survive JSON."""
    config = ModelConfig(features, cell, 8, 4, 3, (2, 7), (1, 5), "values", 3.0, VIEWS[:4], 12.5)
    description = description_of(config, blocks=7)
    assert Description.from_json(description.to_json(), Path(DESCRIPTION)) == description


def test_a_whole_artifact_loads(copy: Path, joint: Artifact) -> None:
    """A copied folder is the same artifact: same fingerprint, same description."""
    loaded = Artifact(copy)
    assert loaded.fingerprint == joint.fingerprint
    assert loaded.description == joint.description


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """The message names the folder and how to make an artifact."""
    message = refusal(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message
    assert "wakeful train" in message


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    """The message names the folder, the file that it lacks, and how to make an artifact."""
    (copy / name).unlink()
    message = refusal(copy)
    assert str(copy) in message
    assert f"it has no {name}" in message
    assert "wakeful train" in message


@pytest.mark.parametrize("text", ["", "{", '{"format": 1,}'])
def test_broken_json_is_refused(copy: Path, text: str) -> None:
    """The message names the file, says that it is not JSON, and to train again."""
    (copy / DESCRIPTION).write_text(text, encoding="utf-8")
    message = refusal(copy)
    assert f"{copy / DESCRIPTION} is not JSON" in message
    assert "train the artifact again" in message


@pytest.mark.parametrize("found", [FORMAT + 1, 0, "1", None])
def test_another_format_is_refused(copy: Path, found: object) -> None:
    """The message names the file, both formats, and what can be done."""
    edit(copy, lambda body: body.update(format=found))
    message = refusal(copy)
    assert f"{copy / DESCRIPTION} has format {found!r}, this version reads {FORMAT}" in message
    assert "train the artifact again" in message


def test_json_that_is_no_object_is_refused(copy: Path) -> None:
    """An array where a description should be is another format, not a crash."""
    (copy / DESCRIPTION).write_text("[1, 2]", encoding="utf-8")
    assert "has format None" in refusal(copy)


@pytest.mark.parametrize("field", ["config", "calibration", "training"])
def test_a_missing_field_is_refused(copy: Path, field: str) -> None:
    """The message names the file and the field, and says to train again."""
    edit(copy, lambda body: body.pop(field))
    message = refusal(copy)
    assert f"{copy / DESCRIPTION} does not fit" in message
    assert field in message
    assert "train the artifact again" in message


@pytest.mark.parametrize(
    "scales", [[[1.0, 1.0]], [[1.0, -1.0]] * 3, [[1.0, float("inf")]] * 3, [[1.0]] * 3]
)
def test_scales_that_no_stream_can_have_are_refused(copy: Path, scales: list[list[float]]) -> None:
    """Two for each feature, finite and not below 0."""
    edit(copy, lambda body: body["config"].update(scales=scales))
    message = refusal(copy)
    assert f"{copy / DESCRIPTION} does not fit" in message
    assert "scales" in message


@pytest.mark.parametrize("view", ModelConfig().views)
def test_a_calibration_without_a_view_is_refused(copy: Path, view: str) -> None:
    """Every view that counts needs its history; the message names the one that lacks."""
    edit(copy, lambda body: body["calibration"].pop(view))
    message = refusal(copy)
    assert f"{copy / DESCRIPTION} calibrates other views than" in message
    assert view in message


def test_a_calibration_of_a_view_that_does_not_count_is_refused(copy: Path) -> None:
    """A history for nothing is a description of another artifact."""
    edit(copy, lambda body: body["calibration"].update(long=[100] * 4))
    assert f"{copy / DESCRIPTION} calibrates other views than" in refusal(copy)


def test_a_view_that_is_not_known_is_refused(copy: Path) -> None:
    """The message names the file and the view."""
    edit(copy, lambda body: body["config"]["views"].append("sideways"))
    assert "sideways: not some of near" in refusal(copy)
    assert str(copy / DESCRIPTION) in refusal(copy)


def test_views_in_another_order_are_refused(copy: Path) -> None:
    """Those of a group must stand side by side, or each would count as a group of its own."""
    edit(copy, lambda body: body["config"]["views"].reverse())
    assert "in this order" in refusal(copy)


def test_a_view_without_any_calibration_is_refused(copy: Path) -> None:
    edit(copy, lambda body: body["calibration"].update(near=[]))
    message = refusal(copy)
    assert f"{copy / DESCRIPTION} does not fit" in message
    assert "calibration.near" in message
    assert "train the artifact again" in message


def test_a_calibration_longer_than_a_memory_holds_is_refused(copy: Path) -> None:
    length = ModelConfig().blocks + 1
    edit(copy, lambda body: body.update(calibration={v: [7] * length for v in ModelConfig().views}))
    assert f"more than {length - 1} block maxima" in refusal(copy)


@pytest.mark.parametrize("blocks", [9, 255])
def test_a_ring_too_short_or_too_long_is_refused(copy: Path, blocks: int) -> None:
    edit(copy, lambda body: body["config"].update(blocks=blocks))
    assert f"{blocks} blocks, not 10 to 254" in refusal(copy)


@pytest.mark.parametrize("length", [1, ModelConfig().blocks])
def test_a_calibration_may_be_as_long_as_a_memory_holds(copy: Path, length: int) -> None:
    """From one block maximum to `blocks`, as many for each view: a new stream starts with them."""
    edit(copy, lambda body: body.update(calibration={v: [7] * length for v in ModelConfig().views}))
    artifact = Artifact(copy)
    table = RowTable(artifact.layout(3), artifact.fresh_rows(3))
    assert table.head["ring"].tolist() == [length]
    assert (table.maxima[0, :, :length] == 7).all()
    assert not table.maxima[0, :, length:].any()


def test_views_that_are_calibrated_unequally_are_refused(copy: Path) -> None:
    """All views remember the same blocks."""
    edit(copy, lambda body: body["calibration"].update(near=[100] * 5))
    assert f"{copy / DESCRIPTION} calibrates its views unequally" in refusal(copy)


@pytest.mark.parametrize("byte", [-1, 256, "x"])
def test_a_calibration_that_is_not_of_bytes_is_refused(copy: Path, byte: object) -> None:
    """Block maxima are bytes; 255 says that there was none."""
    edit(copy, lambda body: body["calibration"].update(near=[byte] * 4))
    assert "calibration.near.0" in refusal(copy)


@pytest.mark.parametrize(
    "config",
    [{"features": None}, {"features": 3}, {"hidden": "many"}, {"cell": "elman"}, {"unit": "m"}],
    ids=["null", "int", "hidden", "cell", "unit"],
)
def test_a_config_that_does_not_fit_is_refused(copy: Path, config: dict[str, object]) -> None:
    """A field of the config that is of another type names the file."""
    edit(copy, lambda body: body["config"].update(config))
    assert f"{copy / DESCRIPTION} does not fit" in refusal(copy)


@pytest.mark.parametrize(
    "config",
    [{"features": ["a", "b"]}, {"features": []}, {"hidden": 13}, {"cell": "gru"}],
    ids=["fewer-features", "alone", "hidden", "cell"],
)
def test_a_graph_of_another_config_is_refused(copy: Path, config: dict[str, object]) -> None:
    """The message names both files, both shapes, and says that they do not belong together."""
    edit(copy, lambda body: body["config"].update(config))
    message = refusal(copy)
    assert str(copy / GRAPH) in message
    assert DESCRIPTION in message
    assert re.search(r"takes \{.*\}, .* says \{.*\}: the files are of different artifacts", message)


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS])
@pytest.mark.parametrize("content", [b"", b"rubbish"], ids=["empty", "rubbish"])
def test_a_damaged_file_is_refused(copy: Path, name: str, content: bytes) -> None:
    """The message names the file and says what to do."""
    (copy / name).write_bytes(content)
    message = refusal(copy)
    assert f"{copy / name} is not the file that {DESCRIPTION} was written with" in message
    assert "copy the whole folder again" in message


def test_a_graph_that_cannot_be_run_is_refused(copy: Path) -> None:
    """Though its digest fits, it is no graph: the message names it and says to train again."""
    (copy / GRAPH).write_bytes(b"not a graph")
    edit(copy, lambda body: body["files"].update({GRAPH: digest((copy / GRAPH).read_bytes())}))
    message = refusal(copy)
    assert f"{copy / GRAPH} cannot be run" in message
    assert "train the artifact again" in message


def test_weights_that_were_changed_since_are_not_taken_for_its_own(copy: Path) -> None:
    """Though the folder was whole when it was loaded: an artifact may be trained again there."""
    artifact = Artifact(copy)
    assert artifact.weights().keys() == Artifact(BASE).weights().keys()
    for change in (lambda: (copy / WEIGHTS).write_bytes(b"rubbish"), (copy / WEIGHTS).unlink):
        change()
        with pytest.raises(ArtifactError, match=WEIGHTS):
            artifact.weights()


def test_the_shipped_graph_says_nothing_of_where_it_was_exported() -> None:
    """Else the same weights exported elsewhere would be another artifact."""
    graph = (BASE / GRAPH).read_bytes()
    assert b"stack_trace" not in graph
    assert b".py" not in graph


def test_an_artifact_error_is_one_of_the_packages_errors() -> None:
    """Whoever catches ModelError catches what is wrong with an artifact."""
    assert issubclass(ArtifactError, ModelError)


def test_the_fingerprint_is_of_what_scores(copy: Path, joint: Artifact) -> None:
    """Another calibration is another artifact; the same files elsewhere are the same one."""
    assert joint.fingerprint_text == f"{joint.fingerprint:016x}"
    assert 0 <= joint.fingerprint < 2**64
    edit(copy, lambda body: body["calibration"].update(near=[100] * 4))
    assert Artifact(copy).fingerprint != joint.fingerprint


def test_a_fresh_row_has_the_artifacts_history(joint: Artifact) -> None:
    """Its block maxima are the calibration's, in their order, and it has seen no event."""
    table = RowTable(joint.layout(3), joint.fresh_rows(3))
    assert table.head["fingerprint"].tolist() == [joint.fingerprint]
    for v, view in enumerate(joint.config.views):
        maxima = joint.description.calibration[view]
        assert table.maxima[0, v, : len(maxima)].tolist() == maxima
        assert table.head["ring"].tolist() == [len(maxima)]
    assert (table.tails["surprise"] == ABSENT).all()
    assert table.head["offset"].tolist() == [-1]
    assert table.head["events"].tolist() == [0]
    for part in (table.features["count"], table.profiles, table.states, table.spreads):
        assert not part.any()


def test_the_base_artifact_loads(base: Artifact) -> None:
    """What ships serves streams of any features, feature by feature."""
    assert not base.config.joint
    assert base.config.cell == "lstm"
    for features in (1, 3):
        layout = base.layout(features)
        assert (layout.features, layout.runs) == (features, features)
        assert layout.memory == base.config.memory
        assert layout.resolutions == len(base.config.resolutions)


def test_the_base_artifact_is_the_one_that_this_version_trains(base: Artifact) -> None:
    """Its shape is the config's default, and a stream's own first block is what it is held to."""
    assert base.config == ModelConfig()
    assert base.description.calibration == uncalibrated(base.config)


def test_the_compact_artifact_is_the_base_artifacts_network(base: Artifact) -> None:
    """It has the same weights, looks at less, and a stream takes half of the memory for it."""
    compact = Artifact(folder_of(Path("compact")))
    assert (COMPACT / WEIGHTS).read_bytes() == (BASE / WEIGHTS).read_bytes()
    assert set(compact.config.views) < set(base.config.views)
    assert compact.layout(1).row_bytes <= 1536
    assert base.layout(1).row_bytes <= 3072


def test_an_artifact_is_a_folder_or_one_that_ships(tmp_path: Path) -> None:
    """Nothing given is the base artifact; what is not the name of one that ships is a path."""
    assert folder_of(None) == folder_of(Path("base")) == BASE
    assert folder_of(tmp_path / "compact") == tmp_path / "compact"


@pytest.mark.parametrize("folder", SHIPPED.values())
def test_what_ships_is_small(folder: Path) -> None:
    """The three files together are under 2 MB."""
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000


def test_a_fresh_row_of_the_base_artifact_names_it(base: Artifact) -> None:
    """A new memory carries the fingerprint of the artifact that made it."""
    table = RowTable(base.layout(2), base.fresh_rows(2))
    assert table.head["fingerprint"].tolist() == [base.fingerprint]


def test_there_is_no_pickle_in_the_base_artifact() -> None:
    """Only safetensors, ONNX and JSON ship: nothing that runs code when it is read."""
    assert {path.name for path in BASE.iterdir()} == set(FILES)
    for path in BASE.iterdir():
        assert not zipfile.is_zipfile(path)  # torch.save
        assert not path.read_bytes().startswith(b"\x80")  # pickle, protocol 2 and later
    tensors = load_file(BASE / WEIGHTS)
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    assert (
        sum(tensor.size for tensor in tensors.values())
        == json.loads((BASE / DESCRIPTION).read_text(encoding="utf-8"))["training"]["parameters"]
    )


def test_serving_needs_no_torch() -> None:
    """Loading the base artifact and the scorer imports neither torch nor onnx."""
    program = (
        "import sys, model.scorer; from model.artifact import BASE, Artifact; Artifact(BASE);"
        "print(sorted({'torch', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_more_horizons_than_there_are_views_of_are_refused(copy: Path) -> None:
    """A fourth would be taken for another view."""
    edit(copy, lambda body: body["config"].update(horizons=[1, 2, 4, 8]))
    assert "4 horizons" in refusal(copy)
