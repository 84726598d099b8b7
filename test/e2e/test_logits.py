"""Logits against PyTorch on the same weights, and against llama.cpp on the same files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import BuildModel, Compile
from families import LONG_ROPE
from gguf import GGMLQuantizationType as Type
from models import LINEAR_SCALING, LLAMA3_SCALING, ModelSpec
from programs import succeed, tern_logits
from references import llama_cpp_logits, lowest_cosine, random_tokens, relative_error, torch_logits

FLOAT_SPECS = [
    ModelSpec("f32-odd-sizes"),
    ModelSpec(
        "f32-tied-head-size", hidden=64, heads=4, kv_heads=1, head_size=32, feed_forward=100, tied=True, vocabulary=311
    ),
    ModelSpec("f32-llama3-rope", head_size=32, rope=tuple(LLAMA3_SCALING.items())),
    ModelSpec("f32-linear-rope", rope=tuple(LINEAR_SCALING.items())),
    ModelSpec("f32-qwen2", family="qwen2", hidden=96, heads=6, kv_heads=3, feed_forward=145),
    ModelSpec("f32-one-head", hidden=40, heads=1, kv_heads=1, head_size=64, feed_forward=33, layers=1),
    ModelSpec("f32-split", split_tensors=5),
]
STABLELM_12B = (("qk_layernorm", True), ("use_parallel_residual", True))


def long_rope(original: int) -> tuple[tuple[str, object], ...]:
    parameters = LONG_ROPE | {"original_max_position_embeddings": original, "factor": 1024 / original}
    return (("rope_parameters", parameters), ("original_max_position_embeddings", original))


# Every family with all of its features; a window is shorter than the prompt. llama.cpp expects certain tokens of models
# that are called phi3.
FAMILY_SPECS = [
    ModelSpec("bitnet", family="bitnet", hidden=96, tied=True),
    ModelSpec("bitnet-silu", family="bitnet-silu", hidden=96, tied=True),
    ModelSpec("bitnet-b1.58", family="bitnet-b1.58", hidden=96, tied=True),
    ModelSpec("bloom", family="bloom", hidden=96, kv_heads=6, feed_forward=384, tied=True),
    ModelSpec("falcon-7b", family="falcon-7b", hidden=96, kv_heads=1, tied=True),
    ModelSpec("falcon-40b", family="falcon-40b", hidden=96),
    ModelSpec("gpt2", family="gpt2", hidden=96, kv_heads=6, tied=True),
    ModelSpec("gptj", family="gptj", hidden=96, kv_heads=6),
    ModelSpec("phi2", family="phi2", hidden=96, kv_heads=6, feed_forward=384),
    ModelSpec("phi-mini", family="phi3", hidden=96, settings=(("sliding_window", 24),)),
    ModelSpec("phi-mini-long", family="phi3", hidden=96, settings=long_rope(original=32)),
    ModelSpec("phi-mini-short", family="phi3", hidden=96, settings=long_rope(original=1024)),
    ModelSpec("stablelm", family="stablelm", hidden=96),
    ModelSpec("stablelm-12b", family="stablelm", hidden=96, settings=STABLELM_12B),
    ModelSpec("gemma", family="gemma", head_size=24, tied=True),
    ModelSpec("gemma2", family="gemma2", head_size=24, layers=3, tied=True),
    ModelSpec("gemma3", family="gemma3", head_size=24, layers=7, tied=True),
    ModelSpec("mistral", family="mistral"),
    ModelSpec("qwen3", family="qwen3", head_size=24),
    ModelSpec("qwen2moe", family="qwen2moe", hidden=96),
    ModelSpec("qwen3moe", family="qwen3moe", hidden=96, head_size=24),
    ModelSpec("mixtral", family="mixtral", hidden=96, feed_forward=128),
    ModelSpec(
        "one-expert",
        family="mixtral",
        hidden=96,
        feed_forward=128,
        settings=(("num_local_experts", 4), ("num_experts_per_tok", 1)),
    ),
    ModelSpec("smollm3", family="smollm3", hidden=96, layers=5),
    ModelSpec("olmo2", family="olmo2", hidden=96, tied=False),
    ModelSpec("olmo3", family="olmo3", hidden=96, layers=5),
    ModelSpec("granite", family="granite", hidden=96, tied=True),
]
# llama.cpp leaves out the windows of Mistral and Phi-3, knows no GPT-J and no `bitnet-b1.58`, reads no activation of
# `bitnet`.
NOT_IN_LLAMA_CPP = {"bitnet", "bitnet-b1.58", "gptj", "mistral", "phi-mini"}
HALF_SPECS = [
    ModelSpec("f16", matrix_type=Type.F16),
    ModelSpec("bf16-qwen2", family="qwen2", hidden=96, heads=6, kv_heads=3, matrix_type=Type.BF16),
]
BLOCKS = ModelSpec("q8_0", hidden=96, feed_forward=160, head_size=32, matrix_type=Type.Q8_0)
TERNARY = ModelSpec(
    "tq2_0",
    hidden=256,
    feed_forward=512,
    heads=8,
    head_size=64,
    matrix_type=Type.TQ2_0,
    ternary=True,
    other_types=(("token_embd", Type.F16), ("output.weight", Type.Q8_0)),
)
QUANTIZED_SPECS = [
    BLOCKS,
    replace(BLOCKS, name="q4_0", matrix_type=Type.Q4_0),
    replace(BLOCKS, name="q4_0-tied-qwen2", family="qwen2", kv_heads=3, matrix_type=Type.Q4_0, tied=True),
    TERNARY,
    replace(TERNARY, name="tq2_0-tied", tied=True, other_types=()),
    replace(TERNARY, name="tq2_0-bitnet", family="bitnet-silu", heads=4, tied=True),  # one activation scale per token
    replace(TERNARY, name="tq2_0-code-3", codes_of_two=True, other_types=(("token_embd", Type.Q4_0),)),
    ModelSpec(
        "mixed-types",
        hidden=256,
        feed_forward=768,
        head_size=64,
        heads=4,
        vocabulary=601,
        matrix_type=Type.Q4_0,
        other_types=(
            ("token_embd", Type.BF16),
            ("output.weight", Type.F16),
            ("attn_q", Type.Q8_0),
            ("attn_k", Type.F32),
            ("ffn_up", Type.Q8_0),
            ("ffn_down", Type.TQ2_0),
        ),
    ),
]
K_QUANTS = ModelSpec("q4_k", hidden=256, feed_forward=512, heads=8, head_size=64, matrix_type=Type.Q4_K)
QUANTIZED_SPECS += [
    replace(BLOCKS, name="q4_1", matrix_type=Type.Q4_1),
    replace(BLOCKS, name="q5_0", matrix_type=Type.Q5_0, tied=True),
    replace(BLOCKS, name="q5_1", matrix_type=Type.Q5_1),
    replace(BLOCKS, name="iq4_nl", matrix_type=Type.IQ4_NL, tied=True),
    replace(BLOCKS, name="mxfp4", matrix_type=Type.MXFP4),
    K_QUANTS,
    replace(K_QUANTS, name="q2_k", matrix_type=Type.Q2_K, tied=True),
    replace(K_QUANTS, name="q3_k", matrix_type=Type.Q3_K),
    replace(K_QUANTS, name="q5_k", matrix_type=Type.Q5_K, tied=True),
    replace(K_QUANTS, name="q6_k", matrix_type=Type.Q6_K),
    replace(  # as the usual Q4_K_M
        K_QUANTS, name="q4_k-mixed", other_types=(("attn_v", Type.Q6_K), ("ffn_down", Type.Q6_K), ("output", Type.Q6_K))
    ),
    replace(TERNARY, name="tq1_0", matrix_type=Type.TQ1_0),
    replace(TERNARY, name="tq1_0-tied", matrix_type=Type.TQ1_0, tied=True, other_types=()),
]
# All experts in use: a near tie of two experts that falls the other way is no error of the arithmetic.
ALL_EXPERTS = (("num_local_experts", 4), ("num_experts_per_tok", 4))
MIXTRAL = replace(BLOCKS, family="mixtral", settings=ALL_EXPERTS)
QUANTIZED_SPECS += [
    replace(MIXTRAL, name="mixtral-q4_0", matrix_type=Type.Q4_0),
    replace(K_QUANTS, name="mixtral-q4_k", family="mixtral", settings=ALL_EXPERTS),
    replace(TERNARY, name="mixtral-tq2_0", family="mixtral", settings=ALL_EXPERTS),
    replace(BLOCKS, name="qwen3moe-q8_0", family="qwen3moe", settings=ALL_EXPERTS),
]
TOKENS = 70  # more than a batch of 64, no multiple of anything


def name(spec: ModelSpec) -> str:
    return spec.name


@pytest.mark.parametrize("spec", FLOAT_SPECS + FAMILY_SPECS, ids=name)
def test_f32_matches_pytorch(spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    model = build_model(spec)
    tokens = random_tokens(TOKENS, spec.vocabulary)
    actual = tern_logits(compile_gguf(model.path, "--kv=f32"), tokens, tmp_path)
    assert relative_error(actual, torch_logits(model, tokens)) <= 1e-4


@pytest.mark.parametrize("spec", HALF_SPECS, ids=name)
def test_half_matches_pytorch(spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    model = build_model(spec)
    tokens = random_tokens(TOKENS, spec.vocabulary)
    actual = tern_logits(compile_gguf(model.path), tokens, tmp_path)
    assert relative_error(actual, torch_logits(model, tokens)) <= 2e-3


@pytest.mark.parametrize("spec", QUANTIZED_SPECS, ids=name)
def test_quantized_matches_pytorch_on_dequantized_weights(
    spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    model = build_model(spec)
    tokens = random_tokens(TOKENS, spec.vocabulary)
    actual = tern_logits(compile_gguf(model.path), tokens, tmp_path)
    assert lowest_cosine(actual, torch_logits(model, tokens)) >= 0.999


def test_q8_k_matches_pytorch(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    """llama.cpp multiplies activations of this type, but no weights."""
    model = build_model(replace(K_QUANTS, name="q8_k", matrix_type=Type.Q8_K))
    tokens = random_tokens(TOKENS, model.spec.vocabulary)
    actual = tern_logits(compile_gguf(model.path), tokens, tmp_path)
    assert lowest_cosine(actual, torch_logits(model, tokens)) >= 0.999


@pytest.mark.parametrize(
    "spec",
    [s for s in FLOAT_SPECS + FAMILY_SPECS + HALF_SPECS + QUANTIZED_SPECS if s.name not in NOT_IN_LLAMA_CPP],
    ids=name,
)
def test_matches_llama_cpp(spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    model = build_model(spec)
    tokens = random_tokens(TOKENS, spec.vocabulary)
    options = ("--kv=f32",) if spec in FLOAT_SPECS + FAMILY_SPECS else ()
    actual = tern_logits(compile_gguf(model.path, *options), tokens, tmp_path)
    assert lowest_cosine(actual, llama_cpp_logits(model.path, tokens)) >= 0.999


def test_positions_beyond_an_attention_block(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    """Attention is computed in blocks of 512 positions."""
    model = build_model(FLOAT_SPECS[0])
    tokens = random_tokens(1024, model.spec.vocabulary)
    actual = tern_logits(compile_gguf(model.path, "--kv=f32"), tokens, tmp_path)
    assert relative_error(actual, torch_logits(model, tokens)) <= 1e-4


KV_CODE_SPECS = [
    ModelSpec("kv-q8", hidden=256, heads=8, head_size=64),
    ModelSpec("kv-q8-qwen2", family="qwen2", hidden=96, heads=6, kv_heads=3),
    *(spec for spec in FAMILY_SPECS if spec.name in ("gemma2", "gemma3", "bloom", "olmo2")),
]


@pytest.mark.parametrize("spec", KV_CODE_SPECS, ids=name)
def test_a_cache_of_codes_stays_near_pytorch(
    spec: ModelSpec, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    model = build_model(spec)
    tokens = random_tokens(200, spec.vocabulary)
    actual = tern_logits(compile_gguf(model.path, "--kv=q8"), tokens, tmp_path)
    half = tern_logits(compile_gguf(model.path), tokens, tmp_path)
    pytorch, f16 = lowest_cosine(actual, torch_logits(model, tokens)), lowest_cosine(actual, half)
    print(f"{spec.name}: lowest cosine with PyTorch {pytorch:.6f}, with the f16 cache {f16:.6f}")
    assert min(pytorch, f16) >= 0.999
    assert not np.array_equal(actual, half)


@pytest.mark.parametrize("kind", [Type.Q8_0, Type.Q4_0, Type.TQ2_0], ids=lambda kind: kind.name.lower())
def test_outlier_channels(kind: Type, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    """Activation channels 300 times the others; one scale per token would drown everything else."""
    spec = ModelSpec(
        f"outliers-{kind.name.lower()}",
        hidden=1024,
        feed_forward=1024,
        heads=16,
        kv_heads=4,
        head_size=64,
        matrix_type=kind,
        other_types=(("token_embd", Type.F16), ("output.weight", Type.F16)),
        ternary=kind == Type.TQ2_0,
        outliers=True,
        embedding_scale=24,
    )
    model = build_model(spec)
    tokens = random_tokens(32, spec.vocabulary)
    expected = torch_logits(model, tokens)
    ours = lowest_cosine(tern_logits(compile_gguf(model.path), tokens, tmp_path), expected)
    theirs = lowest_cosine(llama_cpp_logits(model.path, tokens), expected)
    assert ours >= 0.999
    # The same rounding in another order moves the last digits either way.
    assert 1 - ours <= 1.05 * (1 - theirs) + 1e-6, f"1 - cosine: tern {1 - ours:.3e}, llama.cpp {1 - theirs:.3e}"


@pytest.mark.parametrize(("policy", "cosine"), [("f16", 0.999999), ("int8", 0.9995)])
def test_quantize_policies_stay_near_the_float_model(
    policy: str, cosine: float, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    model = build_model(replace(BLOCKS, name="quantize", matrix_type=Type.F32))
    tokens = random_tokens(TOKENS, model.spec.vocabulary)
    expected = torch_logits(model, tokens)
    kept = lowest_cosine(tern_logits(compile_gguf(model.path), tokens, tmp_path), expected)
    actual = lowest_cosine(tern_logits(compile_gguf(model.path, f"--quantize={policy}"), tokens, tmp_path), expected)
    assert cosine <= actual < kept


def test_quantize_to_int4_is_about_as_good_as_q4_0(
    build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    """Q4_0 is the same number of bits; its logits here are PyTorch's on the values it stores."""
    model = build_model(replace(BLOCKS, name="quantize", matrix_type=Type.F32))
    stored_as_q4_0 = build_model(replace(BLOCKS, name="quantize", matrix_type=Type.Q4_0))
    tokens = random_tokens(TOKENS, model.spec.vocabulary)
    expected = torch_logits(model, tokens)
    actual = lowest_cosine(tern_logits(compile_gguf(model.path, "--quantize=int4"), tokens, tmp_path), expected)
    q4_0 = lowest_cosine(torch_logits(stored_as_q4_0, tokens), expected)
    assert 1 - actual <= 1.3 * (1 - q4_0), f"1 - cosine: int4 {1 - actual:.4f}, Q4_0 {1 - q4_0:.4f}"


