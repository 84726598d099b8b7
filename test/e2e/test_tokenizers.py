"""Tokenizer and chat templates against `tokenizers`, `sentencepiece` and `transformers`.

The bulk goes through tern-text-test-driver (same compiler and runtime libraries, many texts per
process); each family then goes the whole way, GGUF file -> ternc -> tern tokenize. Invalid UTF-8 has
no reference and is checked by round trip.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from chat_templates import RECOGNISED, UNUSABLE, ChatTemplate
from family_chat_templates import FAMILIES
from programs import BIN
from reference_tokenizers import (
    BYTE_LEVEL_PRES,
    CONTROL_TOKENS,
    USER_TOKENS,
    Reference,
    byte_level,
    sentence_piece,
)
from text_corpus import every_code_point, mixed_texts
from transformers.utils.chat_template_utils import render_jinja_template

TEXTS = 4000
SEED = 7

# Reference parts that follow another version of Unicode than 16.0 (which tern and Oniguruma
# follow): the first code points of the texts of every_code_point() in which they differ.
NFC_IS_OLDER = {0x113C0, 0x16100, 0x16D40}  # compositions new in Unicode 16
DIGITS_ARE_NEWER = {0x11DC0, 0x16FC0}  # numbers new in Unicode 17
DIFFERING_TEXTS = {"qwen2": NFC_IS_OLDER, "qwen35": NFC_IS_OLDER, "smollm": DIGITS_ARE_NEWER}

SENTENCE_PIECES: dict[str, dict[str, Any]] = {
    "llama": {},
    "inner spaces": {"across_words": True},
    "no byte fall-back": {"byte_fallback": False},
    "user-defined, no prefix": {"prefix": False, "user_tokens": ("<tool>", "ab", "▁▁")},
}


def _records(payloads: Iterable[bytes]) -> bytes:
    return b"".join(b"%d\n%b" % (len(payload), payload) for payload in payloads)


def _split_records(stream: bytes) -> list[bytes]:
    payloads = []
    position = 0
    while position < len(stream):
        newline = stream.index(b"\n", position)
        end = newline + 1 + int(stream[position:newline])
        payloads.append(stream[newline + 1 : end])
        position = end
    return payloads


def _ids(line: bytes) -> list[int]:
    return [int(word) for word in line.split()]


class Tables:
    """Tokenizer tables made from a specification, used through the test driver."""

    def __init__(self, spec: dict[str, Any], folder: Path) -> None:
        self.path = folder / "tokenizer.bin"
        source = folder / "tokenizer.json"
        # LLVM's JSON reader gets some escaped surrogate pairs wrong: no escapes.
        source.write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
        subprocess.run([BIN / "tern-text-test-driver", "build", source, self.path], check=True)

    def run(self, command: str, payloads: Iterable[bytes], *flags: str) -> list[bytes]:
        result = subprocess.run(
            [BIN / "tern-text-test-driver", command, self.path, *flags],
            input=_records(payloads),
            capture_output=True,
            check=False,
        )
        if result.returncode:
            raise RuntimeError(result.stderr.decode())
        return _split_records(result.stdout)

    def encode(self, texts: Iterable[str | bytes], *flags: str) -> list[list[int]]:
        payloads = [text.encode() if isinstance(text, str) else text for text in texts]
        return [_ids(line) for line in self.run("encode", payloads, *flags)]

    def decode(self, sequences: Iterable[Sequence[int]], *flags: str) -> list[bytes]:
        payloads = [" ".join(map(str, ids)).encode() for ids in sequences]
        return self.run("decode", payloads, *flags)


def assert_same_ids(reference: Reference, texts: Sequence[str], found: Sequence[list[int]]) -> None:
    assert len(found) == len(texts)
    for text, ids in zip(texts, found, strict=True):
        expected = reference.encode(text)
        if ids != expected:
            tokens = reference.spec["tokens"]
            same = next((i for i, pair in enumerate(zip(ids, expected, strict=False)) if pair[0] != pair[1]), 0)
            around = slice(max(0, same - 3), same + 4)
            raise AssertionError(
                f"{reference.name}: {text!r}: tern {[tokens[i] for i in ids[around]]}, "
                f"reference {[tokens[i] for i in expected[around]]}"
            )


@pytest.fixture(scope="module", params=BYTE_LEVEL_PRES)
def byte_level_tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Reference, Tables]:
    reference = byte_level(request.param)
    return reference, Tables(reference.spec, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module", params=SENTENCE_PIECES)
def sentence_piece_tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Reference, Tables]:
    reference = sentence_piece(**SENTENCE_PIECES[request.param])
    return reference, Tables(reference.spec, tmp_path_factory.mktemp("tokenizer"))


def test_byte_level_ids(byte_level_tokenizer: tuple[Reference, Tables]) -> None:
    reference, tables = byte_level_tokenizer
    texts = mixed_texts(TEXTS, SEED)
    assert_same_ids(reference, texts, tables.encode(texts))


def test_byte_level_special_tokens(byte_level_tokenizer: tuple[Reference, Tables]) -> None:
    reference, tables = byte_level_tokenizer
    generator = random.Random(SEED)
    pieces = [*CONTROL_TOKENS, *USER_TOKENS, "a", " b", "\n", "<|im_", "<|", "e\u0301", "start|>", "\t"]
    texts = ["".join(generator.choices(pieces, k=generator.randrange(1, 9))) for _ in range(1000)]
    assert_same_ids(reference, texts, tables.encode(texts))
    control = {reference.spec["tokens"].index(token) for token in CONTROL_TOKENS}
    for ids in tables.encode(texts, "--no-parse-special"):
        assert control.isdisjoint(ids)


def test_byte_level_decoding(byte_level_tokenizer: tuple[Reference, Tables]) -> None:
    reference, tables = byte_level_tokenizer
    size = len(reference.spec["tokens"])
    generator = random.Random(SEED)
    random_ids = [[generator.randrange(size) for _ in range(20)] for _ in range(1000)]
    sequences = tables.encode(mixed_texts(500, SEED)) + random_ids
    for ids, text in zip(sequences, tables.decode(sequences), strict=True):
        assert text.decode() == reference.decode(ids)


def test_byte_level_invalid_bytes_round_trip(byte_level_tokenizer: tuple[Reference, Tables]) -> None:
    reference, tables = byte_level_tokenizer
    generator = random.Random(SEED)
    texts = []
    for valid in mixed_texts(2000, SEED):
        damaged = bytearray(valid.encode())
        for _ in range(generator.randrange(1, 6)):
            damaged.insert(generator.randrange(len(damaged) + 1), generator.randrange(0x80, 0x100))
        texts.append(bytes(damaged))
    stand_ins = _bytes_of_stand_ins()
    normalizes = reference.name in ("qwen2", "qwen35")
    for text, ids in zip(texts, tables.encode(texts), strict=True):
        tokens = [reference.spec["tokens"][i] for i in ids]
        decoded = b"".join(
            token.encode() if token in CONTROL_TOKENS + USER_TOKENS else bytes(stand_ins[c] for c in token)
            for token in tokens
        )
        # Where the model asks for NFC the valid parts change; each stray byte must still be there.
        assert decoded == text or normalizes
        assert len(_stray_bytes(decoded)) == len(_stray_bytes(text))


def _stray_bytes(text: bytes) -> str:
    return "".join(c for c in text.decode("utf-8", "surrogateescape") if "\udc80" <= c <= "\udcff")


def _bytes_of_stand_ins() -> dict[str, int]:
    """The byte that each character of a byte-level token stands for."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


