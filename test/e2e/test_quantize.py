"""--quantize and --imatrix: scales of least error, the report, and what cannot be encoded."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from conftest import BuildModel
from ggml import ggml_dequantize, ggml_quantize
from gguf import GGMLQuantizationType as Type
from models import BuiltModel, ModelSpec, gguf_tensors
from programs import BIN, Result, assert_input_error, assert_usage_error, run, succeed, tern_logits
from references import random_tokens, torch_logits

FLOAT = ModelSpec("float", hidden=96, feed_forward=160, head_size=32)
TERNARY = ModelSpec("ternary-f32", hidden=256, feed_forward=512, heads=8, head_size=64, ternary=True)

WriteImatrix = Callable[[Path, dict[str, np.ndarray]], None]


def compile_with_report(model: Path, artifact: Path, *options: object) -> tuple[dict[str, dict], Result]:
    """The JSON report's weights by name, and the result."""
    result = succeed("ternc", model, "-o", artifact, "--json", *options)
    return {weight["name"]: weight for weight in json.loads(result.text)["weights"]}, result


def search(encoding: str, values: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Rows [rows, group] encoded and decoded again; the importance is of the same shape."""
    pairs = np.stack([values, importance], 1).astype(np.float32)
    command = [BIN / "encoding_probe", "search", encoding]
    data = subprocess.run(command, input=pairs.tobytes(), stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(data, np.float32).reshape(values.shape)


# ---- scales -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [("int4:g32:f16", Type.Q4_0), ("uint4:g32:f16:min", Type.Q4_1), ("int8:g32:f16", Type.Q8_0)],
)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "imatrix"])
def test_the_error_is_below_that_of_ggml(encoding: str, kind: Type, weighted: bool) -> None:
    """ggml's quantizers of the same size; with an importance matrix they search too."""
    random = np.random.default_rng(5)
    rows, columns = 64, 512
    values = (random.standard_t(5, (rows, columns)) * 0.02).astype(np.float32)
    importance = np.exp(2 * random.standard_normal(columns)).astype(np.float32)
    if not weighted:
        importance[:] = 1
    theirs = ggml_dequantize(ggml_quantize(values, kind, importance if weighted else None), kind, values.size)
    repeated = np.broadcast_to(importance, values.shape)
    ours = search(encoding, values.reshape(-1, 32), repeated.reshape(-1, 32)).reshape(values.shape)

    def error(decoded: np.ndarray) -> float:
        return float((repeated * (decoded.reshape(values.shape).astype(np.float64) - values) ** 2).sum())

    bound = 1.0 if kind == Type.Q8_0 else 0.95
    assert error(ours) < bound * error(theirs), f"{error(ours):.4g} against {error(theirs):.4g}"


def input_squares(model: BuiltModel, tokens: list[int]) -> dict[str, np.ndarray]:
    """What llama-imatrix measures: by GGUF name, sums of the squares of each linear layer's inputs."""
    names = {name: target for name, _, target, *_ in gguf_tensors(model.spec, model.torch_model)}
    sums: dict[str, np.ndarray] = {}

    def hook(target: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], None]:
        def add(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            rows = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
            sums[target] = sums.get(target, 0) + (rows**2).sum(0).numpy()

        return add

    handles = [
        module.register_forward_pre_hook(hook(names[f"{name}.weight"]))
        for name, module in model.torch_model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    torch_logits(model, tokens)
    for handle in handles:
        handle.remove()
    return sums


def write_gguf_imatrix(path: Path, sums: dict[str, np.ndarray], rows: int = 1) -> None:
    writer = gguf.GGUFWriter(path, "")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["text"])
    for name, values in sums.items():
        writer.add_tensor(f"{name}.in_sum2", values.astype(np.float32).reshape(1, -1))
        writer.add_tensor(f"{name}.counts", np.full((1, 1), rows, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_binary_imatrix(path: Path, sums: dict[str, np.ndarray], rows: int = 1) -> None:
    data = struct.pack("<i", len(sums))
    for name, values in sums.items():
        data += struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", rows, values.size)
        data += values.astype("<f4").tobytes()
    path.write_bytes(data + struct.pack("<ii", 1, 4) + b"text")


def test_an_importance_matrix_brings_the_logits_nearer(build_model: BuildModel, tmp_path: Path) -> None:
    """Its two file forms give the same artifact, and the reported error counts every column alike."""
    model = build_model(replace(FLOAT, name="uneven", gain_spread=1.2, embedding_scale=24))
    tokens = random_tokens(64, model.spec.vocabulary)
    sums = input_squares(model, tokens)
    write_gguf_imatrix(tmp_path / "i.gguf", sums, rows=64)
    write_binary_imatrix(tmp_path / "i.dat", sums, rows=64)
    plain, _ = compile_with_report(model.path, tmp_path / "plain.tern", "--quantize=int4")
    weighed = {}
    for form in ("gguf", "dat"):
        options = ["--quantize=int4", f"--imatrix={tmp_path / 'i'}.{form}"]
        weighed, _ = compile_with_report(model.path, tmp_path / f"{form}.tern", *options)
    assert (tmp_path / "gguf.tern").read_bytes() == (tmp_path / "dat.tern").read_bytes()

    expected = torch_logits(model, tokens)
    without = np.linalg.norm(tern_logits(tmp_path / "plain.tern", tokens, tmp_path) - expected)
    with_it = np.linalg.norm(tern_logits(tmp_path / "gguf.tern", tokens, tmp_path) - expected)
    assert with_it < 0.9 * without, f"error of the logits: {with_it:.4f} with, {without:.4f} without"
    name = "blk.0.attn_q.weight"
    assert weighed[name]["relative_error"] > plain[name]["relative_error"] > 0


# ---- the report --------------------------------------------------------------------------------------


def test_the_report_has_encoding_bits_and_error_of_each_weight(build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(FLOAT)
    policy = "int4,*.ffn_down.weight=keep,output.weight=f16"
    report, result = compile_with_report(
        model.path, tmp_path / "m.tern", f"--quantize={policy}", "--target=x86_64-avx2,x86_64-avx512vnni"
    )
    matrices = {target: values for _, _, target, values, *_ in gguf_tensors(model.spec, model.torch_model)}
    matrices = {name: values for name, values in matrices.items() if values.ndim == 2}
    assert report.keys() == matrices.keys()
    lines = result.err.splitlines()
    for name, values in matrices.items():
        entry = report[name]
        kept = "ffn_down" in name
        assert entry["elements"] == values.size and entry["reencoded"] == (not kept)
        if kept:
            assert entry["encoding"] == "f32" and entry["relative_error"] == 0
            continue
        if name == "output.weight":
            decoded, bits = values.astype(np.float16), 16.0
        else:
            rows = values.reshape(-1, 32)
            decoded, bits = search("int4:g32:f16", rows, np.ones_like(rows)).reshape(values.shape), 4.5
        error = np.linalg.norm(decoded.astype(np.float64) - values) / np.linalg.norm(values.astype(np.float64))
        assert entry["relative_error"] == pytest.approx(error, rel=1e-4)
        assert entry["bits_per_weight"] == bits
        (line,) = [line.split() for line in lines if line.startswith(f"{name} ")]
        assert line[1:] == ["f32", entry["encoding"], f"{bits:.2f}", f"{error:.4f}"]
    assert any(line.startswith(f"{len(matrices) - 2} weights re-encoded:") for line in lines)


def test_keeping_the_weights_reports_no_line(build_model: BuildModel, tmp_path: Path) -> None:
    report, result = compile_with_report(build_model(FLOAT).path, tmp_path / "m.tern")
    assert result.err == "" and all(not weight["reencoded"] for weight in report.values())


@pytest.mark.parametrize("policy", ["ternary", "ternary-b3", "quaternary"])
def test_ternary_warns_unless_the_model_is_ternary(policy: str, build_model: BuildModel, tmp_path: Path) -> None:
    trained = build_model(TERNARY)
    options = f"--quantize=blk.*={policy}"
    _, result = compile_with_report(trained.path, tmp_path / "m.tern", options)
    assert "WARNING" not in result.err
    floats = build_model(replace(TERNARY, name="not-ternary", ternary=False))
    report, result = compile_with_report(floats.path, tmp_path / "m.tern", options)
    errors = [weight["relative_error"] for weight in report.values() if weight["reencoded"]]
    assert len(errors) == 14 and 0.2 < min(errors)
    (warning,) = [line for line in result.err.splitlines() if "WARNING" in line]
    assert "14 weights" in warning and "relative error of 0." in warning
    notes = json.loads(result.text)["notes"]
    assert any("not ternary" in note for note in notes)


# ---- refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "policy", "message"),
    [
        (float("nan"), "int4", "not finite"),
        (float("inf"), "int8", "not finite"),
        (float("-inf"), "f16", "not finite"),
        (float("nan"), "ternary", "not finite"),
        (70000.0, "f16", "beyond the range of f16"),
        (1e8, "int8", "beyond the range of int8:g32:f16"),
    ],
)
def test_values_that_have_no_code_are_refused(
    value: float, policy: str, message: str, build_model: BuildModel, tmp_path: Path
) -> None:
    model = build_model(TERNARY)
    data = bytearray(model.path.read_bytes())
    tensor = next(t for t in gguf.GGUFReader(model.path).tensors if t.name == "blk.1.ffn_up.weight")
    struct.pack_into("<f", data, int(tensor.data_offset) + 4 * 100, value)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(data)
    result = run("ternc", damaged, "-o", tmp_path / "m.tern", f"--quantize=blk.*={policy}")
    assert_input_error(result, "blk.1.ffn_up.weight", message)
    assert not (tmp_path / "m.tern").exists()


def test_importance_matrices_that_do_not_fit_are_refused(build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(FLOAT)
    weight = "blk.0.attn_q.weight"
    good = {weight: np.ones(96, np.float32), "blk.0.ffn_down.weight": np.ones(160, np.float32)}

    def refused(path: Path, *fragments: str, policy: str = "int4") -> None:
        result = run("ternc", model.path, "-o", tmp_path / "m.tern", f"--quantize={policy}", f"--imatrix={path}")
        assert_input_error(result, *fragments)
        assert not (tmp_path / "m.tern").exists()

    writers: list[tuple[str, WriteImatrix]] = [("i.gguf", write_gguf_imatrix), ("i.dat", write_binary_imatrix)]
    for name, write in writers:
        path = tmp_path / name
        write(path, good)
        refused(path, "weighs nothing", policy="ternary,*=f16")
        refused(path, "weighs nothing", policy="output.weight=int4")
        write(path, {**good, weight: np.ones(64, np.float32)})
        refused(path, weight, "64 columns", "rows of 96")
        write(path, {**good, weight: np.full(96, -1, np.float32)})
        refused(path, weight, "negative")
        write(path, {**good, weight: np.full(96, np.nan, np.float32)})
        refused(path, weight, "not finite")
        write(path, {})
        refused(path, "without entries")
        write(path, good)
        whole = path.read_bytes()
        for length in range(0, 600, 37):
            path.write_bytes(whole[:length])
            refused(path, name)
    refused(model.path, "general.type", "not an importance matrix")
    refused(tmp_path / "absent.dat", "absent.dat")


def test_an_importance_matrix_without_use_is_wrong_usage(build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(FLOAT)
    write_binary_imatrix(tmp_path / "i.dat", {"blk.0.attn_q.weight": np.ones(96, np.float32)})
    option = f"--imatrix={tmp_path / 'i.dat'}"
    assert_usage_error(run("ternc", model.path, "-o", tmp_path / "m.tern", option), "--quantize")
    assert_usage_error(run("ternc", model.path, "--emit=quantized-ir", "--quantize=int4", option), "--emit")
