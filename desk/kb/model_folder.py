"""A model's folder opened with fastembed, under whatever name: fastembed's own list is not all there is.

What fastembed's list says about pooling holds for the names in it; for another the folder says it, as
sentence-transformers writes it (`1_Pooling/config.json`): mean where it does not, none where the graph pools by itself.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desk.errors import ModelUnavailable
from desk.settings import settings

if TYPE_CHECKING:
    from fastembed import TextEmbedding

LEAST_WINDOW = 220  # tokens: a chunk must fit (chunking.LIMIT)


def open_folder(name: str, directory: Path) -> "tuple[TextEmbedding, int | None]":
    """The model, and how many numbers a text its name promises (None: the name is not one of fastembed's).

    Raises:
        ModelUnavailable: it reads fewer tokens than a chunk has. onnxruntime and fastembed raise errors of their own.
    """
    from fastembed import TextEmbedding

    window = _json(directory / "tokenizer_config.json").get("model_max_length")
    if isinstance(window, int) and window < LEAST_WINDOW:
        raise ModelUnavailable(
            f"The model {name} reads {window} tokens of a text, but a chunk has up to {LEAST_WINDOW}: it would miss "
            "the end. Choose another."
        )
    known = {entry["model"].lower(): int(entry["dim"]) for entry in TextEmbedding.list_supported_models()}
    listed = name.lower() in known
    if not listed:
        _register(name, directory)
    opened = TextEmbedding(
        name, cache_dir=str(directory.parent), specific_model_path=str(directory), threads=settings().embed_threads
    )
    return opened, known[name.lower()] if listed and not _ours(name) else None


_registered: set[str] = set()


def _ours(name: str) -> bool:
    return name.lower() in _registered


def _register(name: str, directory: Path) -> None:
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    path = min(directory.rglob("*.onnx"), key=lambda path: (len(path.parts), path.name != "model.onnx", path.name))
    if _pools_itself(path):
        pooling = PoolingType.DISABLED
    elif _json(directory / "1_Pooling" / "config.json").get("pooling_mode_cls_token"):
        pooling = PoolingType.CLS
    else:
        pooling = PoolingType.MEAN
    TextEmbedding.add_custom_model(
        model=name,
        pooling=pooling,
        normalization=True,
        sources=ModelSource(hf=name),
        dim=1,  # found by running it
        model_file=str(path.relative_to(directory)),
    )
    _registered.add(name.lower())


def _pools_itself(path: Path) -> bool:
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    return len(graph.output[0].type.tensor_type.shape.dim) == 2


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
