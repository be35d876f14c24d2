"""Write an artifact folder: weights, the exported step, the description."""

import contextlib
import io
import logging
import warnings
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from safetensors.torch import save

from model.artifact import DESCRIPTION, GRAPH, WEIGHTS, Artifact, Description, digest
from model.autoencoder import Autoencoder
from model.linear import Memoryless


class _Step(torch.nn.Module):
    """`Autoencoder.step` as the forward of a module: what the exporter follows."""

    def __init__(self, network: Autoencoder | Memoryless) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, inputs: torch.Tensor, memory: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network.step(inputs, memory)


def export_step(network: Autoencoder | Memoryless, where: Path) -> None:
    """Export the one-step form to ONNX with a free batch size."""
    config = network.config
    example = (torch.zeros(3, config.inputs), torch.zeros(3, config.memory))
    batch = torch.export.Dim("batch")
    for library in ("onnxscript", "torch.onnx"):
        logging.getLogger(library).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            _Step(network).eval(),
            example,
            str(where),
            input_names=["inputs", "memory"],
            output_names=["outputs", "memory_after"],
            dynamic_shapes={"inputs": {0: batch}, "memory": {0: batch}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _strip(where)


def _strip(where: Path) -> None:
    """Leave out where on this machine each node's source line stands: it would be in the artifact,
    and the same weights would have another fingerprint when exported elsewhere."""
    graph = onnx.load(where)
    graph.ClearField("metadata_props")
    graph.graph.ClearField("metadata_props")
    for part in (graph.graph.node, graph.graph.value_info, graph.graph.input, graph.graph.output):
        for entry in part:
            entry.ClearField("metadata_props")
            entry.ClearField("doc_string")
    for tensor in graph.graph.initializer:
        tensor.ClearField("metadata_props")
    where.write_bytes(graph.SerializeToString(deterministic=True))


def write_artifact(
    network: Autoencoder | Memoryless, description: Description, folder: Path
) -> Artifact:
    """Write all three files and load the artifact back, checked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(save(network.state_dict()))
    export_step(network, folder / GRAPH)
    return write_description(description, folder)


def write_description(description: Description, folder: Path) -> Artifact:
    """Write what is said of the two files that are there, and load the artifact, checked."""
    digests = {name: digest((folder / name).read_bytes()) for name in (WEIGHTS, GRAPH)}
    text = replace(description, files=digests).to_json()
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
    return Artifact(folder)
