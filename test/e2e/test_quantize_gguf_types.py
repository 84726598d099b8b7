"""--quantize by the names of GGUF types: our blocks against ggml's own decoders, errors and logits against ggml's."""

from __future__ import annotations

import copy
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BuildModel
from ggml import ggml_dequantize, ggml_quantize
from gguf import GGMLQuantizationType as Type
from models import BuiltModel, ModelSpec, gguf_tensors
from programs import BIN, assert_input_error, assert_usage_error, run, succeed, tern_logits
from references import lowest_cosine, random_tokens, torch_logits
from test_quantize import compile_with_report, write_gguf_imatrix

# Name: encoding, and the squared error allowed relative to ggml's without and with importances. ggml's own search for
# Q8_K and MXFP4 knows no importances.
TYPES = {
    "q4_0": ("int4:g32:f16", 0.95, 1.0),
    "q4_1": ("uint4:g32:f16:min", 0.9, 1.0),
    "q5_0": ("int5:g32:f16", 0.95, 1.0),
    "q5_1": ("uint5:g32:f16:min", 0.9, 1.0),
    "q8_0": ("int8:g32:f16", 0.95, 1.0),
    "q8_k": ("int8:g256:f32", 1.0, 1.0),
    "q2_k": ("uint2:g16:u4:min:s256:f16", 0.9, 1.0),
    "q3_k": ("int3:g16:i6:s256:f16", 0.95, 1.0),
    "q4_k": ("uint4:g32:u6:min:s256:f16", 0.96, 1.0),
    "q5_k": ("uint5:g32:u6:min:s256:f16", 0.95, 1.0),
    "q6_k": ("int6:g16:i8:s256:f16", 0.97, 1.0),
    "iq4_nl": ("iq4nl:g32:f16", 0.95, 1.0),
    "mxfp4": ("e2m1:g32:e8m0", 0.97, 1.0),
}
BLOCKS = ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"]  # whose blocks encoding_probe writes by the same search
TERNARY_TYPES = {"tq1_0": "ternary-b3:g256:f16", "tq2_0": "ternary:g256:f16", "q2_0": "quaternary:g64:f16"}
WIDE = ModelSpec("wide-f32", hidden=256, feed_forward=512, heads=8, head_size=64)
AS_PYTORCH = replace(WIDE, name="wide-qwen2", family="qwen2")  # whose files keep PyTorch's order of rows


def probe(action: str, name: str, data: bytes) -> bytes:
    command = [BIN / "encoding_probe", action, name]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def heavy_tails(rows: int, columns: int, seed: int = 5) -> np.ndarray:
    return (np.random.default_rng(seed).standard_t(5, (rows, columns)) * 0.02).astype(np.float32)


def search(encoding: str, values: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Rows of multiples of 256 encoded by --quantize's search and decoded again."""
    size = 256 if ":s256" in encoding or ":g256" in encoding else 32
    pairs = np.stack([values.reshape(-1, size), importance.reshape(-1, size)], 1).astype(np.float32)
    return np.frombuffer(probe("search", encoding, pairs.tobytes()), np.float32).reshape(values.shape)


@pytest.mark.parametrize("name", BLOCKS)
def test_ggml_decodes_our_blocks_as_we_do(name: str) -> None:
    """Values of many magnitudes, zeros, constants and values of one sign among them."""
    kind = Type[name.upper()]
    random = np.random.default_rng(8)
    rows = [random.standard_normal(256) * 10.0**exponent for exponent in range(-9, 4)]
    rows += [np.zeros(256), np.full(256, -1.5), np.full(256, 2.0), np.abs(random.standard_normal(256)) + 3]
    rows += [
        -np.abs(random.standard_normal(256)) - 3,
        np.where(np.arange(256) == 77, 3000, random.standard_normal(256)),
    ]
    rows += [np.repeat(random.standard_normal(16), 16), np.where(np.arange(256) < 128, 0, random.standard_normal(256))]
    values = np.stack(rows).astype(np.float32)
    blocks = probe("encode", name, values.tobytes())
    decoded = ggml_dequantize(blocks, kind, values.size)
    assert probe("decode", name, blocks) == decoded.tobytes()
    # Row for row no worse than ggml, where that is more than the rounding of f16 scales.
    theirs = ggml_dequantize(ggml_quantize(values, kind), kind, values.size).reshape(values.shape)
    ours = decoded.reshape(values.shape)
    for row, value in enumerate(values):
        norm = np.linalg.norm(value.astype(np.float64))
        error, other = (np.linalg.norm(x[row].astype(np.float64) - value) for x in (ours, theirs))
        assert error <= 1.02 * other + 1e-3 * norm, f"row {row}: {error:.4g} against {other:.4g} of {norm:.4g}"


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "imatrix"])
@pytest.mark.parametrize("name", TYPES)
def test_the_squared_error_is_below_that_of_ggml(name: str, weighted: bool) -> None:
    encoding, *bounds = TYPES[name]
    kind = Type[name.upper()]
    values = heavy_tails(64, 1024)
    importance = np.ones(1024, np.float32)
    if weighted:
        importance = np.exp(2 * np.random.default_rng(6).standard_normal(1024)).astype(np.float32)
    repeated = np.broadcast_to(importance, values.shape)

    def error(decoded: np.ndarray) -> float:
        return float((repeated * (decoded.reshape(values.shape).astype(np.float64) - values) ** 2).sum())

    ours = error(search(encoding, values, repeated))
    theirs = error(ggml_dequantize(ggml_quantize(values, kind, importance if weighted else None), kind, values.size))
    print(f"{name} {'imatrix' if weighted else 'plain'}: {ours / theirs:.3f} of ggml's squared error")
    assert ours < bounds[weighted] * theirs


