"""Every name of tokenizer.ggml.pre that tern knows, and the tokens that end a reply, against llama.cpp.

One vocabulary serves all names: it is trained on uncut text, so that its merges cross every border
that a pre-tokenizer can draw, and any difference in the cutting shows in the ids. (The expressions
themselves are compared with `tokenizers` in test_tokenizers.py, with vocabularies of their own.)
"""

from __future__ import annotations

import json
import random
import subprocess
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from llama_cpp_tokenizer import LlamaCppTokenizer
from programs import BIN
from reference_tokenizers import CONTROL, NORMAL, USER_DEFINED, Reference, gemma4, sentence_piece, uncut_byte_level
from test_tokenizers import Tables, assert_same_ids
from text_corpus import mixed_texts

TEXTS = 1500
SEED = 11

# Names of one expression on a line.
BYTE_LEVEL_NAMES = """
    default
    gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 mellum gigachat a.x-4.0
    smollm starcoder refact command-r codeshell exaone minerva-7b mellum2
    llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 dbrx smaug-bpe glm4 chatglm-bpe
    qwen2 deepseek-r1-qwen megrez kormo hunyuan solar-open grok-2 bailingmoe bailingmoe2 llada-moe stablelm2
    qwen35
    seed-coder
    minicpm5
    laguna
    jais-2
    tekken
    gpt-4o llama4 kanana2 talkie minimax-m2
    bloom poro-chat gpt3-finnish
    viking
    falcon
    deepseek-llm
    deepseek-coder
    deepseek-v3 hunyuan-dense hy_v4 joyai-llm
"""
# llama.cpp's expressions for these know the case of ASCII letters only, and no marks.
CASE_SENSITIVE = {"tekken", "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}


def is_comparable(text: str, name: str) -> bool:
    """Whether llama.cpp can be expected to see the text as tern does.

    It normalizes nothing, follows an older version of Unicode, and in expressions without \\p{...},
    of which the DeepSeek models have some, it takes white space beyond ASCII for a vertical tab.
    """

    def is_simple(c: str) -> bool:
        category = unicodedata.category(c)
        if name in CASE_SENSITIVE and c > "\x7f" and category in ("Lu", "Ll", "Lt", "Mn", "Mc", "Me"):
            return False
        if name.startswith("deepseek") and c > "\x7f" and c.isspace():
            return False
        return category != "Cn"

    return unicodedata.is_normalized("NFC", text) and all(map(is_simple, text))


@pytest.fixture(scope="module")
def uncut() -> dict[str, Any]:
    return uncut_byte_level().spec


def test_an_unknown_name_is_answered_with_the_known(uncut: dict[str, Any], tmp_path: Path) -> None:
    source = tmp_path / "tokenizer.json"
    source.write_text(json.dumps(uncut | {"pre": "no-such"}, ensure_ascii=False), encoding="utf-8")
    result = subprocess.run(
        [BIN / "tern-text-test-driver", "build", source, tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    message, _, names = result.stderr.strip().rpartition("; known are: ")
    assert message.endswith("unknown tokenizer.ggml.pre 'no-such'")
    assert sorted(names.split(", ")) == sorted([*BYTE_LEVEL_NAMES.split(), "gemma4"])


@pytest.mark.parametrize("name", BYTE_LEVEL_NAMES.split())
def test_ids_are_those_of_llama_cpp(name: str, uncut: dict[str, Any], tmp_path: Path) -> None:
    spec = uncut | {"pre": name}
    theirs = LlamaCppTokenizer(spec, tmp_path)
    texts = [text for text in mixed_texts(TEXTS, SEED) if is_comparable(text, name)]
    assert len(texts) > TEXTS // 5
    reference = Reference(name, spec, theirs.encode, lambda ids: "")
    assert_same_ids(reference, texts, Tables(spec, tmp_path).encode(texts))


@pytest.mark.parametrize("key", ["model", "pre"])
def test_gemma4_ids_are_those_of_llama_cpp(key: str, tmp_path: Path) -> None:
    """Either key names the kind."""
    spec = gemma4().spec | ({} if key == "model" else {"model": "gpt2", "pre": "gemma4"})
    theirs = LlamaCppTokenizer(spec, tmp_path)
    texts = [text for text in mixed_texts(2 * TEXTS, SEED) if text]
    reference = Reference(
        "gemma4", spec, lambda text: theirs.encode(text, add_special=True, parse_special=False), lambda ids: ""
    )
    assert_same_ids(reference, texts, Tables(spec, tmp_path).encode(texts, "--no-parse-special"))


def test_gemma4_ids_and_texts_are_those_of_tokenizers(tmp_path: Path) -> None:
    reference = gemma4()
    tables = Tables(reference.spec, tmp_path)
    # Merging spells the unknown token where the text does; decoding leaves it out.
    texts = [text for text in mixed_texts(2 * TEXTS, SEED) if text and "<unk>" not in text]
    found = tables.encode(texts, "--no-bos", "--no-parse-special")
    assert_same_ids(reference, texts, found)
    for ids, text in zip(found, tables.decode(found), strict=True):
        assert text.decode() == reference.decode(ids)


@pytest.mark.parametrize("prefix", [True, False])
def test_sentence_piece_ids_are_those_of_llama_cpp(prefix: bool, tmp_path: Path) -> None:
    """Llama's kind with a space before the text, Gemma's without."""
    spec = sentence_piece(prefix=prefix).spec | {"add_bos_token": True}
    theirs = LlamaCppTokenizer(spec, tmp_path)
    texts = [text for text in mixed_texts(TEXTS, SEED) if text]
    reference = Reference(
        "llama", spec, lambda text: theirs.encode(text, add_special=True, parse_special=False), lambda ids: ""
    )
    assert_same_ids(reference, texts, Tables(spec, tmp_path).encode(texts, "--no-parse-special"))


@pytest.mark.parametrize("bos", [None, False, True])
@pytest.mark.parametrize("eos", [None, False, True])
@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "tekken", "qwen2"])
def test_bos_and_eos_are_added_as_llama_cpp_does(
    pre: str, bos: bool | None, eos: bool | None, uncut: dict[str, Any], tmp_path: Path
) -> None:
    spec = {key: value for key, value in uncut.items() if key != "add_bos_token"} | {"pre": pre}
    spec |= {key: value for key, value in [("add_bos_token", bos), ("add_eos_token", eos)] if value is not None}
    expected = LlamaCppTokenizer(spec, tmp_path).encode("Hello", add_special=True)
    assert Tables(spec, tmp_path).encode(["Hello"]) == [expected]


END_TEXTS = """
    <|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> <|endoftext|> </s> <|eom_id|>
    <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> <turn|> <|tool_response> <｜end▁of▁sentence｜>
    [e~[ <|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD] <|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>
    <|file_sep|> <|im_start|> <|END_OF_TURN_TOKEN|> <s> <pad> <|fim_prefix|> <|eot|> <EOS> hello
"""
# llama.cpp takes the first of these that it meets in a hash table: at most one each is in a vocabulary here.
EXCLUSIVE = [{"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}]
EXCLUSIVE += [{"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}]


@pytest.mark.parametrize("seed", range(20))
def test_replies_end_at_the_tokens_of_llama_cpp(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)
    texts = generator.sample(END_TEXTS.split(), generator.randrange(1, 40))
    for group in EXCLUSIVE:
        present = [text for text in texts if text in group]
        texts = [text for text in texts if text not in present[1:]]
    tokens = ["a", "b", *texts]
    spec: dict[str, Any] = {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": tokens,
        "token_type": [NORMAL, NORMAL, *(generator.choice([CONTROL, USER_DEFINED, NORMAL]) for _ in texts)],
        "merges": ["a b"],
        "bos_token_id": 0,
    }
    spec["tokens"].append("ab")
    spec["token_type"].append(NORMAL)
    for key in ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"):
        if key == "eos" or generator.random() < 0.3:
            spec[f"{key}_token_id"] = generator.randrange(len(tokens))
    tables = Tables(spec, tmp_path)
    ends = subprocess.run([BIN / "tern-text-test-driver", "ends", tables.path], capture_output=True, check=True)
    assert [int(line) for line in ends.stdout.split()] == LlamaCppTokenizer(spec, tmp_path).end_of_generation()
