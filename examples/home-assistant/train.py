"""Trains the bundled home-assistant model and writes a Hugging Face directory and a GGUF file.

    python train.py --out build/home-assistant                 # ternary; GGUF linear weights are exactly TQ2_0
    python train.py --out build/home-assistant-float --float   # the float twin, only to show what ternary costs

Everything is seeded. Linear layers see what a ternary kernel sees: int8 activations per token, weights in
{-1, 0, +1} times one float16 scale per tensor (tools/train/ternary.py). Only answers carry loss.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor

import corpus

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "train"))

from bpe import CHATML, SPECIALS, chat_prompt, save_tokenizer, train_tokenizer
from gguf_llama import TextMetadata, read_gguf, write_gguf
from llama import Llama, LlamaShape

VOCAB = 2048
TOKENIZER_EXAMPLES = 60_000
OBSERVE_EVERY = 500
POOL = 64  # batches sorted by length together, to keep padding small
SEVERAL_TURNS = 0.12  # share of sequences that hold a conversation of two to four turns


@dataclass(frozen=True)
class Schedule:
    """First a lesson in copying names, in float and on simple sentences, then the whole corpus, ternary."""

    lesson: int
    steps: int
    batch: int
    rate: float
    warmup: int = 100

    def rate_at(self, step: int) -> float:
        """Linear warm-up, constant during the lesson, then linear decay to zero."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        return self.rate * min(1.0, (self.steps - step) / (self.steps - self.lesson))


@dataclass(frozen=True)
class Sequence:
    """Token ids, and for each whether it belongs to an answer (carries loss)."""

    tokens: list[int]
    is_answer: list[bool]


def token_id(tokenizer: Tokenizer, token: str) -> int:
    index = tokenizer.token_to_id(token)
    if index is None:
        raise ValueError(f"the tokenizer has no token '{token}'")
    return index


def corpus_tokenizer() -> Tokenizer:
    examples = corpus.generate("train", TOKENIZER_EXAMPLES, seed=0)
    return train_tokenizer((f"{chat_prompt(example.text)}{example.answer}" for example in examples), VOCAB)


def encode(tokenizer: Tokenizer, examples: list[corpus.Example]) -> list[Sequence]:
    """One single-turn sequence per example."""
    end = token_id(tokenizer, "<|im_end|>")
    prompts = tokenizer.encode_batch([chat_prompt(example.text) for example in examples])
    answers = tokenizer.encode_batch([example.answer for example in examples])
    sequences = []
    for prompt, answer in zip(prompts, answers, strict=True):
        tokens = prompt.ids + answer.ids + [end]
        sequences.append(Sequence(tokens, [False] * len(prompt.ids) + [True] * (len(answer.ids) + 1)))
    return sequences


def join_turns(sequences: list[Sequence], newline: list[int]) -> Sequence:
    tokens: list[int] = []
    is_answer: list[bool] = []
    for index, sequence in enumerate(sequences):
        if index:
            tokens += newline
            is_answer += [False] * len(newline)
        tokens += sequence.tokens
        is_answer += sequence.is_answer
    return Sequence(tokens, is_answer)


def pad(sequences: list[Sequence], padding: int) -> tuple[Tensor, Tensor]:
    longest = max(len(sequence.tokens) for sequence in sequences)
    tokens = torch.full((len(sequences), longest), padding)
    is_answer = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        tokens[row, : len(sequence.tokens)] = torch.tensor(sequence.tokens)
        is_answer[row, : len(sequence.tokens)] = torch.tensor(sequence.is_answer)
    return tokens, is_answer


