"""The step of a predictor as an ONNX graph: the equations of `autoencoder` and `linear`, written
out once more, node by node.

torch's own exporter comes to the same nodes, but takes seconds for each network, most of what
training on a short series takes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from model.autoencoder import Autoencoder, Recurrent
from model.categories import BUCKETS
from model.config import VALUE_CHANNELS, ModelConfig
from model.linear import Linear, Mean, Memoryless
from model.normalise import FAST, SLOW

OPSET = 20
IR_VERSION = 10  # that onnxruntime has read since 1.18
INPUTS, MEMORY = "inputs", "memory"


class _Graph:
    """Nodes, and the weights of a network that they read by their names in it."""

    def __init__(self, network: Autoencoder | Memoryless) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights = [
            numpy_helper.from_array(tensor.detach().numpy(), name)
            for name, tensor in (*network.named_parameters(), *network.named_buffers())
        ]

    def __getattr__(self, kind: str) -> Callable[..., str]:
        """`graph.Add(a, b)` is the name of what a new node of this kind gives."""

        def node(*inputs: str, **attributes: Any) -> str:
            return self.several(kind, 1, *inputs, **attributes)[0]

        return node

    def several(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """The names of all that a new node gives."""
        given = [f"{kind}_{len(self.nodes)}_{n}" for n in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, given, **attributes))
        return given

    def constant(self, value: npt.ArrayLike, kind: type[np.generic] = np.int64) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def part(self, x: str, start: int, end: int, axis: int = 1) -> str:
        """x[..., start:end, ...] of an axis."""
        return self.Slice(x, *(self.constant([number]) for number in (start, end, axis)))

    def linear(self, x: str, weight: str, *bias: str) -> str:
        """x (B, I), weight (O, I), bias (O,) -> (B, O)."""
        return self.Gemm(x, weight, *bias, transB=1)

    def layer(self, x: str, name: str) -> str:
        return self.linear(x, f"{name}.weight", f"{name}.bias")


def step_graph(network: Autoencoder | Memoryless) -> onnx.ModelProto:
    """inputs (B, D), memory (B, M) -> outputs (B, O), memory_after (B, M)."""
    config, graph = network.config, _Graph(network)
    if isinstance(network, Autoencoder):
        outputs, after = _autoencoder(graph, network)
    elif isinstance(network, Linear):
        outputs, after = graph.layer(INPUTS, "map"), MEMORY
    elif isinstance(network, Mean):
        outputs, after = _mean(graph, config), MEMORY
    else:
        raise TypeError(f"{type(network).__name__} has no graph")
    graph.nodes += [
        helper.make_node("Identity", [outputs], ["outputs"]),
        helper.make_node("Identity", [after], ["memory_after"]),
    ]
    sizes = {INPUTS: config.inputs, MEMORY: config.memory}
    given = {"outputs": config.outputs, "memory_after": config.memory}
    made = helper.make_graph(graph.nodes, "step", _shaped(sizes), _shaped(given), graph.weights)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(made, opset_imports=[opset], ir_version=IR_VERSION)


def _shaped(sizes: dict[str, int]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in sizes.items()
    ]


def _autoencoder(graph: _Graph, network: Autoencoder) -> tuple[str, str]:
    """Outputs and the memory after, as `Autoencoder.step` has them."""
    config, split = network.config, network.encoder.state
    inputs = _embedded(graph, config)
    before = graph.part(MEMORY, 0, split), graph.part(MEMORY, split, config.memory)
    h, encoder = _recurrent(graph, network.encoder, "encoder", inputs, before[0])
    code = graph.Tanh(graph.layer(h, "bottleneck"))
    d, decoder = _recurrent(graph, network.decoder, "decoder", code, before[1])
    direct = graph.linear(graph.Concat(h, inputs, axis=1), "skip.weight")
    outputs = graph.Add(graph.layer(d, "heads"), graph.Mul(direct, "hidden_values"))
    return outputs, graph.Concat(encoder, decoder, axis=1)


def _embedded(graph: _Graph, config: ModelConfig) -> str:
    """As `Autoencoder.embedded`."""
    if not config.categories:
        return INPUTS
    at = config.category_places
    values, event = graph.part(INPUTS, 0, at.start), graph.part(INPUTS, at.stop, config.inputs)
    buckets = graph.Cast(graph.part(INPUTS, at.start, at.stop), to=TensorProto.INT64)
    tables = graph.constant(BUCKETS * np.arange(len(config.categories)))
    vectors = graph.Gather("embeddings.weight", graph.Add(buckets, tables))
    return graph.Concat(values, graph.Flatten(vectors), event, axis=1)


def _recurrent(graph: _Graph, layer: Recurrent, name: str, x: str, state: str) -> tuple[str, str]:
    """h' and state', as `Recurrent.step` has them."""
    size, where = layer.hidden, f"{name}.fused"
    h = graph.part(state, 0, size)
    from_x = graph.linear(x, f"{where}.weight_ih_l0", f"{where}.bias_ih_l0")
    from_h = graph.linear(h, f"{where}.weight_hh_l0", f"{where}.bias_hh_l0")
    if layer.cell == "lstm":
        both = graph.Add(from_x, from_h)
        i, f, g, o = graph.several("Split", 4, both, axis=1, num_outputs=4)
        kept = graph.Mul(graph.Sigmoid(f), graph.part(state, size, 2 * size))
        c = graph.Add(kept, graph.Mul(graph.Sigmoid(i), graph.Tanh(g)))
        h = graph.Mul(graph.Sigmoid(o), graph.Tanh(c))
        return h, graph.Concat(h, c, axis=1)
    if layer.cell == "gru":
        r_x, z_x, n_x = graph.several("Split", 3, from_x, axis=1, num_outputs=3)
        r_h, z_h, n_h = graph.several("Split", 3, from_h, axis=1, num_outputs=3)
        r, z = graph.Sigmoid(graph.Add(r_x, r_h)), graph.Sigmoid(graph.Add(z_x, z_h))
        new = graph.Tanh(graph.Add(n_x, graph.Mul(r, n_h)))
        share = graph.Sub(graph.constant(1.0, np.float32), z)
        h = graph.Add(graph.Mul(share, new), graph.Mul(z, h))
        return h, h
    h = graph.Tanh(graph.Add(from_x, from_h))
    return h, h


def _mean(graph: _Graph, config: ModelConfig) -> str:
    """Outputs, as `Mean.given` has them."""
    away = graph.Mul(_distances(graph, config), "shares")
    back = graph.ReduceSum(away, graph.constant([2]), keepdims=1)  # (B, W, 1)
    hidden = graph.Expand(back, graph.constant([1, 1, config.targets]))
    spreads = graph.Expand("log_spreads", graph.Shape(hidden))
    last = graph.constant([3])
    both = graph.Concat(graph.Unsqueeze(hidden, last), graph.Unsqueeze(spreads, last), axis=3)
    return graph.Flatten(both)


def _distances(graph: _Graph, config: ModelConfig) -> str:
    """(B, W, RUNNING_MEANS), as `linear.distances` has them."""
    read = graph.part(INPUTS, 0, config.width * VALUE_CHANNELS)
    shape = graph.constant([-1, config.width, VALUE_CHANNELS])
    values = graph.Reshape(read, shape)
    to_level = graph.Neg(graph.Sinh(graph.part(values, 0, 1, axis=2)))
    others = graph.Gather(values, graph.constant([3, 2]), axis=2)
    shares = graph.constant([1.0 - SLOW, 1.0 - FAST], np.float32)
    to_others = graph.Mul(graph.Neg(graph.Sinh(others)), shares)
    increment = graph.Exp(graph.part(values, 4, 5, axis=2))
    if config.unit == "increments":
        return graph.Concat(graph.Div(to_level, increment), to_others, axis=2)
    return graph.Concat(to_level, graph.Mul(to_others, increment), axis=2)