def test_sentence_piece_ids(sentence_piece_tokenizer: tuple[Reference, Tables]) -> None:
    reference, tables = sentence_piece_tokenizer
    texts = [text for text in mixed_texts(TEXTS, SEED) if text]
    if "▁▁" in reference.spec["tokens"][:10]:  # user-defined
        # tern looks for such tokens before it takes U+2581 for a space, sentencepiece after.
        texts = [text for text in texts if "▁" not in text]
    assert_same_ids(reference, texts, tables.encode(texts, "--no-parse-special"))


def test_sentence_piece_decoding(sentence_piece_tokenizer: tuple[Reference, Tables]) -> None:
    reference, tables = sentence_piece_tokenizer
    unknown = reference.spec["unknown_token_id"]
    sequences = [ids for ids in tables.encode(mixed_texts(1000, SEED), "--no-parse-special") if unknown not in ids]
    for ids, text in zip(sequences, tables.decode(sequences, "--drop-space-prefix"), strict=True):
        assert text.decode() == reference.decode(ids)


@pytest.mark.slow
def test_every_code_point(byte_level_tokenizer: tuple[Reference, Tables]) -> None:
    reference, tables = byte_level_tokenizer
    differing = DIFFERING_TEXTS.get(reference.name, set())
    texts = [text for text in every_code_point() if ord(text[1]) not in differing]
    assert_same_ids(reference, texts, tables.encode(texts))


