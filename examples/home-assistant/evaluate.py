"""Exact match of the home-assistant model on the generated test and on the sentences written by hand.

    python evaluate.py                                              # PyTorch on the committed GGUF file
    python evaluate.py --gguf build/home-assistant-float/home-assistant.gguf      # the float twin
    python evaluate.py --tern build/bin/tern --artifact home-assistant.tern       # the compiled model
    python evaluate.py --llama-cpp                                  # the same GGUF file in llama-cpp-python

Every engine decodes greedily; an answer counts only if its text equals the expected JSON to the byte. The generated
test has three parts (corpus.py): unseen sentences, held-out phrasings, held-out devices.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

import corpus
from train import ROOT

sys.path.insert(0, str(ROOT / "tools" / "train"))

from bpe import chat_prompt, load_tokenizer
from gguf_llama import read_gguf
from llama import Llama

MAX_ANSWER_TOKENS = 48
BATCH = 100

Answer = Callable[[list[str]], list[str]]


def pytorch_engine(path: Path) -> Answer:
    """The file's weights in PyTorch, with int8 activations if the file asks for them."""
    checkpoint = read_gguf(path)
    state = {name: torch.from_numpy(value) for name, value in checkpoint.state.items()}
    model = Llama.from_state(state, checkpoint.shape, checkpoint.int8_activations)
    text = checkpoint.text
    tokenizer = load_tokenizer(text.tokens, text.merges, text.special_ids)

    def answer(sentences: list[str]) -> list[str]:
        prompts = [encoding.ids for encoding in tokenizer.encode_batch([chat_prompt(text) for text in sentences])]
        answers = [""] * len(sentences)
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            generated = greedy(model, [prompts[index] for index in part], text.end_of_turn)
            for index, ids in zip(part, generated, strict=True):
                answers[index] = tokenizer.decode(ids, skip_special_tokens=False)
        return answers

    return answer


def greedy(model: Llama, prompts: list[list[int]], end: int) -> list[list[int]]:
    """Greedy continuations without the end token. Rows are padded on the right, where a causal network never looks."""
    rows = [list(prompt) for prompt in prompts]
    running = list(range(len(rows)))
    for _ in range(MAX_ANSWER_TOKENS):
        longest = max(len(rows[index]) for index in running)
        tokens = torch.tensor([rows[index] + [end] * (longest - len(rows[index])) for index in running])
        wanted = torch.zeros_like(tokens, dtype=torch.bool)
        wanted[torch.arange(len(running)), torch.tensor([len(rows[index]) - 1 for index in running])] = True
        following = model.logits(model(tokens, wanted)).argmax(-1).tolist()
        for index, token in zip(running, following, strict=True):
            rows[index].append(token)
        running = [index for index in running if rows[index][-1] != end]
        if not running:
            break
    answers = [row[len(prompt) :] for row, prompt in zip(rows, prompts, strict=True)]
    return [answer[:-1] if answer[-1] == end else answer for answer in answers]


def tern_engine(tern: Path, artifact: Path) -> Answer:
    """`tern run` once per sentence: the way a user runs it."""

    def one(sentence: str) -> str:
        command = [str(tern), "run", str(artifact), "--chat", "-p", sentence, "-t", "0", "-n", str(MAX_ANSWER_TOKENS)]
        result = subprocess.run(command, capture_output=True, check=False)
        if result.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit {result.returncode}: {result.stderr.decode(errors='replace').strip()}")
        return result.stdout.decode(errors="replace").rstrip("\n")

    return lambda sentences: [one(sentence) for sentence in sentences]


def llama_cpp_engine(path: Path) -> Answer:
    """The same file in llama-cpp-python (its activations have one scale per 256 values, not per token)."""
    from llama_cpp import Llama as LlamaCpp

    model = LlamaCpp(model_path=str(path), n_ctx=512, n_threads=2, verbose=False)

    def one(sentence: str) -> str:
        prompt = model.tokenize(chat_prompt(sentence).encode(), add_bos=False, special=True)
        output = model.create_completion(prompt, max_tokens=MAX_ANSWER_TOKENS, temperature=0.0)
        return output["choices"][0]["text"]  # type: ignore[index,no-any-return]

    return lambda sentences: [one(sentence) for sentence in sentences]


def evaluate(answer: Answer, count: int, show_errors: bool) -> dict[str, float]:
    """Exact match per part; `generated` is all three generated parts together."""
    parts = {**corpus.test_split(count), "handwritten": corpus.handwritten()}
    right: dict[str, int] = {}
    for name, examples in parts.items():
        answers = answer([example.text for example in examples])
        right[name] = sum(given == example.answer for given, example in zip(answers, examples, strict=True))
        if show_errors:
            for given, example in zip(answers, examples, strict=True):
                if given != example.answer:
                    print(f"[{name}] {example.text}\n    expected {example.answer}\n    answered {given}")
    scores = {name: right[name] / len(examples) for name, examples in parts.items()}
    generated = [name for name in parts if name != "handwritten"]
    total = sum(len(parts[name]) for name in generated)
    scores["generated"] = sum(right[name] for name in generated) / total
    return scores


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description="Exact match of the home-assistant model.")
    parser.add_argument(
        "--gguf", type=Path, default=here / "home-assistant.gguf", help="the model for PyTorch and llama.cpp"
    )
    parser.add_argument("--tern", type=Path, help="the tern program; needs --artifact")
    parser.add_argument("--artifact", type=Path, help="a compiled .tern file; needs --tern")
    parser.add_argument("--llama-cpp", action="store_true", help="run --gguf in llama-cpp-python")
    parser.add_argument("--count", type=int, default=1000, help="size of the generated test")
    parser.add_argument("--errors", action="store_true", help="print every wrong answer")
    parser.add_argument("--json", type=Path, help="write the scores here")
    options = parser.parse_args()
    if (options.tern is None) != (options.artifact is None):
        parser.error("--tern and --artifact go together")
    torch.set_num_threads(2)
    if options.tern is not None:
        name, answer = f"tern, {options.artifact.name}", tern_engine(options.tern, options.artifact)
    elif options.llama_cpp:
        name, answer = f"llama.cpp, {options.gguf.name}", llama_cpp_engine(options.gguf)
    else:
        name, answer = f"PyTorch, {options.gguf.name}", pytorch_engine(options.gguf)
    scores = evaluate(answer, options.count, options.errors)
    print(name)
    for part in ("test", "test-phrasings", "test-devices", "generated", "handwritten"):
        print(f"  {part:15s} {scores[part]:7.1%}")
    if options.json is not None:
        options.json.write_text(json.dumps({"engine": name, "exact_match": scores}, indent=2) + "\n")


if __name__ == "__main__":
    main()