def with_weights(model: BuiltModel, decoded: dict[str, np.ndarray]) -> BuiltModel:
    """The PyTorch model with the matrices named as in the file replaced."""
    changed = copy.deepcopy(model.torch_model)
    with torch.no_grad():
        for _, parameter, target, *_ in gguf_tensors(model.spec, changed):
            if target in decoded:
                parameter.copy_(torch.from_numpy(decoded[target].copy()))
    return replace(model, torch_model=changed)


@pytest.mark.parametrize("name", TYPES)
def test_a_type_by_name_is_encoded_and_computed(name: str, build_model: BuildModel, tmp_path: Path) -> None:
    """Encoding and error in the report; the logits are those of the values that are left."""
    model = build_model(AS_PYTORCH)
    artifact = tmp_path / "m.tern"
    report, _ = compile_with_report(model.path, artifact, f"--quantize={name}", "--kv=f32")
    encoding = TYPES[name][0]
    matrices = {target: values for _, _, target, values, *_ in gguf_tensors(model.spec, model.torch_model)}
    matrices = {target: values for target, values in matrices.items() if values.ndim == 2}
    decoded = {target: search(encoding, values, np.ones_like(values)) for target, values in matrices.items()}
    for target, values in matrices.items():
        assert report[target]["encoding"] == encoding
        expected = np.linalg.norm(decoded[target].astype(np.float64) - values) / np.linalg.norm(values)
        assert report[target]["relative_error"] == pytest.approx(expected, rel=1e-4)
    tokens = random_tokens(48, model.spec.vocabulary)
    expected_logits = torch_logits(with_weights(model, decoded), tokens)
    assert lowest_cosine(tern_logits(artifact, tokens, tmp_path), expected_logits) >= 0.999


@pytest.mark.parametrize("name", TERNARY_TYPES)
def test_ternary_weights_keep_their_values(name: str, build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(replace(WIDE, name="wide-ternary", ternary=True))
    artifact = tmp_path / "m.tern"
    report, result = compile_with_report(model.path, artifact, f"--quantize=blk.*={name}", "--kv=f32")
    for target, entry in report.items():
        if target.startswith("blk."):
            assert entry["encoding"] == TERNARY_TYPES[name]
            assert entry["relative_error"] < 1e-3
    assert "trained ternary" not in result.err
    tokens = random_tokens(48, model.spec.vocabulary)
    assert lowest_cosine(tern_logits(artifact, tokens, tmp_path), torch_logits(model, tokens)) >= 0.999


def test_types_are_given_by_weight_and_weighed(build_model: BuildModel, tmp_path: Path) -> None:
    """As the usual Q4_K_M, with an importance matrix for one weight."""
    model = build_model(WIDE)
    importance = np.exp(2 * np.random.default_rng(7).standard_normal(512)).astype(np.float32)
    write_gguf_imatrix(tmp_path / "i.gguf", {"blk.0.ffn_down.weight": importance})
    policy = "q4_k,*.ffn_down.weight=q6_k,output.weight=q6_k,token_embd.weight=iq4_nl"
    plain, _ = compile_with_report(model.path, tmp_path / "p.tern", f"--quantize={policy}")
    weighed, _ = compile_with_report(
        model.path, tmp_path / "w.tern", f"--quantize={policy}", f"--imatrix={tmp_path / 'i.gguf'}"
    )
    assert plain["blk.0.attn_q.weight"]["encoding"] == TYPES["q4_k"][0]
    assert plain["blk.0.ffn_down.weight"]["encoding"] == plain["output.weight"]["encoding"] == TYPES["q6_k"][0]
    assert plain["token_embd.weight"]["encoding"] == TYPES["iq4_nl"][0]
    changed = {name for name in plain if plain[name]["relative_error"] != weighed[name]["relative_error"]}
    assert changed == {"blk.0.ffn_down.weight"}


def test_rows_that_are_no_multiple_of_the_block_are_refused(build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(ModelSpec("narrow", hidden=96, feed_forward=160, head_size=32))
    result = run("ternc", model.path, "-o", tmp_path / "m.tern", "--quantize=q4_k")
    assert_input_error(result, "rows of 96 elements", "256", "=keep")
    assert not (tmp_path / "m.tern").exists()
    succeed("ternc", model.path, "-o", tmp_path / "m.tern", "--quantize=q5_1")


@pytest.mark.parametrize("word", ["i2_s", "i2_s_64", "q4_2", "Q4_K", "q4_k_m", "iq2_xxs"])
def test_other_names_are_wrong_usage(word: str, build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(WIDE)
    result = run("ternc", model.path, "-o", tmp_path / "m.tern", f"--quantize={word}")
    assert_usage_error(result, f"'{word}'", "q4_k", "tq2_0")
