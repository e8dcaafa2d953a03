"""Vectors of passages of articles, remembered by the process: the same few passages answer most tickets of a day.

By what the passage says, so nothing of one organization tells anything to another: a vector is a function of its text.
"""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

import numpy as np

from desk.kb import embedding
from desk.tickets.vectors import Vectors

MOST = 4_096  # passages; 6 MB

_known: OrderedDict[tuple[str, str], Vectors] = OrderedDict()
_guard = Lock()


def of(texts: Sequence[str]) -> Vectors:
    """One vector of length 1 a text, by the configured model.

    Raises:
        ModelUnavailable: some are not known yet and there is no model.
    """
    model = embedding.model_name()
    with _guard:
        found = {text: _known[model, text] for text in texts if (model, text) in _known}
    missing = [text for text in dict.fromkeys(texts) if text not in found]
    if missing:
        found.update(zip(missing, embedding.embed(missing), strict=True))
    with _guard:
        for text in texts:
            _known[model, text] = found[text]
            _known.move_to_end((model, text))
        while len(_known) > MOST:
            _known.popitem(last=False)
    return np.stack([found[text] for text in texts])
