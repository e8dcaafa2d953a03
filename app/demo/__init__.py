"""`atum demo`, which `make demo` runs: the desk's main job in one terminal, on real processes and a real clock.

Promises: uses a Postgres of its own under ATUM_HOME, never yours; leaves nothing running and nothing but the embedding
model behind; ends with status 1 and the reason when anything is not as it should be.
"""

from app.demo.tour import run

__all__ = ["run"]
