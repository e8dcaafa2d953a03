"""CPU per chunk, against onnxruntime alone on the same batches and against fastembed as it comes."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from rich.progress import Progress

from bench.kb import corpus
from bench.kb.line import Line
from bench.processes import call
from desk.embedded import EmbeddedServer
from desk.kb import embedding, indexing, model

CHUNKS = 256  # one batch of fastembed's default


def measure(server: EmbeddedServer, scale: float, rounds: int, progress: Progress) -> Iterator[Line]:
    """The lines of this row; no database is needed."""
    task = progress.add_task("embedding", total=None)
    chunks = max(indexing.SLICE, round(CHUNKS * scale))
    took, tokens = call(take_turns, chunks, rounds)  # in a process of its own: what others did to this one stays out
    progress.update(task, total=1, completed=1)
    each = {name: [seconds * 1000 / chunks for seconds in values] for name, values in took.items()}
    text = f"CPU of a chunk, {chunks} chunks of {tokens:.0f} tokens on average"
    yield Line("ours_ms", text, "ms", each["ours"], digits=1)
    yield Line("onnxruntime_ms", "the same batches through onnxruntime alone", "ms", each["onnxruntime"], digits=1)
    yield Line("fastembed_ms", "the same texts through fastembed as it comes", "ms", each["fastembed"], digits=1)
    yield Line("tokens_ms", "of ours: counting tokens, which sorts them", "ms", each["counting"])
    for name, text, must, aim in (
        ("onnxruntime", "ours, × onnxruntime alone", 1.1, 1.03),
        ("fastembed", "ours, × fastembed's defaults", 0.6, 0.5),
    ):
        ratios = [ours / theirs for ours, theirs in zip(took["ours"], took[name], strict=True)]
        yield Line(f"over_{name}", text, "×", ratios, must, aim, digits=3)


def take_turns(chunks: int, rounds: int) -> tuple[dict[str, list[float]], float]:
    """CPU seconds of each contender in each round, and the mean number of tokens. All work on the same texts."""
    texts = corpus.texts(chunks)
    parts = [texts[start : start + indexing.SLICE] for start in range(0, chunks, indexing.SLICE)]
    batches = [batch for part in parts for batch in _encoded(part)]
    bare, usual = _bare_session(), _usual()
    embedding.warm_up()
    took: dict[str, list[float]] = {"ours": [], "onnxruntime": [], "fastembed": [], "counting": []}
    for number in range(rounds + 1):
        # Slice by slice in turns, so that whatever slows the machine down for a second slows both.
        ours = alone = 0.0
        place = 0
        for part in parts:
            ours += _cpu(lambda part=part: embedding.embed(part))
            for _ in embedding.batches(embedding.token_counts(part)):
                alone += _cpu(lambda batch=batches[place]: bare.run(None, batch))
                place += 1
        counting = _cpu(lambda: [embedding.token_counts(part) for part in parts])
        theirs = _cpu(lambda: list(usual.embed(texts)))
        if number:  # the first only warms up
            for name, value in zip(took, (ours, alone, theirs, counting), strict=True):
                took[name].append(value)
    return took, float(np.mean(embedding.token_counts(texts)))


def _cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of all threads of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _encoded(texts: Sequence[str]) -> list[dict[str, Any]]:
    """The batches that ours makes of these texts, as the graph takes them."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model.locate() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    made = []
    for batch in embedding.batches(embedding.token_counts(texts)):
        encodings = tokenizer.encode_batch([texts[i] for i in batch])
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        made.append({"input_ids": ids, "attention_mask": mask})
    return made


def _bare_session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model.locate() / "model.onnx"), options)


def _usual() -> Any:
    from fastembed import TextEmbedding

    return TextEmbedding(
        embedding.model_name(), specific_model_path=str(model.locate()), cache_dir=str(model.locate().parent)
    )
