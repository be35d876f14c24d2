"""An artifact: a folder with `model.safetensors`, `model.onnx` and `artifact.json`.

The weights are there to go on from (safetensors), the exported step is what serves (ONNX), and the
JSON says what the network reads, how a new stream starts, and what it was trained on.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# ONNX Runtime reports its use to its makers unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from model.config import ModelConfig
from model.errors import ArtifactError
from model.row import FEATURE, VIEWS, Bytes, RowLayout, RowTable
from model.surprise import PRIOR_BLOCKS, summarise

FORMAT = 1
WEIGHTS, GRAPH, DESCRIPTION = "model.safetensors", "model.onnx", "artifact.json"
BASE = Path(__file__).parent / "base_artifact"
"""The artifact that ships: feature by feature, trained on generated signals (`model.base`)."""

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FeatureStart:
    """How a new stream's normaliser starts for one feature, from the training data."""

    level: float
    scale: float
    step: float
    count: int


@dataclass(frozen=True, slots=True)
class Description:
    """`artifact.json`.

    `calibration` has, for each view of `model.row.VIEWS`, PRIOR_BLOCKS block maxima as bytes: the
    history that a new stream starts with. `training` is a record for people: data's fingerprint,
    sizes, seed, losses.
    """

    config: ModelConfig
    calibration: dict[str, list[int]]
    starts: dict[str, FeatureStart]
    training: dict[str, Any]

    def to_json(self) -> str:
        body = {"format": FORMAT, **asdict(self)}
        return json.dumps(body, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: Path) -> "Description":
        """Read a description; ArtifactError says what does not fit."""
        try:
            body = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArtifactError(
                f"{where} is not JSON ({error}); train the artifact again"
            ) from None
        found = body.get("format") if isinstance(body, dict) else None
        if found != FORMAT:
            raise ArtifactError(
                f"{where} has format {found!r}, this version reads {FORMAT}: "
                "train the artifact again, or run the version that made it"
            )
        try:
            config = ModelConfig(
                **{**body["config"], "features": tuple(body["config"]["features"])}
            )
            starts = {name: FeatureStart(**start) for name, start in body["starts"].items()}
            calibration = {view: body["calibration"][view] for view in VIEWS}
            if any(len(maxima) != PRIOR_BLOCKS for maxima in calibration.values()):
                raise ValueError(f"calibration needs {PRIOR_BLOCKS} block maxima for each view")
            return cls(config, calibration, starts, body["training"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"{where} does not fit: {error!r}; train it again") from None


class Artifact:
    """A loaded artifact: the exported step on one thread, and how a new stream starts.

    Raises ArtifactError when the folder does not hold a whole artifact of this format, or when the
    step does not give the same bits at every batch size on this machine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (WEIGHTS, GRAPH, DESCRIPTION):
            if not (folder / name).is_file():
                raise ArtifactError(
                    f"{folder} is not an artifact: it has no {name}; "
                    "`wakeful train FILE… --out DIR` makes one"
                )
        text = (folder / DESCRIPTION).read_text(encoding="utf-8")
        graph = (folder / GRAPH).read_bytes()
        self.description = Description.from_json(text, folder / DESCRIPTION)
        self.config = self.description.config
        self.fingerprint = _fingerprint(graph, text)
        self._session = _open(graph, folder / GRAPH)
        self._check_shapes()
        self._check_batch_invariance()

    def step(self, inputs: F32, memory: F32) -> tuple[F32, F32]:
        """inputs (B, D), memory (B, M) -> outputs (B, O), memory' (B, M)."""
        outputs, after = self._session.run(None, {"inputs": inputs, "memory": memory})
        return outputs, after

    def layout(self, features: int) -> RowLayout:
        """The row of a stream with this many features."""
        runs = 1 if self.config.joint else features
        return RowLayout(features=features, runs=runs, memory=self.config.memory)

    def fresh_rows(self, features: tuple[str, ...]) -> Bytes:
        """(1, row_bytes): the memory of a stream that nothing was heard of yet."""
        table = RowTable.zeros(self.layout(len(features)), 1)
        table.head["fingerprint"] = self.fingerprint
        table.head["offset"] = -1
        table.head["ring"] = PRIOR_BLOCKS
        for v, view in enumerate(VIEWS):
            table.maxima[0, v, :PRIOR_BLOCKS] = sorted(self.description.calibration[view])
            summarise(table.tails[0, v], table.maxima[0, v], PRIOR_BLOCKS)
        for f, name in enumerate(features):
            if start := self.description.starts.get(name):
                table.features[0, f] = _started(start)
        return table.bytes

    @cached_property
    def fingerprint_text(self) -> str:
        return f"{self.fingerprint:016x}"

    def _check_shapes(self) -> None:
        expected = {"inputs": self.config.inputs, "memory": self.config.memory}
        found = {entry.name: entry.shape[-1] for entry in self._session.get_inputs()}
        if found != expected:
            raise ArtifactError(
                f"{self.folder / GRAPH} takes {found}, {DESCRIPTION} says {expected}: "
                "the files are of different artifacts"
            )

    def _check_batch_invariance(self) -> None:
        random = np.random.default_rng(0)
        inputs = random.normal(size=(37, self.config.inputs)).astype(np.float32)
        memory = random.normal(size=(37, self.config.memory)).astype(np.float32)
        whole = self.step(inputs, memory)
        for size in (1, 3, 16):
            part = self.step(inputs[:size], memory[:size])
            if any(not np.array_equal(a[:size], b) for a, b in zip(whole, part, strict=True)):
                raise ArtifactError(
                    "on this machine the network's numbers depend on the batch size "
                    f"(37 against {size}); scores could not be reproduced"
                )


def _open(graph: bytes, where: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ArtifactError(f"{where} cannot be run: {error}; train the artifact again") from error


def _fingerprint(graph: bytes, text: str) -> int:
    digest = hashlib.sha256(graph + text.encode()).digest()
    return int.from_bytes(digest[:8], "little")


def _started(start: FeatureStart) -> npt.NDArray[np.void]:
    block = np.zeros((), FEATURE)
    for name in ("value", "level", "fast", "slow"):
        block[name] = start.level
    block["scale"], block["step"], block["count"] = start.scale, start.step, start.count
    return block
