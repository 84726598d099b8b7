"""Reference tokenizers, trained here with the libraries the models' own tokenizers come from.

Each is built exactly as the family's tokenizer.json says (normalizer, pre-tokenizer, model) and
described as GGUF metadata, without downloads. `Reference.encode` and `decode` are the reference
library's; `Reference.spec` is what a converter would write, with the prefix `tokenizer.ggml.` left
out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sentencepiece
from text_corpus import SENTENCES, mixed_texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, trainers
from tokenizers.pre_tokenizers import ByteLevel, Digits, PreTokenizer, Split
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
QWEN2 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
QWEN35 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + TAIL
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
CONTROL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_start_extra|>"]
USER_TOKENS = ["<tool_call>", "\t\t\t", "<|im_star"]


@dataclass
class Reference:
    name: str
    spec: dict[str, Any]
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]


def _split(pattern: str) -> Split:
    return Split(Regex(pattern), "isolated")


def _raw_bytes() -> ByteLevel:
    return ByteLevel(add_prefix_space=False, use_regex=False)


def _pre_tokenizer(pre: str) -> PreTokenizer:
    gpt2 = ByteLevel(add_prefix_space=False, use_regex=True)
    if pre == "gpt-2":
        return gpt2
    if pre == "smollm":
        return PreTokenizers([Digits(individual_digits=True), gpt2])
    punctuation = r"[\p{P}\$\+<=>\^~\|]+"
    splits = {
        "llama-bpe": [LLAMA3],
        "qwen2": [QWEN2],
        "qwen35": [QWEN35],
        "default": [punctuation, GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
        "falcon": [punctuation.replace("|", "|`"), GPT2, "[0-9][0-9][0-9]"],
    }[pre]
    return PreTokenizers([*map(_split, splits), _raw_bytes()])


BYTE_LEVEL_PRES = ["gpt-2", "llama-bpe", "qwen2", "smollm", "qwen35", "default", "falcon"]
NFC_PRES = {"qwen2", "qwen35"}


def byte_level(pre: str, vocabulary_size: int = 4000) -> Reference:
    """A byte-level BPE tokenizer with control and user-defined tokens."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    if pre in NFC_PRES:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 3 + mixed_texts(3000, seed=1), trainer)
    tokenizer.add_special_tokens(CONTROL_TOKENS)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in USER_TOKENS])

    model = json.loads(tokenizer.to_str())["model"]
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    tokens = [tokenizer.id_to_token(i) for i in range(size)]
    types = [NORMAL] * size
    for text, kind in [(t, CONTROL) for t in CONTROL_TOKENS] + [(t, USER_DEFINED) for t in USER_TOKENS]:
        types[tokens.index(text)] = kind
    spec = {
        "model": "gpt2",
        "pre": pre,
        "tokens": tokens,
        "token_type": types,
        "merges": [" ".join(pair) for pair in model["merges"]],
        "bos_token_id": tokens.index("<|endoftext|>"),
        "eos_token_id": tokens.index("<|im_end|>"),
        "add_bos_token": False,
    }
    return Reference(
        pre,
        spec,
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
        lambda ids: tokenizer.decode(ids, skip_special_tokens=True),
    )


def sentence_piece(
    vocabulary_size: int = 3000,
    byte_fallback: bool = True,
    across_words: bool = False,
    prefix: bool = True,
    user_tokens: Sequence[str] = (),
) -> Reference:
    """A Llama-style SentencePiece BPE model; `across_words` lets pieces hold inner spaces."""
    model = io.BytesIO()
    sentences = [t.replace("\n", " ") for t in SENTENCES * 10 + mixed_texts(3000, seed=2)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocabulary_size,
        byte_fallback=byte_fallback,
        character_coverage=0.98,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=prefix,
        split_by_whitespace=not across_words,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        user_defined_symbols=list(user_tokens),
        max_sentence_length=100000,
        minloglevel=2,
        num_threads=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())

    def kind(i: int) -> int:
        if processor.is_byte(i):
            return BYTE
        if processor.is_unknown(i):
            return UNKNOWN
        if processor.is_control(i):
            return CONTROL
        return USER_DEFINED if processor.id_to_piece(i) in user_tokens else NORMAL

    size = processor.get_piece_size()
    spec = {
        "model": "llama",
        "tokens": [processor.id_to_piece(i) for i in range(size)],
        "scores": [processor.get_score(i) for i in range(size)],
        "token_type": [kind(i) for i in range(size)],
        "bos_token_id": processor.bos_id(),
        "eos_token_id": processor.eos_id(),
        "unknown_token_id": processor.unk_id(),
        "add_bos_token": False,
        "add_space_prefix": prefix,
    }
    return Reference("sentencepiece", spec, processor.encode, processor.decode)
