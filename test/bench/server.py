"""Measures a running server of another program: OpenAI's completions interface (llama-server, vLLM, LM Studio, ...), or
Ollama's, which is known by its /api/version.

One request at a time. Speeds are what a client sees: tokens of the prompt until the first piece of text, tokens of the
answer after it; Ollama's are those it reports itself. A server that does not count tokens in a stream (llama-cpp-python's)
is asked the same again without one, and counts there. Prompts differ, so that a server's prompt cache does not answer them.
"""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

WORDS = ("light", "house", "water", "seven", "green", "paper", "river", "stone", "music", "cloud", "table", "night")
TIMEOUT_SECONDS = 600
# Of the time until the last piece of text, the least that may lie between the first and it.
LEAST_SHARE_OF_PIECES = 0.01
# Prompts that are tried before a model counts as one that answers nothing.
MOST_PROMPTS = 5
Clock = Callable[[], float]


class ServerError(Exception):
    """The server cannot be reached, or answers with something else than text."""


class ShortAnswerError(ServerError):
    """The model ends its answer before there is anything to time; to another prompt it may say more."""


def post(url: str, body: dict[str, Any]) -> Iterator[str]:
    """Lines of the answer, as they come."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            for line in answer:
                yield line.decode(errors="replace").strip()
    except urllib.error.HTTPError as error:
        raise ServerError(f"{url}: status {error.code}: {error.read()[:300].decode(errors='replace')}") from error
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"{url}: {error!r}") from error


def is_ollama(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=TIMEOUT_SECONDS) as answer:
            version = json.load(answer)
            return isinstance(version, dict) and "version" in version
    except (urllib.error.HTTPError, ValueError):
        return False
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"{url}: {error!r}") from error


def ask_ollama(url: str, model: str, prompt: str, tokens: int, clock: Clock) -> tuple[float, float]:
    """Tokens/s of prompt and of answer."""
    del clock  # it measures itself
    options = {"num_predict": tokens, "temperature": 0}
    body = {"model": model, "prompt": prompt, "raw": True, "stream": False, "options": options}
    report = json.loads("".join(post(f"{url}/api/generate", body)))
    if "eval_count" not in report:
        raise ServerError(f"{url}: {report.get('error', 'no figures in the answer')}")
    if report["eval_count"] < 2:
        raise ShortAnswerError(f"{url}: fewer than two tokens in the answer")
    for duration in ("prompt_eval_duration", "eval_duration"):
        if report[duration] <= 0:
            raise ServerError(f"{url}: says that {duration} is {report[duration]}")
    return (
        report["prompt_eval_count"] * 1e9 / report["prompt_eval_duration"],
        report["eval_count"] * 1e9 / report["eval_duration"],
    )


def counted_tokens(url: str, body: dict[str, Any]) -> tuple[int, int]:
    """Of prompt and answer, as the answer without a stream says."""
    whole = {key: value for key, value in body.items() if key not in ("stream", "stream_options")}
    report = json.loads("".join(post(f"{url}/v1/completions", whole)))
    if not (usage := report.get("usage")):
        raise ServerError(f"{url}: does not say how many tokens the prompt had, neither in a stream nor without one")
    return usage["prompt_tokens"], usage["completion_tokens"]


def events_of(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Of a stream of server-sent events."""
    for line in lines:
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        event = json.loads(data)
        if error := event.get("error"):
            raise ServerError(f"the server says: {error}")
        yield event


def ask_openai(url: str, model: str, prompt: str, tokens: int, clock: Clock) -> tuple[float, float]:
    """Tokens/s of prompt and of answer."""
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
    body["stream_options"] = {"include_usage": True}
    start = clock()
    times, prompt_tokens, answer_tokens = [], 0, 0
    for event in events_of(post(f"{url}/v1/completions", body)):
        if any(choice.get("text") for choice in event.get("choices", [])):
            times.append(clock())
        if usage := event.get("usage"):
            prompt_tokens, answer_tokens = usage["prompt_tokens"], usage["completion_tokens"]
    if len(times) < 2:
        raise ShortAnswerError(f"{url}: fewer than two pieces of text in the answer")
    if not prompt_tokens:
        prompt_tokens, answer_tokens = counted_tokens(url, body)
    if times[-1] - times[0] < LEAST_SHARE_OF_PIECES * (times[-1] - start):
        raise ServerError(f"{url}: all pieces of the answer came at once: what lies between holds them back")
    return prompt_tokens / (times[0] - start), (answer_tokens - 1) / (times[-1] - times[0])


def measure_once(url: str, ask: Callable[[str], tuple[float, float]], words: int) -> tuple[float, float]:
    """Speeds of one request; a prompt that gets no answer is followed by another."""
    own = random.SystemRandom()  # other prompts in each run of the program
    for attempt in range(MOST_PROMPTS):
        try:
            return ask(" ".join(own.choices(WORDS, k=words)))
        except ShortAnswerError:
            if attempt + 1 == MOST_PROMPTS:
                raise
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
            raise ServerError(f"{url}: an answer of another form than expected: {error!r}") from error
    raise AssertionError("unreachable")


def measure_server(
    url: str, model: str, repetitions: int, words: int = 128, tokens: int = 32, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Speeds of `repetitions` requests behind one of warm-up."""
    url = url.rstrip("/").removesuffix("/v1")
    ask = ask_ollama if is_ollama(url) else ask_openai
    speeds = [
        measure_once(url, lambda prompt: ask(url, model, prompt, tokens, clock), words) for _ in range(repetitions + 1)
    ][1:]
    return {
        "prefill, tokens/s": [prefill for prefill, _ in speeds],
        "decode, tokens/s": [decode for _, decode in speeds],
    }
