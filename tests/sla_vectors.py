"""The facts of `shared/vectors/sla_sample.json`; none where the file is not there."""

import json
from datetime import datetime
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "shared" / "vectors" / "sla_sample.json"
VECTORS = json.loads(FILE.read_text("utf-8"))["vectors"] if FILE.exists() else []


def instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
