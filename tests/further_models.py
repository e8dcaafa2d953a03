"""Models that are really run, beside the one there is: its weights under another name, in another number of
dimensions, or with a word that it cannot stand."""

import os
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WORDS = "embeddings.word_embeddings.weight"


def write_model(
    source: Path, target: Path, *, dimensions: int | None = None, unbearable: str | None = None, pooled: bool = False
) -> Path:
    """A copy of the model in `source`. `dimensions`: projected to so many; `unbearable`: every text with this word gets
    a vector of NaN; `pooled`: the graph takes the mean by itself."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.suffix == ".json":
            os.symlink(path, target / path.name)
    if dimensions is None and unbearable is None and not pooled:
        os.symlink(source / "model.onnx", target / "model.onnx")
        return target
    model = onnx.load(str(source / "model.onnx"))
    if unbearable:
        _poison(model, source, unbearable)
    if dimensions:
        _project(model, dimensions)
    if pooled:
        _pool(model)
    onnx.save(model, str(target / "model.onnx"))
    return target


def _poison(model: onnx.ModelProto, source: Path, word: str) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    (token,) = tokenizer.encode(word, add_special_tokens=False).ids
    for constant in model.graph.initializer:
        if constant.name == WORDS:
            table = numpy_helper.to_array(constant).copy()
            table[token] = np.nan
            constant.CopyFrom(numpy_helper.from_array(table, WORDS))
            return
    raise AssertionError("the graph has no table of words")


def _project(model: onnx.ModelProto, dimensions: int) -> None:
    """Each token's numbers times an orthogonal matrix, of which a part is kept: angles nearly stay."""
    graph = model.graph
    generator = np.random.default_rng(7)
    matrix = np.linalg.qr(generator.normal(size=(384, 384)))[0][:, :dimensions].astype(np.float32)
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(matrix), "projection"))
    _rename_output(graph, "full")
    graph.node.append(helper.make_node("MatMul", ["full", "projection"], ["last_hidden_state"]))
    graph.output.append(helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["b", "t", dimensions]))


def _pool(model: onnx.ModelProto) -> None:
    graph = model.graph
    size = graph.output[0].type.tensor_type.shape.dim[2].dim_value
    _rename_output(graph, "tokens_out")
    graph.node.append(helper.make_node("ReduceMean", ["tokens_out"], ["sentence_embedding"], axes=[1], keepdims=0))
    graph.output.append(helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["b", size]))


def _rename_output(graph: onnx.GraphProto, name: str) -> None:
    old = graph.output.pop().name
    for node in graph.node:
        for index, output in enumerate(node.output):
            if output == old:
                node.output[index] = name
