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


def _cl100k(digits: str, letters: str = r"\p{L}", breaks: str = r"[\r\n]*", tail: str = TAIL) -> str:
    other = rf" ?[^\s{letters}\p{{N}}]+{breaks}"
    return rf"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[{letters}]+|{digits}|{other}{tail}"


def _tekken(digits: str, contraction: str) -> str:
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    before = r"[^\r\n\p{L}\p{N}]?"
    words = f"{before}{upper}*{lower}+{contraction}|{before}{upper}+{lower}*{contraction}"
    return rf"{words}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{TAIL}"


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
PUNCTUATION = r"[\p{P}\$\+<=>\^~\|]+"
JAIS2_SPACES = "".join(rf"|\s{{{2**i}}}(?!\S)" for i in range(9, 1, -1)) + r"|\s{1,2}(?!\S)|\s{1}"
# DeepSeek-LLM lists the letters of Latin, Greek, Cyrillic and other scripts with case.
CASED_RANGES = (
    "41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376 377 37b-37d 37f 386 388-38a 38c "
    "38e-3a1 3a3-3f5 3f7-481 48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b "
    "1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 "
    "1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 "
    "2115 2119-211d 2124 2126 2128 212a-212d 212f-2134 2139 213c-213f 2145-2149 214e 2183 2184 2c00-2c7b "
    "2c7e-2ce4 2ceb-2cee 2cf2 2cf3 a640-a66d a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06 "
    "fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df "
    "1e900-1e943"
)
CASED = "".join("-".join(chr(int(end, 16)) for end in ends.split("-")) for ends in CASED_RANGES.split())
EAST_ASIAN = "[一-龥ࠀ-一가-퟿]+"
DEEPSEEK_V3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    + TAIL
)

# By the name of one pre-tokenizer per expression: the expressions of the models' tokenizer.json, or,
# where that is not published, llama.cpp's.
EXPRESSIONS = {
    "default": [PUNCTUATION, GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
    "llama-bpe": [_cl100k(r"\p{N}{1,3}")],
    "qwen2": [_cl100k(r"\p{N}")],
    "qwen35": [_cl100k(r"\p{N}", letters=r"\p{L}\p{M}")],
    "seed-coder": [_cl100k(r"\p{N}", breaks="").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{N}\r\n]")],
    "minicpm5": [r"\p{N}{1,3}", _cl100k(r"\p{N}+")],
    "laguna": [r"[^\n]+|[\n]+", _cl100k(r"\p{N}")],
    "jais-2": [_cl100k(r"\p{N}{1,3}", tail=r"|\s*[\r\n]+" + JAIS2_SPACES)],
    "tekken": [_tekken(r"\p{N}", "")],
    "gpt-4o": [_tekken(r"\p{N}{1,3}", CONTRACTION + "?")],
    "bloom": [r" ?[^(\s|[.,!?…。，、।۔،])]+"],
    "viking": [r" ?[^(\s|.,!?…。，、।۔،)]+", r"\p{N}"],
    "falcon": [PUNCTUATION.replace("|", "|`"), GPT2, "[0-9][0-9][0-9]"],
    "deepseek-llm": [
        r"[\r\n]",
        rf"\s?[{CASED}]+",
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+$",
        EAST_ASIAN,
        r"\p{N}+",
    ],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", EAST_ASIAN, r"\p{N}"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_V3],
}

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
    return PreTokenizers([*map(_split, EXPRESSIONS[pre]), _raw_bytes()])


BYTE_LEVEL_PRES = ["gpt-2", "smollm", *EXPRESSIONS]
NFC_PRES = {"qwen2", "qwen35"}
IGNORE_MERGES_PRES = {"llama-bpe", "minicpm5", "tekken"}


def byte_level(pre: str, vocabulary_size: int = 4000) -> Reference:
    """A byte-level BPE tokenizer with control and user-defined tokens."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre in IGNORE_MERGES_PRES))
    if pre in NFC_PRES:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    # "</s>" would become an ordinary token, which tern, as llama.cpp, takes for the end of a reply.
    texts = [text.replace("</s>", "") for text in mixed_texts(3000, seed=1)]
    tokenizer.train_from_iterator(SENTENCES * 3 + texts, trainer)
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


def uncut_byte_level(vocabulary_size: int = 4000) -> Reference:
    """Byte-level BPE whose merges were learnt on whole texts, so that they cross all words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _raw_bytes()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES * 3 + mixed_texts(3000, seed=1), trainer)
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    spec = {
        "model": "gpt2",
        "tokens": [*tokens, "<|endoftext|>"],
        "token_type": [NORMAL] * len(tokens) + [CONTROL],
        "merges": [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]],
        "bos_token_id": len(tokens),
        "eos_token_id": len(tokens),
        "add_bos_token": False,
    }
    return Reference("uncut", spec, lambda text: tokenizer.encode(text).ids, tokenizer.decode)


def gemma4(vocabulary_size: int = 4000) -> Reference:
    """Gemma 4's kind: merges of characters, spaces as U+2581, bytes for what has no token."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = _split(r"[^\n]+|\n+")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<|tool_response>", "<turn|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=specials + byte_tokens,
        limit_alphabet=300,
        show_progress=False,
    )
    texts = [text.replace("</s>", "") for text in mixed_texts(3000, seed=1)]
    tokenizer.train_from_iterator(SENTENCES * 3 + texts + ["\n" * n for n in range(2, 6)] * 20, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    # The byte tokens are no special tokens of the finished tokenizer.
    finished = Tokenizer(
        models.BPE(
            vocab=model["vocab"],
            merges=[tuple(pair) for pair in model["merges"]],
            byte_fallback=True,
            fuse_unk=True,
            unk_token="<unk>",
        )
    )
    finished.normalizer, finished.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    finished.decoder = tokenizer.decoder
    tokens = [finished.id_to_token(i) for i in range(finished.get_vocab_size())]
    kinds = {text: CONTROL for text in specials} | {text: BYTE for text in byte_tokens} | {"<unk>": UNKNOWN}
    spec = {
        "model": "gemma4",
        "tokens": tokens,
        "token_type": [kinds.get(text, NORMAL) for text in tokens],
        "merges": [" ".join(pair) for pair in model["merges"]],
        "bos_token_id": tokens.index("<bos>"),
        "eos_token_id": tokens.index("<eos>"),
        "unknown_token_id": tokens.index("<unk>"),
        "add_bos_token": True,
    }
    return Reference("gemma4", spec, lambda text: finished.encode(text).ids, finished.decode)


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
