"""--calibration: the figures against PyTorch's activations, what they are good for, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BuildModel, Compile
from gguf import GGMLQuantizationType as Type
from models import BuiltModel, ModelSpec, gguf_tensors
from programs import BIN, assert_input_error, assert_usage_error, run, succeed, tern_logits
from references import torch_logits
from text_corpus import SENTENCES

CHUNK = 512
TEXT = "The lamp in the hall is on, <|endoftext|> and 12 doors are shut.\n" + "\n".join(SENTENCES * 2)
HELD_OUT = "\n".join(reversed(SENTENCES))

LLAMA = ModelSpec("calibrated", hidden=96, feed_forward=160, head_size=32, gain_spread=1.2, embedding_scale=24)
UNEVEN = replace(LLAMA, name="calibrated-uneven", hidden=256, feed_forward=512, heads=8)
OUTLIERS = replace(UNEVEN, name="calibrated-outliers", outliers=True)
MIXTRAL = ModelSpec("calibrated-mixtral", family="mixtral", hidden=96, feed_forward=128)
SHARED_EXPERT = (("shared_expert_intermediate_size", 96),)
SPECS = [
    LLAMA,
    replace(LLAMA, name="calibrated-bos", add_bos=True),
    replace(LLAMA, name="calibrated-tied", tied=True, context=300),
    replace(LLAMA, name="calibrated-q8_0", matrix_type=Type.Q8_0),
    ModelSpec("calibrated-gpt2", family="gpt2", hidden=96, feed_forward=160, kv_heads=6, tied=True),
    ModelSpec("calibrated-falcon", family="falcon-40b", hidden=96, feed_forward=160),
    ModelSpec(
        "calibrated-gemma2",
        family="gemma2",
        hidden=96,
        feed_forward=160,
        head_size=32,
        layers=3,
        tied=True,
        settings=(("query_pre_attn_scalar", 32),),
    ),
    MIXTRAL,
    ModelSpec("calibrated-qwen3moe", family="qwen3moe", hidden=96, head_size=32),
    ModelSpec("calibrated-qwen2moe", family="qwen2moe", hidden=96, settings=SHARED_EXPERT),
]


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "text.txt"
    path.write_text(TEXT)
    return path


def chunks_of(artifact: Path, spec: ModelSpec, text: str) -> list[list[int]]:
    """Whole chunks of the text's tokens; a begin token takes the place of each one's first."""
    command = ["tokenize", artifact, "--no-parse-special"]
    tokens = [int(token) for token in succeed("tern", *command, stdin=text.encode()).text.split()]
    size = min(CHUNK, spec.context)
    chunks = [tokens[at : at + size] for at in range(0, len(tokens) // size * size, size)]
    if spec.add_bos:
        chunks = [[tokens[0], *chunk[1:]] for chunk in chunks]
    return chunks


# ---- the figures -------------------------------------------------------------------------------------


class Squares:
    """What forward hooks see: by GGUF name the squares of a weight's inputs, for each expert."""

    def __init__(self) -> None:
        self.sums: dict[str, np.ndarray] = {}
        self.rows: dict[str, np.ndarray] = {}

    def add(self, name: str, inputs: torch.Tensor, expert: int = 0, experts: int = 1) -> None:
        rows = inputs.detach().double().reshape(-1, inputs.shape[-1]).numpy()
        self.sums.setdefault(name, np.zeros((experts, rows.shape[1])))[expert] += (rows**2).sum(0)
        self.rows.setdefault(name, np.zeros(experts))[expert] += len(rows)

    def means(self, name: str) -> np.ndarray:
        """An expert without rows has the mean of all others everywhere."""
        seen = self.rows[name] > 0
        means = self.sums[name] / np.maximum(self.rows[name], 1)[:, None]
        means[~seen] = means[seen].mean()
        return means


