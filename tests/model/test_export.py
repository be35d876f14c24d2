from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.artifact import WEIGHTS, Artifact
from model.config import ModelConfig
from model.export import write_artifact
from model.linear import AVERAGES, Mean
from tests.model.conftest import (
    F32,
    JOINT,
    MEMORYLESS,
    Exported,
    description_of,
    predictor_of,
    small,
)

SIZES = (1, 2, 3, 5, 8, 13, 64, 257)


def readings(artifact: Artifact, n: int) -> tuple[F32, F32]:
    """Inputs and memories of the sizes that serving meets."""
    random = np.random.default_rng(3)
    inputs = random.uniform(-8, 8, (n, artifact.config.inputs)).astype(np.float32)
    memory = random.uniform(-1, 1, (n, artifact.config.memory)).astype(np.float32)
    return inputs, memory


@torch.no_grad()
def test_the_exported_step_is_the_networks_step(exported: Exported) -> None:
    """ONNX Runtime and torch agree to 1e-5, each carrying its own memory over 20 events."""
    artifact, network = exported.artifact, exported.network
    _, served = readings(artifact, 16)
    trained = torch.from_numpy(served.copy())
    random = np.random.default_rng(4)
    for _ in range(20):
        inputs = random.normal(size=(16, artifact.config.inputs)).astype(np.float32)
        outputs, served = artifact.step(inputs, served)
        expected, trained = network.step(torch.from_numpy(inputs), trained)
        np.testing.assert_allclose(outputs, expected.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(served, trained.numpy(), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    "config",
    [
        replace(small(JOINT, "lstm"), categories=("where", "what")),
        replace(small(JOINT, "mean"), unit="values"),
        replace(small(JOINT, "mean"), unit="increments"),
    ],
    ids=["categories", "mean of values", "mean of increments"],
)
def test_so_it_is_with_all_that_a_network_may_read(config: ModelConfig, tmp_path: Path) -> None:
    network = predictor_of(config)
    if isinstance(network, Mean):
        network.shares[:] = AVERAGES[[1, 3, 6]]
        network.log_spreads[:] = torch.arange(3.0)[:, None]
    artifact = write_artifact(network, description_of(config), tmp_path)
    inputs, memory = readings(artifact, 16)
    inputs[:, config.category_places] = np.arange(16)[:, None]
    outputs, after = artifact.step(inputs, memory)
    expected, trained = network.step(torch.from_numpy(inputs), torch.from_numpy(memory))
    np.testing.assert_allclose(outputs, expected.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(after, trained.numpy(), rtol=0, atol=1e-5)


def assert_same_bits_in_any_company(artifact: Artifact) -> None:
    inputs, memory = readings(artifact, max(SIZES))
    alone = [artifact.step(inputs[k : k + 1], memory[k : k + 1]) for k in range(max(SIZES))]
    outputs, after = (np.concatenate(part) for part in zip(*alone, strict=True))
    random = np.random.default_rng(5)
    for size in SIZES:
        for chosen in (np.arange(size), random.permutation(max(SIZES))[:size]):
            batch_outputs, batch_after = artifact.step(inputs[chosen], memory[chosen])
            np.testing.assert_array_equal(batch_outputs, outputs[chosen], strict=True)
            np.testing.assert_array_equal(batch_after, after[chosen], strict=True)


def test_a_step_gives_the_same_bits_in_any_company(exported: Exported) -> None:
    """Neither the batch's size nor a stream's place in it changes one bit, with any cell."""
    assert_same_bits_in_any_company(exported.artifact)


def test_the_base_artifact_gives_the_same_bits_in_any_company(base: Artifact) -> None:
    """Neither the batch's size nor a stream's place in it changes one bit of the shipped step."""
    assert_same_bits_in_any_company(base)


def test_an_artifact_is_three_files(exported: Exported) -> None:
    """Weights, graph and description are all that is written; the graph needs no other file."""
    written = {path.name for path in exported.artifact.folder.iterdir()}
    assert written == {"model.safetensors", "model.onnx", "artifact.json"}


def test_the_weights_come_back_from_an_artifact(exported: Exported) -> None:
    """The weights in the folder are the very ones that were written, to go on training."""
    loaded = load_file(exported.artifact.folder / WEIGHTS)
    written = exported.network.state_dict()
    assert loaded.keys() == written.keys()
    assert all(torch.equal(loaded[name], written[name]) for name in written)


def test_an_artifact_without_a_memory_serves_like_any_other(exported: Exported) -> None:
    """Its step takes and gives a memory of width 0; a recurrent one's is never empty."""
    artifact = exported.artifact
    inputs, memory = readings(artifact, 5)
    _, after = artifact.step(inputs, memory)
    assert after.shape == (5, artifact.config.memory)
    assert (artifact.config.memory == 0) == (artifact.config.cell in MEMORYLESS)
