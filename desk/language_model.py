"""A language model behind an OpenAI-compatible endpoint, where the installation has one (`ATUM_LLM_URL`).

Promises: an answer that is a JSON object, or `LanguageModelFailed` with one line that names no secret; all of it within
`ATUM_LLM_TIMEOUT_SECONDS`, however slowly a server drips, asked once or twice; redirects are not followed. One that
does not answer is left alone for a minute, so that a queue does not wait for it message by message. What the answer
says, the caller checks.
"""

import asyncio
import json
import re
import time
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

import httpx2

from desk.errors import DeskError
from desk.settings import settings

LONGEST_ANSWER_BYTES = 1_000_000
MOST_TOKENS = 1_500
REST_SECONDS = 60.0
_REFUSES_SCHEMA = (400, 422, 501)
_FENCE = re.compile(r"^\s*```(?:json)?\s*(.*?)\s*```\s*$", re.DOTALL)

_rests_until: dict[str, float] = {}


class LanguageModelFailed(DeskError):
    """The language model did not answer, or with something that cannot be used. Whoever asks goes on without it."""


def is_configured() -> bool:
    """Whether there is an endpoint and the name of a model."""
    return bool(settings().llm_url and settings().llm_model)


def name() -> str:
    """The model's name, as the endpoint knows it."""
    return settings().llm_model or ""


def ask(system: str, user: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The model's answer to `user`, an object of the JSON `schema` if the endpoint keeps to it.

    Raises:
        LanguageModelFailed: there is none, it does not answer in time, or not with a JSON object.
    """
    base, until = _base(), _deadline()
    if time.monotonic() < _rests_until.get(base, 0):
        raise LanguageModelFailed(f"{_host(base)} did not answer a moment ago and is left alone.")
    body = {
        "model": name(),
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        "temperature": 0,
        "max_tokens": MOST_TOKENS,
        "stream": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    status, answer = _reach(base, until, "POST", "/chat/completions", body | {"response_format": wanted})
    if status in _REFUSES_SCHEMA:  # an endpoint that knows no schemas; the answer is checked all the same
        status, answer = _reach(base, until, "POST", "/chat/completions", body)
    if status != 200:
        raise LanguageModelFailed(f"{_host(base)} answered {status}.")
    return _content(_host(base), answer)


def probe() -> str:
    """Which endpoint answers, for people.

    Raises:
        LanguageModelFailed: there is none, it does not answer, or does not know the model.
    """
    base = _base()
    status, answer = _reach(base, _deadline(), "GET", "/models")
    if status != 200:
        raise LanguageModelFailed(f"{_host(base)} answered {status} to a question for its models.")
    try:
        known = [str(model["id"]) for model in json.loads(answer)["data"]]
    except (ValueError, KeyError, TypeError):
        raise LanguageModelFailed(f"{_host(base)} answers, but not as an OpenAI-compatible endpoint does.") from None
    if name() not in known:
        shown = ", ".join(known[:5]) or "none"
        raise LanguageModelFailed(f"{_host(base)} has no model {name()!r}. It has: {shown[:200]}.")
    return f"{name()} at {_host(base)}"


def _base() -> str:
    if not settings().llm_url:
        raise LanguageModelFailed("There is no language model: ATUM_LLM_URL is not set.")
    if not settings().llm_model:
        raise LanguageModelFailed("There is no language model: ATUM_LLM_MODEL is not set.")
    return str(settings().llm_url)


def _host(base: str) -> str:
    return urlsplit(base).netloc


def _deadline() -> float:
    return time.monotonic() + settings().llm_timeout_seconds


def _reach(base: str, until: float, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
    """What the endpoint answers before `until`, by the monotonic clock."""
    try:
        status, answer = _run(_within(until - time.monotonic(), method, base + path, body))
    except TimeoutError:
        _rests_until[base] = time.monotonic() + REST_SECONDS
        seconds = settings().llm_timeout_seconds
        raise LanguageModelFailed(f"{_host(base)} did not answer within {seconds:g} seconds.") from None
    except (httpx2.HTTPError, OSError) as error:
        _rests_until[base] = time.monotonic() + REST_SECONDS
        raise LanguageModelFailed(f"{_host(base)} cannot be reached ({type(error).__name__}).") from None
    if status >= 500:
        _rests_until[base] = time.monotonic() + REST_SECONDS
    return status, answer


def _run(asking: Coroutine[Any, Any, tuple[int, bytes]]) -> tuple[int, bytes]:
    """As `asyncio.run`, which would wait at its end for the thread of a look-up, while a name server hangs."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asking)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _within(seconds: float, method: str, url: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
    key = settings().llm_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    async with (
        asyncio.timeout(seconds),
        httpx2.AsyncClient(timeout=None, follow_redirects=False) as client,
        client.stream(method, url, json=body, headers=headers) as answer,
    ):
        received = bytearray()
        async for part in answer.aiter_bytes():
            received += part
            if len(received) > LONGEST_ANSWER_BYTES:
                raise httpx2.DecodingError("too long")
        return answer.status_code, bytes(received)


def _content(host: str, answer: bytes) -> dict[str, Any]:
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise LanguageModelFailed(f"{host} did not answer as an OpenAI-compatible endpoint does.") from None
    if not isinstance(content, str) or not content.strip():
        raise LanguageModelFailed(f"{host} gave an empty answer.")
    fenced = _FENCE.match(content)
    try:
        found = json.loads(fenced[1] if fenced else content)
    except (ValueError, RecursionError):
        raise LanguageModelFailed(f"{host} gave an answer that is no JSON.") from None
    if not isinstance(found, dict):
        raise LanguageModelFailed(f"{host} gave an answer that is no JSON object.")
    return found
