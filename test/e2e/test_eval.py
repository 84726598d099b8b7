"""tern eval: the protocol against llama.cpp's evaluation of the same file, the comparison against numpy."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import HOME_ASSISTANT, BuildModel, Compile
from models import ModelSpec
from programs import BIN, Result, assert_input_error, assert_usage_error, run, succeed, tern_logits
from text_corpus import SENTENCES

TEXT = "The lamp in the hall is on, <|endoftext|> and 12 doors are shut. " * 12 + "\n".join(SENTENCES)[:3000] + "\n"


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("eval") / "text.txt"
    path.write_bytes(TEXT.encode())
    return path


def evaluate(artifact: Path, text: Path, *options: object) -> dict:
    return json.loads(succeed("tern", "eval", artifact, "--text", text, "--json", *options).text)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    x = logits.astype(np.float64)
    x -= x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def perplexity_by_llama_cpp(path: Path, text: str, context: int) -> tuple[float, float, int]:
    """Perplexity, its standard error and the tokens scored, as llama.cpp's perplexity program has them."""
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=max(256, context), n_threads=1, n_threads_batch=1, logits_all=True, verbose=False)
    try:
        tokens = model.tokenize(text.encode(), add_bos=True, special=False)
        adds_bos = model.metadata.get("tokenizer.ggml.add_bos_token") == "true"
        losses = []
        for start in range(0, len(tokens) // context * context, context):
            chunk = tokens[start : start + context]
            if adds_bos:
                chunk[0] = model.token_bos()
            model.reset()
            model.eval(chunk)
            first = context // 2
            rows = log_softmax(np.array(model.scores[first : context - 1]))
            losses += [-row[token] for row, token in zip(rows, chunk[first + 1 :], strict=True)]
    finally:
        model.close()
    mean = np.mean(losses)
    variance = np.mean(np.square(losses)) - mean**2
    perplexity = float(np.exp(mean))
    return perplexity, float(np.sqrt(variance / (len(losses) - 1))) * perplexity, len(losses)


@pytest.mark.parametrize("context", [64, 101])
@pytest.mark.parametrize("name", ["bundled", "no-bos", "adds-bos"])
def test_perplexity_is_that_of_llama_cpp(
    name: str, context: int, build_model: BuildModel, compile_gguf: Compile, text_file: Path
) -> None:
    gguf = HOME_ASSISTANT
    if name != "bundled":
        gguf = build_model(ModelSpec(f"eval-{name}", add_bos=name == "adds-bos", context=512)).path
    report = evaluate(compile_gguf(gguf), text_file, "--context", context)
    perplexity, error, scored = perplexity_by_llama_cpp(gguf, TEXT, context)
    assert report["tokens"] == scored
    # The bundled model's activations are rounded to eight bits, by other scales in llama.cpp.
    tolerance = 0.02 if name == "bundled" else 0.001
    assert report["perplexity"] == pytest.approx(perplexity, rel=tolerance)
    assert report["standard_error"] == pytest.approx(error, rel=2 * tolerance)


def scored_rows(artifact: Path, tokens: list[int], context: int, folder: Path) -> np.ndarray:
    rows = []
    for start in range(0, len(tokens) // context * context, context):
        logits = tern_logits(artifact, tokens[start : start + context], folder)
        rows.append(logits[context // 2 : context - 1])
    return np.concatenate(rows)


def test_comparison_follows_its_definition(
    small_artifact: Path, build_model: BuildModel, compile_gguf: Compile, text_file: Path, tmp_path: Path
) -> None:
    """KL divergence of another model from saved logits, and how often their most likely tokens agree."""
    other = compile_gguf(build_model(ModelSpec("eval-other", embedding_scale=1.1)).path)
    saved = tmp_path / "logits"
    options = ["--context", 64, "--chunks", 3]
    own = evaluate(small_artifact, text_file, *options, "--save-logits", saved)
    report = evaluate(other, text_file, *options, "--compare-logits", saved)
    ids = succeed("tern", "tokenize", small_artifact, "--no-parse-special", stdin=TEXT.encode()).text.split()
    tokens = [int(token) for token in ids[: 3 * 64]]
    p_logits = scored_rows(small_artifact, tokens, 64, tmp_path)
    q_logits = scored_rows(other, tokens, 64, tmp_path)
    p, q = log_softmax(p_logits), log_softmax(q_logits)
    divergence = (np.exp(p) * (p - q)).sum(1)
    assert saved.stat().st_size == 24 + 4 * 3 * 64 + 4 * p_logits.size
    assert report["saved_perplexity"] == pytest.approx(own["perplexity"])
    assert report["tokens"] == len(divergence) == 3 * 31
    assert 0.001 < divergence.mean() < 10
    assert report["kl_divergence"]["mean"] == pytest.approx(divergence.mean(), rel=1e-6, abs=1e-12)
    assert report["kl_divergence"]["max"] == pytest.approx(divergence.max(), rel=1e-6, abs=1e-12)
    error = divergence.std() / np.sqrt(len(divergence) - 1)
    assert report["kl_divergence"]["standard_error"] == pytest.approx(error, rel=1e-6, abs=1e-12)
    agreement = (p_logits.argmax(1) == q_logits.argmax(1)).mean()
    assert report["top1_agreement"]["mean"] == pytest.approx(agreement) and 0.1 < agreement < 1
    same = evaluate(small_artifact, text_file, *options, "--compare-logits", saved)
    assert same["kl_divergence"]["max"] == 0 and same["top1_agreement"]["mean"] == 1
    text = succeed("tern", "eval", other, "--text", text_file, *options, "--compare-logits", saved)
    for part in ("perplexity", "KL divergence", "top-1 agreement", "+/-"):
        assert part in text.text
    assert text.err == ""


def test_saved_logits_that_do_not_fit_are_refused(small_artifact: Path, text_file: Path, tmp_path: Path) -> None:
    saved = tmp_path / "logits"
    other_text = tmp_path / "other"
    other_text.write_text("Another text, long enough. " * 100)

    def compare(*options: object, text: Path = text_file) -> Result:
        return run("tern", "eval", small_artifact, "--text", text, "--compare-logits", saved, *options)

    options = ["--context", 64, "--chunks", 2]
    assert_input_error(compare(*options), "logits", "No such file")
    evaluate(small_artifact, text_file, *options, "--save-logits", saved)
    intact = saved.read_bytes()
    assert_input_error(compare(*options, text=other_text), "another text")
    assert_input_error(compare("--context", 32, "--chunks", 4), "64", "32")
    saved.write_bytes(intact[:-4])
    assert_input_error(compare(*options), "damaged")
    saved.write_bytes(intact[:-4] + b"\xff\xff\xff\xff")
    assert_input_error(compare(*options), "damaged")
    saved.write_bytes(b"a text of mine" * 50)
    assert_input_error(compare(*options), "--save-logits")
    saved.write_bytes(b"")
    assert_input_error(compare(*options), "--save-logits")


def test_bad_input_and_usage(small_artifact: Path, text_file: Path, tmp_path: Path) -> None:
    command = ["eval", small_artifact, "--text"]
    assert_input_error(run("tern", *command, tmp_path / "none"), "none", "No such file")
    short = tmp_path / "short"
    short.write_text("short")
    assert_input_error(run("tern", *command, short), "short", "--context")
    assert_input_error(run("tern", *command, text_file, "--chunks", 100000), "--chunks")
    assert_input_error(run("tern", *command, text_file, "--context", 1025), "1024")
    output = tmp_path / "none" / "x"
    assert_input_error(run("tern", *command, text_file, "--context", 64, "--save-logits", output), "No such file")
    for options in (["--context", "3"], ["--chunks", "0"], ["--save-logits", "a", "--compare-logits", "b"]):
        assert_usage_error(run("tern", *command, text_file, *options), options[0])
    assert_usage_error(run("tern", *command, text_file, "--save-logits", ""), "--save-logits")


def test_a_model_without_tokenizer_has_no_perplexity(
    build_model: BuildModel, compile_gguf: Compile, text_file: Path
) -> None:
    artifact = compile_gguf(build_model(ModelSpec("no-tokenizer", tokenizer=False, chat_template=None)).path)
    assert_input_error(run("tern", "eval", artifact, "--text", text_file), "tokenizer")


def test_progress_shows_on_a_terminal(small_artifact: Path, text_file: Path) -> None:
    keyboard, terminal = os.openpty()
    try:
        command = [BIN / "tern", "eval", small_artifact, "--text", text_file, "--context", "64", "--chunks", "3"]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, text=True, check=True)
        shown = os.read(keyboard, 4096).decode()
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert "chunk 3 of 3, perplexity" in shown and "+/-" in shown
    assert result.stdout.startswith("perplexity")
