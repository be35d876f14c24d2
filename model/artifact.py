"""An artifact: a folder with `model.safetensors`, `model.onnx` and `artifact.json`.

The weights are there to go on from (safetensors), the exported step is what serves (ONNX), and the
JSON says what the network reads, how a new stream starts, and what it was trained on.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter

# ONNX Runtime reports its use to its makers unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from safetensors.numpy import load

from model.categories import NONE
from model.config import ModelConfig
from model.errors import ArtifactError
from model.fresh import fresh_table, layout_of
from model.population import Population
from model.row import Bytes, RowLayout
from model.tails import UNSPOKEN

FORMAT = 5
WEIGHTS, GRAPH, DESCRIPTION = "model.safetensors", "model.onnx", "artifact.json"
LARGEST_BATCH = 1024  # network runs in one batched call: the plateau of throughput
BASE = Path(__file__).parent / "base_artifact"
"""The artifact that ships: feature by feature, trained on generated signals (`model.base`)."""
COMPACT = Path(__file__).parent / "compact_artifact"
"""The same network for many streams: one time scale, no profiles, less than half a row."""
SHIPPED = {"base": BASE, "compact": COMPACT}

F32 = npt.NDArray[np.float32]
Maxima = Annotated[
    list[Annotated[int, Field(ge=0, le=UNSPOKEN)]],
    Field(min_length=1),
]


@dataclass(frozen=True, slots=True)
class Description:
    """`artifact.json`.

    `calibration` has, for each view of the config, block maxima as bytes, as many for each,
    UNSPOKEN where there is none: the history that a new stream starts with, and that its own
    replaces in this order. `population` is what the training data's streams have in common, where
    they are held against each other; then there is no calibration. `training` is a record for
    people: data's fingerprint, sizes, seed, losses. `files` has the SHA-256 of the two files beside
    it.
    """

    config: ModelConfig
    calibration: dict[str, Maxima]
    population: Population | None
    training: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        body = {"format": FORMAT, **asdict(self)}
        return json.dumps(body, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: Path) -> "Description":
        """Read a description; ArtifactError says what does not fit."""
        try:
            body = json.loads(text)
            found = body.pop("format", None) if isinstance(body, dict) else None
            if found != FORMAT:
                raise ArtifactError(
                    f"{where} has format {found!r}, this version reads {FORMAT}: "
                    "train the artifact again, or run the version that made it"
                )
            description = TypeAdapter(cls).validate_python(body)
        except json.JSONDecodeError as error:
            raise ArtifactError(
                f"{where} is not JSON ({error}); train the artifact again"
            ) from None
        except ValueError as error:
            raise ArtifactError(
                f"{where} does not fit: {error}; train the artifact again"
            ) from None
        if problem := description.problem():
            raise ArtifactError(f"{where} {problem}; train again")
        return description

    def problem(self) -> str | None:
        """What does not agree, if anything does not."""
        views, population = self.config.views, self.population
        if self.config.in_population != (population is not None):
            return "has a population and no view `rare`, or the view and no population"
        if population is not None and (
            tuple(population.features) != self.config.features
            or set(population.views) != set(views)
            or self.calibration
        ):
            return "has a population of other features or views than its own"
        if population is None and set(self.calibration) != set(views):
            return f"calibrates other views than {', '.join(views)}"
        if len({len(maxima) for maxima in self.calibration.values()}) > 1:
            return "calibrates its views unequally"
        if any(len(maxima) > self.config.blocks for maxima in self.calibration.values()):
            return f"calibrates with more than {self.config.blocks} block maxima"
        return None


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
        text = (folder / DESCRIPTION).read_text(encoding="utf-8", errors="replace")
        graph = (folder / GRAPH).read_bytes()
        self.description = Description.from_json(text, folder / DESCRIPTION)
        self.config = self.description.config
        for name in (WEIGHTS, GRAPH):
            if self.description.files.get(name) != digest((folder / name).read_bytes()):
                raise ArtifactError(
                    f"{folder / name} is not the file that {DESCRIPTION} was written with: "
                    "it is damaged or of another artifact; copy the whole folder again"
                )
        self.fingerprint = _fingerprint(graph, text)
        self._session = _open(graph, folder / GRAPH)
        self._check_shapes()
        self._check_batch_invariance()

    def step(self, inputs: F32, memory: F32) -> tuple[F32, F32]:
        """inputs (B, D), memory (B, M) -> outputs (B, O), memory' (B, M)."""
        outputs, after = self._session.run(None, {"inputs": inputs, "memory": memory})
        return outputs, after

    def weights(self) -> dict[str, F32]:
        """Of the network, by the names that they have in `model.autoencoder`. ArtifactError where
        their file is another one by now."""
        where = self.folder / WEIGHTS
        try:
            weights = where.read_bytes()
        except OSError as error:
            raise ArtifactError(f"{where} cannot be read: {error}") from None
        if digest(weights) != self.description.files[WEIGHTS]:
            raise ArtifactError(f"{where} is of another artifact by now, which a restart takes")
        return dict(load(weights))

    @property
    def population(self) -> Population | None:
        """What the training data's streams have in common, where they are held against each
        other."""
        return self.description.population

    def layout(self, features: int) -> RowLayout:
        """The row of a stream with this many features."""
        return layout_of(self.config, features)

    def fresh_rows(self, features: int) -> Bytes:
        """(1, row_bytes): the memory of a stream that nothing was heard of yet."""
        table = fresh_table(self.config, self.description.calibration, self.population, features)
        table.head["fingerprint"] = self.fingerprint
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
        inputs = random.normal(size=(LARGEST_BATCH, self.config.inputs)).astype(np.float32)
        inputs[:, self.config.category_places] = NONE
        memory = random.normal(size=(LARGEST_BATCH, self.config.memory)).astype(np.float32)
        whole = self.step(inputs, memory)
        for size in (1, 3, 16, 64, 257):
            rows = random.permutation(LARGEST_BATCH)[:size]
            part = self.step(inputs[rows], memory[rows])
            if any(not np.array_equal(a[rows], b) for a, b in zip(whole, part, strict=True)):
                raise ArtifactError(
                    "on this machine the network's numbers depend on the batch size "
                    f"({LARGEST_BATCH} against {size}); scores could not be reproduced"
                )


def folder_of(artifact: Path | None) -> Path:
    """The folder of an artifact that may be named as one that ships; the base artifact for None."""
    return BASE if artifact is None else SHIPPED.get(str(artifact), artifact)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


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
