"""all-MiniLM-L6-v2 as an ONNX graph, written straight from its weights: no torch, no transformers, no hub.

A BERT encoder with post-norm layers. Position and (the only) segment embedding are added up here, once. Attention, the
residual norms and the bias with GELU are onnxruntime's fused operators (`com.microsoft`), which every CPU build of it
has. In: `input_ids`, `attention_mask`, int64 (batch, tokens). Out: `last_hidden_state`, float32 (batch, tokens, 384).
"""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
HEADS = 12
LAYERS = 6
HIDDEN = 384
EPSILON = 1e-12  # of every layer norm

Weights = dict[str, np.ndarray]


def read_safetensors(data: bytes) -> Weights:
    """The float32 tensors of a safetensors file: 8 bytes of header length, a JSON header, then the raw arrays."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    body = memoryview(data)[8 + length :]
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], dtype="<f4").reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def build(weights: Weights) -> onnx.ModelProto:
    """The model, ready to be saved."""
    graph = _Graph(weights)
    hidden = graph.embeddings()
    for layer in range(LAYERS):
        hidden = graph.layer(f"encoder.layer.{layer}", hidden)
    graph.node("Identity", [hidden], "last_hidden_state")
    tokens = ["batch", "tokens"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "all-MiniLM-L6-v2",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, tokens)
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*tokens, HIDDEN])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)],
        producer_name="atum-desk-workers",
    )
    model.ir_version = 8  # any onnxruntime since 1.13 reads it
    return model


@dataclass
class _Graph:
    weights: Weights
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights[name])

    def matrix(self, name: str) -> str:
        """A linear layer's weight, stored (out, in), as MatMul wants it: (in, out)."""
        return self.constant(f"{name}.transposed", self.weights[name].T)

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def embeddings(self) -> str:
        positions = (
            self.weights["embeddings.position_embeddings.weight"]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        self.constant("positions", positions)
        words = self.node("Gather", [self.weight("embeddings.word_embeddings.weight"), "input_ids"], "words")
        count = self.node("Shape", ["input_ids"], "count", start=1, end=2)
        zero = self.constant("zero", np.array([0], dtype=np.int64))
        axis = self.constant("axis", np.array([0], dtype=np.int64))
        used = self.node("Slice", ["positions", zero, count, axis], "used_positions")
        total = self.node("Add", [words, used], "embedded")
        self.node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
        scale, shift = (self.weight(f"embeddings.LayerNorm.{part}") for part in ("weight", "bias"))
        return self.node("LayerNormalization", [total, scale, shift], "embeddings", epsilon=EPSILON)

    def layer(self, name: str, hidden: str) -> str:
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        packed = np.concatenate([self.weights[f"{part}.weight"].T for part in parts], axis=1)
        bias = np.concatenate([self.weights[f"{part}.bias"] for part in parts])
        attention = self.node(
            "Attention",
            [hidden, self.constant(f"{name}.qkv.weight", packed), self.constant(f"{name}.qkv.bias", bias), "mask"],
            f"{name}.attended",
            MICROSOFT,
            num_heads=HEADS,
        )
        attended = self.residual(f"{name}.attention.output", attention, hidden)
        wide = self.node("MatMul", [attended, self.matrix(f"{name}.intermediate.dense.weight")], f"{name}.wide")
        active = self.node(
            "BiasGelu", [wide, self.weight(f"{name}.intermediate.dense.bias")], f"{name}.active", MICROSOFT
        )
        return self.residual(f"{name}.output", active, attended)

    def residual(self, name: str, inner: str, skip: str) -> str:
        """norm(skip + dense(inner)), the end of both halves of a layer."""
        dense = self.node("MatMul", [inner, self.matrix(f"{name}.dense.weight")], f"{name}.product")
        norm = [self.weight(f"{name}.LayerNorm.{part}") for part in ("weight", "bias")]
        inputs = [dense, skip, *norm, self.weight(f"{name}.dense.bias")]
        return self.node("SkipLayerNormalization", inputs, f"{name}.normed", MICROSOFT, epsilon=EPSILON)
