"""Texts to vectors: one model per process, shared by its threads.

Promises: float32 vectors of length 1 in the order of the texts, or an error; never a zero, a NaN or a vector of
another size. Texts are sorted by their tokens and embedded in batches of 16: half the work of fastembed's default,
which pads 256 texts to the longest of them, and a third of its memory. Of what is longer than the model's window (256
tokens) the beginning alone counts; the chunker keeps its chunks below, `token_counts` tells everybody else.

The model is loaded at the first call, never before a fork; it is not shared across one.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from desk.errors import ModelUnavailable
from desk.kb import model
from desk.settings import settings

if TYPE_CHECKING:
    from fastembed import TextEmbedding
    from tokenizers import Tokenizer

DIMENSIONS = 384
BATCH = 16
TOLERANCE = 1e-3  # how far a unit vector's length may be from 1

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class _Loaded:
    """What this process embeds with. `tokenizer` neither truncates nor pads: it counts."""

    directory: Path
    model: "TextEmbedding"
    tokenizer: "Tokenizer"


_loading = Lock()
_loaded: dict[int, _Loaded] = {}  # by process: a forked child must not use its parent's session
_passes = BoundedSemaphore(os.cpu_count() or 1)  # more at once than cores only costs memory


def embed(texts: Sequence[str]) -> Vectors:
    """One unit vector per text, shape (len(texts), 384), in the order of the texts.

    Raises:
        ModelUnavailable: no model on this machine (known within two seconds), or it is damaged.
    """
    if not texts:
        return np.empty((0, DIMENSIONS), dtype=np.float32)
    embedding = _get().model
    counts = token_counts(texts)
    order = sorted(range(len(texts)), key=counts.__getitem__)
    vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        with _passes:
            vectors[batch] = _checked(embedding.embed([texts[i] for i in batch], batch_size=BATCH))
    return vectors


def token_counts(texts: Sequence[str]) -> list[int]:
    """How many tokens the model sees in each text, its two frame tokens included, if it were not cut.

    Raises:
        ModelUnavailable: as `embed`.
    """
    encodings = _get().tokenizer.encode_batch(list(texts))
    return [len(encoding.ids) for encoding in encodings]


def model_name() -> str:
    """The name under which vectors are stored: those of different models are never compared."""
    return settings().embed_model


def warm_up() -> None:
    """Load the model and run it once, so that the first job does not wait for it. Free where that is done.

    Raises:
        ModelUnavailable: as `embed`.
    """
    _get()


def unload() -> None:
    """Forget the model of this process; the next call loads it again, from where the settings then say."""
    with _loading:
        _loaded.pop(os.getpid(), None)


def _get() -> _Loaded:
    found = _loaded.get(os.getpid())
    if found is None:
        with _loading:
            found = _loaded.get(os.getpid())
            if found is None:
                found = _loaded[os.getpid()] = _load(model.locate())
    return found


def _load(directory: Path) -> _Loaded:
    from fastembed import TextEmbedding
    from tokenizers import Tokenizer

    try:
        embedding = TextEmbedding(
            settings().embed_model,
            cache_dir=str(directory.parent),
            specific_model_path=str(directory),
            threads=settings().embed_threads,
        )
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        _checked(embedding.embed(["probe"]))
    except ModelUnavailable:
        raise
    except Exception as error:  # onnxruntime, tokenizers and fastembed each raise their own
        reason = str(error).strip().splitlines()[0]
        raise ModelUnavailable(f"The model in {directory} cannot be used: {reason}. {model.REMEDIES}") from error
    return _Loaded(directory, embedding, tokenizer)


def _checked(vectors: Iterable[NDArray[Any]]) -> Vectors:
    stacked = np.asarray(list(vectors), dtype=np.float32)
    if stacked.shape[1] != DIMENSIONS:
        raise ModelUnavailable(
            f"The model {settings().embed_model} makes {stacked.shape[1]} numbers a text; vectors are stored with "
            f"{DIMENSIONS}. Set ATUM_EMBED_MODEL to a model of {DIMENSIONS} dimensions."
        )
    lengths = np.linalg.norm(stacked, axis=1)
    if not np.all(np.abs(lengths - 1) < TOLERANCE):  # also where it is NaN
        raise ModelUnavailable(
            f"The model {settings().embed_model} returned a vector of length {lengths.min():g} to {lengths.max():g} "
            f"instead of 1: its files are damaged. {model.REMEDIES}"
        )
    return stacked