def test_quantize_int4_groups_and_minimums(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    """Groups a quarter of the size come nearer to the float model."""
    model = build_model(replace(K_QUANTS, name="quantize-groups", matrix_type=Type.F32))
    tokens = random_tokens(TOKENS, model.spec.vocabulary)
    expected = torch_logits(model, tokens)

    def error(policy: str, encoding: str) -> float:
        artifact = compile_gguf(model.path, f"--quantize={policy}")
        tensors = json.loads(succeed("tern", "inspect", artifact, "--json").text)["tensors"]
        assert encoding in {tensor["encoding"] for tensor in tensors}
        return 1 - lowest_cosine(tern_logits(artifact, tokens, tmp_path), expected)

    fine, coarse = error("int4:g32:min", "uint4:g32:f16:min"), error("int4:g128:min", "uint4:g128:f16:min")
    assert fine < coarse < 0.1
    assert error("int4:g64", "int4:g64:f16") < 0.1


@pytest.mark.parametrize("encoding", ["ternary", "ternary-b3", "quaternary"])
def test_quantize_to_ternary_keeps_a_ternary_model(
    encoding: str, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    """The same values as the TQ2_0 file of this model, held in F32."""
    model = build_model(replace(TERNARY, name="ternary-in-f32", matrix_type=Type.F32))
    tokens = random_tokens(TOKENS, model.spec.vocabulary)
    policy = f"--quantize=blk.*={encoding}"
    actual = tern_logits(compile_gguf(model.path, policy), tokens, tmp_path)
    assert lowest_cosine(actual, torch_logits(model, tokens)) >= 0.999


def test_quantize_to_f32_is_exact_on_the_dequantized_weights(
    build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    model = build_model(BLOCKS)
    tokens = random_tokens(TOKENS, model.spec.vocabulary)
    actual = tern_logits(compile_gguf(model.path, "--quantize=f32", "--kv=f32"), tokens, tmp_path)
    assert relative_error(actual, torch_logits(model, tokens)) <= 1e-4


def test_quantize_overrides_by_weight_name(build_model: BuildModel, compile_gguf: Compile) -> None:
    model = build_model(replace(BLOCKS, name="quantize", matrix_type=Type.F32))
    artifact = compile_gguf(model.path, "--quantize=int8,output.weight=f16,*.ffn_down.weight=keep")
    tensors = json.loads(succeed("tern", "inspect", artifact, "--json").text)["tensors"]
    encodings = {tensor["name"]: tensor["encoding"] for tensor in tensors}
    assert encodings["output.weight"] == "f16" and encodings["blk.0.ffn_down.weight"] == "f32"
    assert encodings["blk.1.attn_output.weight"].startswith("int8")


def test_logits_are_float32_rows_per_token(small_artifact: Path, tmp_path: Path) -> None:
    logits = tern_logits(small_artifact, [5, 6, 7], tmp_path)
    assert logits.shape == (3, 503) and logits.dtype == np.float32 and np.isfinite(logits).all()
