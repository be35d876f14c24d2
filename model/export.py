"""Write an artifact folder: weights, the exported step, the description."""

from dataclasses import replace
from pathlib import Path

from safetensors.torch import save

from model.artifact import DESCRIPTION, GRAPH, WEIGHTS, Artifact, Description, digest
from model.autoencoder import Autoencoder
from model.graph import step_graph
from model.linear import Memoryless


def write_artifact(
    network: Autoencoder | Memoryless, description: Description, folder: Path
) -> Artifact:
    """Write all three files and load the artifact back, checked."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(save(network.state_dict()))
    graph = step_graph(network).SerializeToString(deterministic=True)
    (folder / GRAPH).write_bytes(graph)
    return write_description(description, folder)


def write_description(description: Description, folder: Path) -> Artifact:
    """Write what is said of the two files that are there, and load the artifact, checked."""
    digests = {name: digest((folder / name).read_bytes()) for name in (WEIGHTS, GRAPH)}
    text = replace(description, files=digests).to_json()
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
    return Artifact(folder)
