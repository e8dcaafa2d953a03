"""What was learnt, as bytes for the database: a digest, and an .npz of plain arrays, which reading cannot make run."""

import io
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGEST = 32  # bytes that a SHA-256 takes


def pack(form: int, **arrays: Any) -> bytes:
    """The bytes of `arrays`, in the format numbered `form`; the same arrays are the same bytes."""
    target = io.BytesIO()
    np.savez_compressed(target, format=np.int32(form), **arrays)
    data = target.getvalue()
    return sha256(data).digest() + data


def unpack(data: bytes, what: str, form: int) -> dict[str, NDArray[Any]]:
    """The arrays that `pack` put into `data`, by name. `what` says in messages what they are, e.g. "a classifier".

    Raises:
        ValueError: the bytes are damaged, of another format, or hold something that could run.
    """
    if sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        raise ValueError(f"not {what}, or a damaged one")
    with np.load(io.BytesIO(data[_DIGEST:]), allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    if int(found.pop("format")) != form:
        raise ValueError(f"{what} of another format than {form}")
    return found
