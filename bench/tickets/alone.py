"""The embedding by itself, in a process of its own."""

import time
from typing import Any


def embed(texts: list[str], together: Any) -> tuple[float, float, float]:
    """Embed the texts when all have come: when that began and ended (monotonic seconds), and the CPU that it took."""
    from desk.kb import embedding

    embedding.warm_up()
    together.wait()
    began, cpu = time.monotonic(), time.process_time()
    for start in range(0, len(texts), 256):
        embedding.embed(texts[start : start + 256])
    return began, time.monotonic(), time.process_time() - cpu
