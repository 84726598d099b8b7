"""The bundled model, compiled, answers as its training meant and as llama.cpp does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import HOME_ASSISTANT
from llama_cpp import Llama
from programs import succeed

ANSWERS = {
    "dim the kitchen lights to 30 percent": '{"action":"set_brightness","device":"lights","room":"kitchen","value":30}',
    "lock the front door": '{"action":"lock","device":"front door"}',
    "timer for ten minutes": '{"action":"set_timer","value":10,"unit":"minutes"}',
    "good morning": '{"action":"none"}',
}
NEAR_TIE = 1e-2
MOST_TOKENS = 48
SENTENCES = [
    json.loads(line)["text"] for line in (HOME_ASSISTANT.parent / "handwritten.jsonl").read_text().splitlines()[::10]
]


def answer(artifact: Path, sentence: str) -> str:
    return succeed("tern", "run", artifact, "--chat", "-p", sentence, "-t", "0", "-n", MOST_TOKENS).text.rstrip("\n")


@pytest.mark.parametrize("sentence", ANSWERS)
def test_examples_of_the_readme(sentence: str, home_assistant: Path) -> None:
    assert answer(home_assistant, sentence) == ANSWERS[sentence]


@pytest.fixture(scope="module")
def llama() -> Llama:
    return Llama(str(HOME_ASSISTANT), n_ctx=512, n_threads=1, logits_all=False, verbose=False)


def greedy_until_near_tie(llama: Llama, sentence: str) -> tuple[str, bool]:
    """llama.cpp's greedy text up to the first step whose two best logits nearly tie; and whether it ended."""
    prompt = f"<|im_start|>user\n{sentence}<|im_end|>\n<|im_start|>assistant\n"
    llama.reset()
    llama.eval(llama.tokenize(prompt.encode(), add_bos=False, special=True))
    tokens: list[int] = []
    while len(tokens) < MOST_TOKENS:
        logits = np.ctypeslib.as_array(llama._ctx.get_logits(), shape=(llama.n_vocab(),))
        second, best = np.sort(logits)[-2:]
        if best - second < NEAR_TIE:
            return llama.detokenize(tokens).decode(errors="ignore"), False
        token = int(np.argmax(logits))
        if token == llama.token_eos():
            return llama.detokenize(tokens).decode(), True
        tokens.append(token)
        llama.eval([token])
    return llama.detokenize(tokens).decode(errors="ignore"), True


def test_greedy_text_is_that_of_llama_cpp(home_assistant: Path, llama: Llama) -> None:
    for sentence in SENTENCES:
        expected, complete = greedy_until_near_tie(llama, sentence)
        actual = answer(home_assistant, sentence)
        assert actual == expected if complete else actual.startswith(expected), sentence
