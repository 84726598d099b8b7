"""Checks of the corpus, the hand-written sentences and the committed model file. Needs gguf, torch, tokenizers."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import gguf
import numpy as np

import corpus
from train import chat_prompt, read_gguf

HERE = Path(__file__).parent
MODEL = HERE / "home-assistant.gguf"
TRAINING_SAMPLE = corpus.generate("train", 20_000, seed=3)
KEYS = ["action", "device", "room", "value", "unit"]
ACTIONS = {*corpus.ACTION_WEIGHTS, "none"}


def test_same_seed_same_sentences() -> None:
    assert corpus.generate("train", 50, seed=9) == corpus.generate("train", 50, seed=9)
    assert corpus.generate("train", 50, seed=9) != corpus.generate("train", 50, seed=10)


def test_training_never_names_a_held_out_device_or_room() -> None:
    found = [example.text for example in TRAINING_SAMPLE if corpus.HELD_OUT_RE.search(example.text.lower())]
    assert not found, found[:3]


def test_training_contains_no_test_sentence() -> None:
    seen = {example.text for example in TRAINING_SAMPLE}
    tests = {example.text for examples in corpus.test_split(2000).values() for example in examples}
    assert not seen & tests


def test_a_tenth_of_training_is_out_of_domain() -> None:
    share = sum(example.answer == corpus.NONE_ANSWER for example in TRAINING_SAMPLE) / len(TRAINING_SAMPLE)
    assert 0.09 < share < 0.13, share


def test_answers_follow_the_schema() -> None:
    for example in [*islice(TRAINING_SAMPLE, 2000), *corpus.handwritten()]:
        action = json.loads(example.answer)
        assert list(action) == [key for key in KEYS if key in action], example
        assert action["action"] in ACTIONS, example
        assert json.dumps(action, separators=(",", ":"), ensure_ascii=False) == example.answer


def test_the_two_hundred_handwritten_sentences_are_never_generated() -> None:
    written = {corpus.plain(example.text) for example in corpus.handwritten()}
    assert len(corpus.handwritten()) == 200
    assert not written & {corpus.plain(example.text) for example in TRAINING_SAMPLE}


def test_model_file_is_small_ternary_and_says_so() -> None:
    assert MODEL.stat().st_size <= 4_000_000
    types = {tensor.name: tensor.tensor_type for tensor in gguf.GGUFReader(str(MODEL)).tensors}
    for name, kind in types.items():
        if name.startswith("blk.") and not name.endswith("norm.weight"):
            assert kind == gguf.GGMLQuantizationType.TQ2_0, name
    assert read_gguf(MODEL).int8_activations


def test_every_linear_weight_has_one_scale_and_three_values() -> None:
    for name, value in read_gguf(MODEL).state.items():
        if "_proj" in name:
            values = np.unique(value)
            assert len(values) == 3 and values[0] == -values[2] and values[1] == 0, name


def test_prompt_is_the_file_s_chat_template() -> None:
    from jinja2 import Template

    template = Template(read_gguf(MODEL).text.chat_template)
    rendered = template.render(messages=[{"role": "user", "content": "lamp on"}], add_generation_prompt=True)
    assert rendered == chat_prompt("lamp on")