def squares_by_pytorch(model: BuiltModel, chunks: list[list[int]]) -> Squares:
    squares = Squares()
    names = {name: target for name, _, target, *_ in gguf_tensors(model.spec, model.torch_model)}
    if model.spec.tied:
        names["lm_head.weight"] = "token_embd.weight"

    def of_matrix(name: str) -> Callable[..., None]:
        return lambda _module, inputs: squares.add(names[f"{name}.weight"], inputs[0])

    def of_experts(name: str) -> Callable[..., None]:
        def add(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            hidden, chosen = inputs[0], inputs[1]
            count = module.num_experts
            for expert in range(count):
                rows = hidden[(chosen == expert).any(-1)]
                gate, up = torch.nn.functional.linear(rows, module.gate_up_proj[expert]).chunk(2, dim=-1)
                squares.add(names[f"{name}.gate_proj"], rows, expert, count)
                squares.add(names[f"{name}.up_proj"], rows, expert, count)
                squares.add(names[f"{name}.down_proj"], module.act_fn(gate) * up, expert, count)

        return add

    handles = []
    for name, module in model.torch_model.named_modules():
        if hasattr(module, "gate_up_proj") and isinstance(module.gate_up_proj, torch.nn.Parameter):
            handles.append(module.register_forward_pre_hook(of_experts(name)))
        elif getattr(module, "weight", torch.zeros(0)).ndim == 2 and not isinstance(module, torch.nn.Embedding):
            handles.append(module.register_forward_pre_hook(of_matrix(name)))
    for chunk in chunks:
        torch_logits(model, chunk)
    for handle in handles:
        handle.remove()
    return squares


def gathered(model: Path, text: Path, names: list[str]) -> dict[str, np.ndarray]:
    data = subprocess.run([BIN / "calibration_probe", model, text, *names], stdout=subprocess.PIPE, check=True).stdout
    figures = {}
    for name in names:
        count = int(np.frombuffer(data[:4], np.uint32)[0])
        figures[name] = np.frombuffer(data[4 : 4 + 4 * count], np.float32)
        data = data[4 + 4 * count :]
    assert not data
    return figures


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_figures_are_those_of_pytorch(
    spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, text_file: Path
) -> None:
    model = build_model(spec)
    chunks = chunks_of(compile_gguf(model.path), spec, TEXT)
    assert len(chunks) >= 2
    expected = squares_by_pytorch(model, chunks)
    matrices = {
        name for _, _, name, values, *_ in gguf_tensors(spec, model.torch_model)
        if values.ndim >= 2 and (spec.tied or name != "token_embd.weight") and "position" not in name
    }  # fmt: skip
    assert matrices <= expected.sums.keys()
    # Of a matrix for query, key and value together, the importer makes three.
    parts = {name: name.replace("attn_qkv", "attn_k") for name in matrices}
    figures = gathered(model.path, text_file, sorted(parts.values()))
    # Weights that are not floats in the file are rounded to f16.
    tolerance = 1e-5 if spec.matrix_type == Type.F32 else 3e-3
    worst = 0.0
    for name in sorted(matrices):
        means = expected.means(name)
        actual = figures[parts[name]].reshape(means.shape)
        error = np.abs(actual - means) / (means + 1e-6 * means.mean())
        worst = max(worst, float(error.max()))
        assert error.max() < tolerance, f"{name}: {error.max():.2g} from PyTorch's figures"
    print(f"{spec.name}: {len(matrices)} weights, largest relative difference {worst:.1e}")


def test_an_expert_without_rows_counts_all_columns_alike(build_model: BuildModel, tmp_path: Path) -> None:
    settings = (("num_local_experts", 128), ("num_experts_per_tok", 2))
    model = build_model(replace(MIXTRAL, name="calibrated-unused", settings=settings))
    text = tmp_path / "text.txt"
    text.write_text(SENTENCES[0] * 20)
    result = succeed("ternc", model.path, "-o", tmp_path / "m.tern", "--quantize=int4", f"--calibration={text}")
    (note,) = [line for line in result.err.splitlines() if "experts" in line]
    of, unused = [int(word) for word in note.split() if word.isdigit()][:2]
    assert 0 < unused < of and of % 128 == 0
    name = "blk.0.ffn_down_exps.weight"
    figures = gathered(model.path, text, [name])[name].reshape(128, -1)
    flat = (figures == figures[:, :1]).all(1)
    assert 0 < flat.sum() < 128
    assert figures[flat] == pytest.approx(figures[~flat].mean(), rel=1e-5)


# ---- what they are good for --------------------------------------------------------------------------


def held_out_error(artifact: Path, model: BuiltModel, tokens: list[int], folder: Path) -> float:
    """KL divergence from the float model's next-token probabilities, mean over positions."""

    def log_softmax(logits: np.ndarray) -> np.ndarray:
        x = logits.astype(np.float64)
        x -= x.max(1, keepdims=True)
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    p = log_softmax(torch_logits(model, tokens))
    q = log_softmax(tern_logits(artifact, tokens, folder))
    return float((np.exp(p) * (p - q)).sum(1).mean())


@pytest.mark.parametrize("spec", [UNEVEN, OUTLIERS], ids=lambda spec: spec.name)
@pytest.mark.parametrize("policy", ["int4", "q4_k", "bits:4"])
def test_a_held_out_text_is_nearer_to_the_float_model(
    policy: str, spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, text_file: Path, tmp_path: Path
) -> None:
    model = build_model(spec)
    command = ["tokenize", compile_gguf(model.path), "--no-parse-special"]
    tokens = [int(token) for token in succeed("tern", *command, stdin=HELD_OUT.encode()).text.split()][:400]
    plain, calibrated = tmp_path / "plain.tern", tmp_path / "calibrated.tern"
    succeed("ternc", model.path, "-o", plain, f"--quantize={policy}")
    succeed("ternc", model.path, "-o", calibrated, f"--quantize={policy}", f"--calibration={text_file}")
    without = held_out_error(plain, model, tokens, tmp_path)
    with_it = held_out_error(calibrated, model, tokens, tmp_path)
    print(f"{spec.name} {policy}: KL divergence {with_it:.5f} with, {without:.5f} without")
    assert with_it < 0.95 * without


# ---- the artifact ------------------------------------------------------------------------------------


def test_the_same_bytes_for_any_number_of_threads_and_any_cache(
    build_model: BuildModel, text_file: Path, tmp_path: Path
) -> None:
    model = build_model(MIXTRAL).path
    options = ["--quantize=int4", f"--calibration={text_file}"]
    empty = {"TERN_CACHE_DIR": str(tmp_path / "cache")}
    succeed("ternc", model, "-o", tmp_path / "one.tern", *options, "-j1")
    succeed("ternc", model, "-o", tmp_path / "two.tern", *options, "-j2")
    succeed("ternc", model, "-o", tmp_path / "cold.tern", *options, environment=empty)
    succeed("ternc", model, "-o", tmp_path / "plain.tern", "--quantize=int4")
    one, two, cold, plain = ((tmp_path / f"{name}.tern").read_bytes() for name in ("one", "two", "cold", "plain"))
    assert one == two == cold != plain


def test_the_report_and_the_artifact_tell(build_model: BuildModel, text_file: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "out" / "m.tern"
    artifact.parent.mkdir()
    options = ["--quantize=int4", f"--calibration={text_file}"]
    result = succeed("ternc", build_model(LLAMA).path, "-o", artifact, *options, "--json", "--timing")
    report = json.loads(result.text)
    figures = report["calibration"]
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert figures["chunk_tokens"] == CHUNK and figures["chunks"] >= 2
    assert figures["tokens"] == figures["chunks"] * CHUNK
    assert figures["text_sha256"] == digest and figures["weights"] == 15
    assert report["stage_seconds"]["calibrate"] > 0
    lines = result.err.splitlines()
    assert (
        f"calibration: {figures['tokens']} tokens in {figures['chunks']} chunks of 512, figures of 15 weights" in lines
    )
    assert any(line.startswith("calibrate ") for line in lines)
    metadata = json.loads(succeed("tern", "inspect", artifact, "--json").text)["metadata"]
    assert metadata["tern.calibration_digest"] == digest
    assert metadata["tern.calibration_tokens"] == str(figures["tokens"])
    assert "--calibration" in metadata["tern.options"]
    assert [path.name for path in artifact.parent.iterdir()] == ["m.tern"]


def test_a_short_text_is_one_chunk(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    model = build_model(LLAMA)
    text = tmp_path / "text.txt"
    text.write_text(SENTENCES[0] * 5)
    tokens = succeed("tern", "tokenize", compile_gguf(model.path), stdin=text.read_bytes()).text.split()
    assert 128 <= len(tokens) < CHUNK
    options = ["--quantize=int4", f"--calibration={text}"]
    result = succeed("ternc", model.path, "-o", tmp_path / "m.tern", *options)
    assert f"calibration: {len(tokens)} tokens in 1 chunk of {len(tokens)}," in result.err


def test_progress_shows_on_a_terminal(build_model: BuildModel, text_file: Path, tmp_path: Path) -> None:
    keyboard, terminal = os.openpty()
    try:
        command = [BIN / "ternc", build_model(LLAMA).path, "-o", tmp_path / "m.tern", "--quantize=int4"]
        subprocess.run([*command, f"--calibration={text_file}"], stderr=terminal, check=True)
        shown = os.read(keyboard, 65536).decode()
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert "calibration: running the text" in shown and "tokens" in shown


# ---- refused -----------------------------------------------------------------------------------------


def test_texts_that_are_none_are_refused(build_model: BuildModel, tmp_path: Path) -> None:
    model, output = build_model(LLAMA).path, tmp_path / "out" / "m.tern"
    output.parent.mkdir()
    text = tmp_path / "text.txt"

    def refused(*fragments: str, path: Path = text) -> None:
        result = run("ternc", model, "-o", output, "--quantize=int4", f"--calibration={path}")
        assert_input_error(result, *fragments)
        assert not list(output.parent.iterdir())

    refused("absent.txt", "No such file", path=tmp_path / "absent.txt")
    refused(str(tmp_path), "not a regular file", path=tmp_path)
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    refused("pipe", "not a regular file", path=tmp_path / "pipe")
    for empty in ("", " \n\t\n"):
        text.write_text(empty)
        refused("text.txt", "is empty")
    text.write_bytes("Zürich ".encode() * 100 + b"\xff\xfe" + TEXT.encode())
    refused("text.txt", "byte 800 is not UTF-8")
    text.write_text("Too short. " * 3)
    refused("text.txt", " tokens, too few", "at least 128")
    text.write_bytes(TEXT.encode())
    result = run("ternc", model, "-o", text, "--quantize=int4", f"--calibration={text}")
    assert_input_error(result, "text.txt", "the text of --calibration itself")
    assert text.read_bytes() == TEXT.encode()


def test_models_and_policies_without_use_for_it_are_refused(
    build_model: BuildModel, text_file: Path, tmp_path: Path
) -> None:
    model, output = build_model(LLAMA).path, tmp_path / "out" / "m.tern"
    output.parent.mkdir()
    option = f"--calibration={text_file}"

    def refused(source: Path, policy: str, *fragments: str) -> None:
        assert_input_error(run("ternc", source, "-o", output, f"--quantize={policy}", option), *fragments)
        assert not list(output.parent.iterdir())

    refused(model, "f16", "weighs nothing", "f16")
    refused(model, "*.attn_v.weight=bf16", "weighs nothing")
    refused(build_model(UNEVEN).path, "ternary,*=f16", "weighs nothing")
    refused(build_model(UNEVEN).path, "token_embd.weight=int4", "weighs nothing")
    refused(model, "absent*=int4", "absent*", "decides no weight")
    refused(build_model(replace(MIXTRAL, name="calibrated-none", tokenizer=False, chat_template=None)).path, "int4",
            "needs the model's tokenizer", "tokenizer.ggml.model", "--imatrix")  # fmt: skip
    module = tmp_path / "m.mlir"
    succeed("ternc", model, "--emit=tern-ir", "-o", module)
    refused(module, "int4", "text form")


def test_wrong_usage(small_gguf: Path, text_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.tern"
    option = f"--calibration={text_file}"
    command = ["ternc", small_gguf, "-o", output]
    assert_usage_error(run(*command, option), "--quantize=int4")  # type: ignore[arg-type]
    assert_usage_error(run(*command, "--quantize=int4", "--calibration="), "a text file")  # type: ignore[arg-type]
    both = [option, "--quantize=int4", "--imatrix=i.gguf"]
    assert_usage_error(run(*command, *both), "--imatrix", "one of the two")  # type: ignore[arg-type]
    assert_usage_error(run("ternc", small_gguf, "--emit=quantized-ir", "--quantize=int4", option), "--emit")
    assert not output.exists()


def test_a_float_model_that_does_not_fit_leaves_nothing(
    build_model: BuildModel, text_file: Path, tmp_path: Path
) -> None:
    model, folder = build_model(UNEVEN).path, tmp_path / "out"
    folder.mkdir()
    limit = 2_000_000  # of a model of 5 MB
    result = run(
        "ternc",
        model,
        "-o",
        folder / "m.tern",
        "--quantize=int4",
        f"--calibration={text_file}",
        preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert_input_error(result, "m.tern", "cannot write", "--calibration")
    assert not list(folder.iterdir())
    absent = tmp_path / "absent" / "m.tern"
    options = ["--quantize=int4", f"--calibration={text_file}"]
    assert_input_error(run("ternc", model, "-o", absent, *options), "absent", "directory")