def conversations(with_system: bool) -> list[list[dict[str, str]]]:
    """Short chats with white space, some of it not ASCII, around and inside messages."""
    turns = [
        ["Hi"],
        ["  Hi there \n"],
        ["a", "b ", " c"],
        ["x\u3000", "\u3000y\x1f", "z"],
        ["1", "2", "\n3\u00a0", "4\n\n", "é\u2003", "6", "7<|im_end|>"],
    ]
    chats = [
        [{"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)] for texts in turns
    ]
    if not with_system:
        return chats
    return [[{"role": "system", "content": text}, *chat] for text in ("Be brief.", " s \n\n t\t ") for chat in chats]


def _chat_record(messages: list[dict[str, str]]) -> bytes:
    parts = [(message["role"][0].encode(), message["content"].encode()) for message in messages]
    return b"".join(b"%b%d\n%b" % (role, len(content), content) for role, content in parts)


def _chat_spec(template: ChatTemplate) -> dict[str, Any]:
    return {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": [template.bos, template.eos, "a"],
        "token_type": [3, 3, 1],
        "merges": [],
        "bos_token_id": 0,
        "eos_token_id": 1,
        "chat_template": template.source,
    }


@pytest.mark.parametrize("template", RECOGNISED + FAMILIES, ids=lambda template: template.name)
@pytest.mark.parametrize("reply", [True, False], ids=["asking", "closed"])
def test_chat_template_text(template: ChatTemplate, reply: bool, tmp_path: Path) -> None:
    tables = Tables(_chat_spec(template), tmp_path)
    chats = conversations(with_system=False)
    if template.takes_system:
        chats += conversations(with_system=True)
    found = tables.run("chat", map(_chat_record, chats), *([] if reply else ["--no-reply"]))
    for chat, text in zip(chats, found, strict=True):
        rendered = render_jinja_template(
            [chat],
            chat_template=template.source,
            add_generation_prompt=reply,
            bos_token=template.bos,
            eos_token=template.eos,
        )
        assert text.decode() == rendered[0][0]


@pytest.mark.parametrize("name", [template.name for template in RECOGNISED + FAMILIES if not template.takes_system])
def test_chat_template_without_system_message_refuses_one(name: str, tmp_path: Path) -> None:
    template = next(template for template in RECOGNISED + FAMILIES if template.name == name)
    tables = Tables(_chat_spec(template), tmp_path)
    with pytest.raises(RuntimeError, match="takes no system message"):
        tables.run("chat", [_chat_record(conversations(with_system=True)[0])])


@pytest.mark.parametrize(("name", "source", "reason"), UNUSABLE, ids=[name for name, _, _ in UNUSABLE])
def test_unusable_chat_template_says_why(name: str, source: str, reason: str, tmp_path: Path) -> None:
    tables = Tables(_chat_spec(ChatTemplate(name, "", source)), tmp_path)
    with pytest.raises(RuntimeError, match="pass a raw prompt with -p") as failure:
        tables.run("chat", [_chat_record(conversations(with_system=False)[0])])
    assert reason in str(failure.value)
    assert tables.encode(["a"]) == [[2]]


def test_chat_tokens_match_transformers(tmp_path: Path) -> None:
    """Template and messages as one text: the words at their borders merge as in transformers."""
    reference = byte_level("qwen2")
    template = next(template for template in RECOGNISED if template.name == "chatml")
    tables = Tables(reference.spec | {"chat_template": template.source}, tmp_path)
    chats = [chat for chat in conversations(with_system=True) if not any("<|" in m["content"] for m in chat)]
    chats.append([{"role": "user", "content": "\n\nstarts with breaks"}, {"role": "assistant", "content": "\n"}])
    found = tables.run("chat", map(_chat_record, chats), "--tokens")
    for chat, line in zip(chats, found, strict=True):
        rendered = render_jinja_template(
            [chat], chat_template=template.source, add_generation_prompt=True, bos_token="", eos_token=""
        )
        assert _ids(line) == reference.encode(rendered[0][0])


def write_model(path: Path, spec: dict[str, Any]) -> None:
    """A GGUF file with this tokenizer and the smallest of llama models."""
    width, vocabulary = 32, len(spec["tokens"])
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(width)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(spec["model"])
    if "pre" in spec:
        writer.add_tokenizer_pre(spec["pre"])
    writer.add_token_list(spec["tokens"])
    writer.add_token_types(spec["token_type"])
    if "scores" in spec:
        writer.add_token_scores(spec["scores"])
    if "merges" in spec:
        writer.add_token_merges(spec["merges"])
    for key, value in spec.items():
        if key.endswith("_token_id"):
            writer.add_uint32(f"tokenizer.ggml.{key}", value)
        elif key.startswith("add_"):
            writer.add_bool(f"tokenizer.ggml.{key}", value)
    shapes = {"token_embd": (vocabulary, width), "output_norm": (width,)}
    shapes |= {f"blk.0.{name}": (width,) for name in ("attn_norm", "ffn_norm")}
    matrices = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes |= {f"blk.0.{name}": (width, width) for name in matrices}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.full(shape, 0.01, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


WHOLE_WAY = {
    **{pre: (lambda pre=pre: byte_level(pre)) for pre in ("gpt-2", "llama-bpe", "qwen2", "smollm")},
    "llama": sentence_piece,
}


@pytest.mark.parametrize("name", WHOLE_WAY)
def test_compiled_model_tokenizes_and_detokenizes(name: str, tmp_path: Path) -> None:
    reference = WHOLE_WAY[name]()
    source, artifact = tmp_path / "model.gguf", tmp_path / "model.tern"
    write_model(source, reference.spec)
    subprocess.run([BIN / "ternc", source, "-o", artifact, "--progress=off"], check=True)

    def tern(*arguments: str, text: bytes) -> bytes:
        return subprocess.run([BIN / "tern", *arguments], input=text, stdout=subprocess.PIPE, check=True).stdout

    def tokenize(*flags: str, text: str) -> bytes:
        return tern("tokenize", str(artifact), "--no-parse-special", *flags, text=text.encode())

    lines = [text for text in mixed_texts(2000, SEED) if text and "\n" not in text]
    lines = [line for line in lines if not any(token in line for token in USER_TOKENS)]
    found = [_ids(line) for line in tokenize("--lines", text="\n".join(lines) + "\n").split(b"\n")[:-1]]
    assert_same_ids(reference, lines, found)

    whole = "\n".join(mixed_texts(200, SEED))
    ids = tokenize(text=whole)
    assert _ids(ids) == reference.encode(whole)
    assert tern("detokenize", str(artifact), text=ids).decode() == reference.decode(_ids(ids))
