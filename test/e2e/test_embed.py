"""Hidden states: what the final norm gives, of each token and pooled, without the logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BuildModel, Compile
from gguf import GGMLQuantizationType as Type
from models import BuiltModel, ModelSpec
from programs import assert_input_error, assert_usage_error, run, succeed
from references import lowest_cosine, random_tokens, relative_error

FLOAT = ModelSpec("embed-f32")
SPECS = [
    FLOAT,
    ModelSpec("embed-gemma3", family="gemma3", head_size=24, layers=6, tied=True),
    ModelSpec("embed-bloom", family="bloom", hidden=96, kv_heads=6, feed_forward=384, tied=True),
    ModelSpec("embed-mixtral", family="mixtral", hidden=96, feed_forward=128),
]
BLOCKS = ModelSpec("embed-q8_0", hidden=96, feed_forward=160, head_size=32, matrix_type=Type.Q8_0)


def states(artifact: Path, tokens: list[int], folder: Path, *options: object) -> np.ndarray:
    out = folder / "hidden.npy"
    succeed("tern", "embed", artifact, "--tokens", ",".join(map(str, tokens)), "-o", out, *options)
    return np.load(out)


def torch_states(model: BuiltModel, tokens: list[int]) -> np.ndarray:
    with torch.no_grad():
        return model.torch_model.base_model(torch.tensor([tokens])).last_hidden_state[0].numpy()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_hidden_states_match_pytorch(
    spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    model = build_model(spec)
    tokens = random_tokens(70, spec.vocabulary)
    artifact = compile_gguf(model.path, "--kv=f32")
    expected = torch_states(model, tokens)
    every = states(artifact, tokens, tmp_path, "--pooling=none")
    assert every.dtype == np.float32 and every.shape == expected.shape
    assert relative_error(every, expected) <= 1e-4
    assert np.array_equal(states(artifact, tokens, tmp_path, "--pooling=last"), every[-1:])
    mean = states(artifact, tokens, tmp_path)
    assert relative_error(mean, expected.mean(0, keepdims=True)) <= 1e-4
    unit = states(artifact, tokens, tmp_path, "--normalize", "--threads=1")
    assert np.allclose(unit, mean / np.linalg.norm(mean), rtol=1e-5)


def test_hidden_states_before_a_quantized_head(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    """The head reads codes of what here comes out as floats."""
    model = build_model(BLOCKS)
    tokens = random_tokens(70, BLOCKS.vocabulary)
    every = states(compile_gguf(model.path), tokens, tmp_path, "--pooling=none")
    assert lowest_cosine(every, torch_states(model, tokens)) >= 0.999


def test_texts(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    """Several are embedded one after the other, each as if it were alone."""
    artifact = compile_gguf(build_model(FLOAT).path)
    texts = ["one two three", "four", "one two three"]
    options = [option for text in texts for option in ("-p", text)]
    succeed("tern", "embed", artifact, *options, "-o", tmp_path / "all.npy")
    rows = np.load(tmp_path / "all.npy")
    assert rows.shape == (3, FLOAT.hidden)
    for row, text in zip(rows, texts, strict=True):
        ids = succeed("tern", "tokenize", artifact, stdin=text.encode()).text.split()
        assert np.array_equal(states(artifact, [int(token) for token in ids], tmp_path)[0], row)
    assert np.array_equal(rows[0], rows[2]) and not np.array_equal(rows[0], rows[1])


def test_what_cannot_be_embedded(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    artifact = compile_gguf(build_model(FLOAT).path)
    out = ("-o", tmp_path / "e.npy")
    assert_usage_error(run("tern", "embed", artifact, *out))
    assert_usage_error(run("tern", "embed", artifact, "-p", "a", "--tokens", "1", *out))
    assert_usage_error(run("tern", "embed", artifact, "-p", "a", "--pooling=max", *out))
    assert_usage_error(run("tern", "embed", artifact, "-p", "a"))
    assert_input_error(run("tern", "embed", artifact, "-p", "", *out), "no tokens")
    assert_input_error(run("tern", "embed", artifact, "--tokens", "", *out), "tokens")
    assert_input_error(run("tern", "embed", artifact, "--tokens", "1,503", *out), "503")
    assert_input_error(run("tern", "embed", artifact, "--tokens", "1,2,3", "--context=2", *out), "--context")
    assert not (tmp_path / "e.npy").exists()
