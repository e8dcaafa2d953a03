"""Texts to vectors: models of this process, shared by its threads.

`embed` is by the model that this process is configured with, `embed_with` by any: an organization may stand on another.
Promises: float32 vectors of length 1 in the order of the texts, or an error; never a zero, a NaN or a vector of
another size. Texts are sorted by their tokens and embedded four at a time: a third of the work of fastembed's default,
which pads 256 texts to the longest of them, and a third of its memory (`python -m bench.kb embedding`). Of what is
longer than the model's window (256 tokens) the beginning alone counts; the chunker keeps its chunks below,
`token_counts` tells everybody else.

A model is loaded at its first call, never before a fork; none is shared across one.
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
from desk.kb import model, model_folder
from desk.settings import settings

if TYPE_CHECKING:
    from fastembed import TextEmbedding
    from tokenizers import Tokenizer

DIMENSIONS = 384  # of the model that is the default
BATCH = 4  # as many as stay in a core's cache: 16 cost a quarter more
TOLERANCE = 1e-3  # how far a unit vector's length may be from 1

Vectors = NDArray[np.float32]


class BadVector(ModelUnavailable):
    """The model made a vector that is not of length 1. Of one text: that text's failure; of the probe: the model's."""


@dataclass(frozen=True)
class _Loaded:
    """What this process embeds with. `tokenizer` neither truncates nor pads: it counts."""

    name: str
    directory: Path
    model: "TextEmbedding"
    tokenizer: "Tokenizer"
    dimensions: int


_loading = Lock()
_loaded: dict[tuple[int, str], _Loaded] = {}  # by process: a forked child must not use its parent's session
_passes = BoundedSemaphore(os.cpu_count() or 1)  # more at once than cores only costs memory


def embed(texts: Sequence[str]) -> Vectors:
    """One unit vector per text, shape (len(texts), dimensions), in the order of the texts, by the configured model.

    Raises:
        ModelUnavailable: no model on this machine (known within two seconds), or it is damaged.
    """
    return _embed(_get(settings().embed_model), texts)


def embed_with(name: str, texts: Sequence[str]) -> Vectors:
    """As `embed`, by the model `name`, which must be on this machine (`model.locate`).

    Raises:
        ModelUnavailable: it is not, or it is damaged.
    """
    return embed(texts) if name == model_name() else _embed(_get(name), texts)


def _embed(loaded: _Loaded, texts: Sequence[str]) -> Vectors:
    vectors = np.empty((len(texts), loaded.dimensions), dtype=np.float32)
    if not texts:
        return vectors
    together = [list(range(len(texts)))]
    if len(texts) > BATCH:
        together = batches([len(encoding.ids) for encoding in loaded.tokenizer.encode_batch(list(texts))])
    for batch in together:
        with _passes:
            found = loaded.model.embed([texts[i] for i in batch], batch_size=BATCH)
            vectors[batch] = _checked(found, loaded.dimensions, loaded.name)
    return vectors


def batches(counts: Sequence[int]) -> list[list[int]]:
    """Which texts, of so many tokens each, go through the model together: their places, those of like length beside
    each other."""
    order = sorted(range(len(counts)), key=counts.__getitem__)
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def token_counts(texts: Sequence[str]) -> list[int]:
    """How many tokens the model sees in each text, its two frame tokens included, if it were not cut.

    Raises:
        ModelUnavailable: as `embed`.
    """
    encodings = _get(settings().embed_model).tokenizer.encode_batch(list(texts))
    return [len(encoding.ids) for encoding in encodings]


def model_name() -> str:
    """The configured model, under whose name vectors are stored: those of different models are never compared."""
    return settings().embed_model


def dimensions(name: str | None = None) -> int:
    """How many numbers a vector of the model `name` has (None: of the configured one), found by running it.

    Raises:
        ModelUnavailable: as `embed`.
    """
    return _get(settings().embed_model if name in (None, model_name()) else str(name)).dimensions


def warm_up() -> None:
    """Load the model and run it once, so that the first job does not wait for it. Free where that is done.

    Raises:
        ModelUnavailable: as `embed`.
    """
    _get(settings().embed_model)


def unload() -> None:
    """Forget the models of this process; the next call loads them again, from where the settings then say."""
    with _loading:
        for key in [key for key in _loaded if key[0] == os.getpid()]:
            _loaded.pop(key, None)


def _get(name: str) -> _Loaded:
    key = (os.getpid(), name)
    found = _loaded.get(key)
    if found is None:
        with _loading:
            found = _loaded.get(key)
            if found is None:
                found = _loaded[key] = _load(name, model.locate(name))
    return found


def _load(name: str, directory: Path) -> _Loaded:
    from tokenizers import Tokenizer

    try:
        embedding, expected = model_folder.open_folder(name, directory)
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        (probe,) = _checked(embedding.embed(["probe"]), expected, name)
    except ModelUnavailable:
        raise
    except Exception as error:  # onnxruntime, tokenizers and fastembed each raise their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelUnavailable(f"The model in {directory} cannot be used: {reason}. {model.REMEDIES}") from error
    return _Loaded(name, directory, embedding, tokenizer, len(probe))


def _checked(vectors: Iterable[NDArray[Any]], expected: int | None = DIMENSIONS, name: str | None = None) -> Vectors:
    name = name or settings().embed_model
    stacked = np.asarray(list(vectors), dtype=np.float32)
    if expected is not None and stacked.shape[1] != expected:
        raise ModelUnavailable(
            f"The files of the model {name} make {stacked.shape[1]} numbers a text instead of {expected}: they are "
            f"another model's. {model.REMEDIES}"
        )
    lengths = np.linalg.norm(stacked, axis=1)
    if not np.all(np.abs(lengths - 1) < TOLERANCE):  # also where it is NaN
        raise BadVector(
            f"The model {name} returned a vector of length {lengths.min():g} to {lengths.max():g} "
            f"instead of 1: its files are damaged. {model.REMEDIES}"
        )
    return stacked
