"""scikit-learn, loaded by who first learns or predicts: a second and 70 MB that no other process should pay for."""

from importlib import import_module
from threading import Lock
from typing import Any

# Its modules import each other and it as a whole: of two threads that come first with different ones, one may meet
# half a module, which is an ImportError.
_one_at_a_time = Lock()


def module(name: str) -> Any:
    """The module `sklearn.<name>`, e.g. `module("linear_model")`."""
    with _one_at_a_time:
        return import_module(f"sklearn.{name}")