def batches(tokenizer: Tokenizer, batch: int, seed: int, simple: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless training batches; sequences of similar length share a batch."""
    rng = random.Random(seed)
    stream = iter(corpus.Generator("train", seed, simple))
    newline = tokenizer.encode("\n").ids
    while True:
        singles = encode(tokenizer, [next(stream) for _ in range(POOL * batch)])
        pool: list[Sequence] = []
        while singles:
            turns = min(rng.randint(2, 4) if rng.random() < SEVERAL_TURNS else 1, len(singles))
            pool.append(join_turns([singles.pop() for _ in range(turns)], newline))
        pool.sort(key=lambda sequence: len(sequence.tokens))
        cuts = [pool[start : start + batch] for start in range(0, len(pool) - batch + 1, batch)]
        rng.shuffle(cuts)
        for cut in cuts:
            yield pad(cut, token_id(tokenizer, "<|endoftext|>"))


def answer_logits(model: Llama, tokens: Tensor, is_answer: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets at the positions that predict an answer token."""
    mask = is_answer[:, 1:]
    hidden = model(tokens[:, :-1], wanted=mask)
    return model.logits(hidden), tokens[:, 1:][mask]


@torch.no_grad()
def exact_match(model: Llama, tokenizer: Tokenizer, examples: list[corpus.Example]) -> float:
    """Share of examples whose every answer token is the most likely one (what greedy decoding would write)."""
    sequences = sorted(encode(tokenizer, examples), key=lambda sequence: len(sequence.tokens))
    right = 0
    for start in range(0, len(sequences), 100):
        tokens, is_answer = pad(sequences[start : start + 100], 0)
        predicted = model.logits(model(tokens[:, :-1])).argmax(-1)
        right += int(((predicted == tokens[:, 1:]) | ~is_answer[:, 1:]).all(-1).sum())
    return right / len(examples)


def train(
    model: Llama, tokenizer: Tokenizer, schedule: Schedule, seed: int, ternary: bool, observe: Callable[[], None]
) -> None:
    """The training loop; `observe` is called now and then after the lesson, to write and score what there is."""
    matrices = [
        parameter for name, parameter in model.named_parameters() if parameter.ndim == 2 and "embed" not in name
    ]
    others = [parameter for name, parameter in model.named_parameters() if parameter.ndim != 2 or "embed" in name]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    lesson, whole = (batches(tokenizer, schedule.batch, seed, simple) for simple in (True, False))
    model.set_ternary(False)
    began, running = time.monotonic(), 0.0
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(step)
        if step == schedule.lesson:
            model.set_ternary(ternary)
        tokens, is_answer = next(lesson if step < schedule.lesson else whole)
        logits, targets = answer_logits(model, tokens, is_answer)
        loss = F.cross_entropy(logits, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
        if step % 100 == 99 or step + 1 == schedule.steps:
            elapsed = time.monotonic() - began
            remaining = elapsed / (step + 1) * (schedule.steps - step - 1)
            print(
                f"step {step + 1:5d}/{schedule.steps}  loss {running:.4f}  {elapsed:5.0f} s, {remaining:5.0f} s left",
                flush=True,
            )
        if (step + 1 - schedule.lesson) % OBSERVE_EVERY == 0 and step + 1 < schedule.steps:
            observe()


def report(model: Llama, tokenizer: Tokenizer, count: int) -> dict[str, float]:
    scores = {name: exact_match(model, tokenizer, examples) for name, examples in corpus.test_split(count).items()}
    scores["handwritten"] = exact_match(model, tokenizer, corpus.handwritten())
    return scores


def text_metadata(tokenizer: Tokenizer) -> TextMetadata:
    description = json.loads(tokenizer.to_str())["model"]
    vocabulary = sorted(description["vocab"], key=description["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in description["merges"]]
    ids = [token_id(tokenizer, special) for special in SPECIALS]
    return TextMetadata(vocabulary, merges, ids, end_of_turn=ids[2], padding=ids[0], chat_template=CHATML)


def write_outputs(model: Llama, tokenizer: Tokenizer, out: Path, ternary: bool) -> Path:
    """The Hugging Face directory `out/hf` and the GGUF file; reads the GGUF back and compares every value."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = model.shape
    state = model.export_state()
    config = LlamaConfig(
        vocab_size=shape.vocab, hidden_size=shape.hidden, intermediate_size=shape.ffn, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head_size,
        max_position_embeddings=shape.context, rms_norm_eps=shape.norm_epsilon, rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=token_id(tokenizer, "<|im_end|>"),
        pad_token_id=token_id(tokenizer, "<|endoftext|>"),
    )  # fmt: skip
    reference = LlamaForCausalLM(config)
    missing = reference.load_state_dict(state, strict=False)
    if missing.unexpected_keys or missing.missing_keys not in ([], ["lm_head.weight"]):
        raise ValueError(f"the checkpoint does not fit LlamaForCausalLM: {missing}")
    reference.tie_weights()
    reference.save_pretrained(out / "hf")
    save_tokenizer(tokenizer, out / "hf", shape.context)

    arrays = {name: value.numpy() for name, value in state.items()}
    path = out / "home-assistant.gguf"
    write_gguf(path, arrays, shape, text_metadata(tokenizer), "Tern home assistant", ternary)
    stored = read_gguf(path).state
    different = [name for name in arrays if not (stored[name] == arrays[name]).all()]
    if different or stored.keys() != arrays.keys():
        raise ValueError(f"{path}: read back differently: {different or stored.keys() ^ arrays.keys()}")
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, every tensor reads back bit-exact")
    return path


def keep_freed_memory() -> None:
    """Tells glibc to reuse freed buffers instead of returning them: fresh pages per step cost a quarter of the time."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        libc.mallopt(m_mmap_threshold, 1 << 30)
        libc.mallopt(m_trim_threshold, 1 << 30)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the home-assistant model on CPU.")
    parser.add_argument(
        "--out", type=Path, required=True, help="build folder for hf/, home-assistant.gguf, training.json"
    )
    parser.add_argument("--float", action="store_true", help="train the float twin instead of the ternary model")
    parser.add_argument("--steps", type=int, default=7000, help="all steps")
    parser.add_argument("--lesson", type=int, default=1500, help="the steps among them that only teach copying")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--test-count", type=int, default=1000)
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)

    began = time.monotonic()
    tokenizer = corpus_tokenizer()
    shape = LlamaShape(vocab=VOCAB, layers=options.layers)
    model = Llama(shape, ternary=not options.float, compute=torch.bfloat16)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{'float' if options.float else 'ternary'}: {parameters / 1e6:.2f} M parameters, tokenizer in {time.monotonic() - began:.0f} s"
    )

    def observe() -> dict[str, float]:
        write_outputs(model, tokenizer, options.out, ternary=model.layers[0].self_attn.q_proj.ternary)
        scores = report(model, tokenizer, options.test_count)
        print("exact match: " + ", ".join(f"{name} {score:.1%}" for name, score in scores.items()), flush=True)
        return scores

    schedule = Schedule(options.lesson, options.steps, options.batch, options.rate)
    train(model, tokenizer, schedule, options.seed, not options.float, observe)
    seconds, processor_seconds = time.monotonic() - began, time.process_time()
    model.set_compute(torch.float32)
    with torch.no_grad():
        model.embed_tokens.weight.copy_(model.embed_tokens.weight.to(torch.float16).float())
    scores = observe()
    record = {"ternary": not options.float, "shape": asdict(shape), "parameters": parameters, "training_seconds": round(seconds), "processor_seconds": round(processor_seconds),
              "steps": options.steps, "batch": options.batch, "seed": options.seed, "exact_match": scores}  # fmt: skip
    (options.out / "training.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
