"""Mixtures of experts beyond their logits: what is read, importances, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from conftest import BuildModel, Compile
from gguf import GGMLQuantizationType as Type
from models import ModelSpec, gguf_tensors
from programs import assert_input_error, run, succeed
from test_quantize import compile_with_report, search, write_binary_imatrix, write_gguf_imatrix

MIXTRAL = ModelSpec("experts", family="mixtral", hidden=96, feed_forward=128)
MANY = ModelSpec(
    "many-experts",
    family="qwen3moe",
    hidden=512,
    heads=4,
    head_size=64,
    settings=(("num_local_experts", 64), ("num_experts_per_tok", 2), ("moe_intermediate_size", 256)),
    matrix_type=Type.F16,
)


def test_only_the_experts_in_use_are_read(build_model: BuildModel, compile_gguf: Compile, tmp_path: Path) -> None:
    artifact = compile_gguf(build_model(MANY).path)
    experts = MANY.layers * 64 * 3 * 512 * 256 * 2
    rest = artifact.stat().st_size - experts
    options = ("--prompt=1", "--generate=1", "--runs=1", "--weights=map", f"--json={tmp_path / 'b.json'}")
    succeed("tern", "bench", artifact, *options)
    figures = json.loads((tmp_path / "b.json").read_text())
    assert experts * 2 / 64 < figures["weight_bytes_per_token"] < experts * 2 / 64 + rest
    resident = figures["peak_resident_bytes"]
    print(f"{resident / 1e6:.1f} MB resident, experts {experts / 1e6:.1f} MB, the rest {rest / 1e6:.1f} MB")
    assert resident < experts / 2  # a few rows, and what the system maps around a page


def test_each_expert_has_importances_of_its_own(build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(MIXTRAL)
    weights = {name: values for _, _, name, values, *_ in gguf_tensors(model.spec, model.torch_model)}
    random = np.random.default_rng(3)
    names = [name for name in weights if name.startswith("blk.0.ffn") and "exps" in name]
    assert len(names) == 3
    means = {name: np.exp(2 * random.standard_normal(weights[name].shape[::2])).astype(np.float32) for name in names}
    sums = {name: values.reshape(-1) for name, values in means.items()}
    write_binary_imatrix(tmp_path / "i.dat", sums)
    report, _ = compile_with_report(
        model.path, tmp_path / "dat.tern", "--quantize=int4", f"--imatrix={tmp_path / 'i.dat'}"
    )
    for name in names:
        values = weights[name].astype(np.float32)
        importance = np.broadcast_to(means[name][:, None, :], values.shape)
        decoded = search("int4:g32:f16", values.reshape(-1, 32), importance.reshape(-1, 32)).reshape(values.shape)
        error = np.linalg.norm(decoded - values) / np.linalg.norm(values)
        assert report[name]["relative_error"] == pytest.approx(error, rel=1e-4)
        assert report[name]["elements"] == values.size

    wrong = {names[0]: np.ones(96 * 7, np.float32)}  # 8 experts
    for path, write in ((tmp_path / "w.dat", write_binary_imatrix), (tmp_path / "w.gguf", write_gguf_imatrix)):
        write(path, wrong)
        result = run("ternc", model.path, "-o", tmp_path / "w.tern", "--quantize=int4", f"--imatrix={path}")
        assert_input_error(result, names[0], "672 columns", "rows of")


def with_key(model: Path, path: Path, key: str, value: int, kind: gguf.GGUFValueType) -> Path:
    """The file with one more key, or another value of it."""
    reader = gguf.GGUFReader(model)
    writer = gguf.GGUFWriter(path, "llama")
    for name, stored in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", key):
            continue
        element = stored.types[-1] if stored.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, stored.contents(), stored.types[0], element)
    writer.add_key_value(key, value, kind)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("expert_used_count", 9, "expected an integer from 1 to 8"),
        ("expert_used_count", 0, "expected an integer from 1 to 8"),
        ("expert_count", 2000, "expected an integer from 0 to 1024"),
        ("expert_count", 7, "has shape [8, 96], expected [7, 96]"),
        ("expert_gating_func", 2, "is 2, expected 1 (softmax)"),
        ("expert_group_count", 4, "groups of experts, which are not supported"),
    ],
)
def test_mixtures_that_are_not_understood_are_refused(
    key: str, value: int, message: str, build_model: BuildModel, tmp_path: Path
) -> None:
    kind = gguf.GGUFValueType.UINT32
    changed = with_key(build_model(MIXTRAL).path, tmp_path / "m.gguf", f"llama.{key}", value, kind)
    assert_input_error(run("ternc", changed, "-o", tmp_path / "m.tern"), "m.gguf", message)
    assert not (tmp_path / "m.tern").exists()


def test_experts_of_odd_sizes_are_refused(build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(replace(MIXTRAL, name="odd-experts", feed_forward=100))
    result = run("ternc", model.path, "-o", tmp_path / "m.tern")
    assert_input_error(result, "experts of 100 rows are not supported: expected a multiple of 32")
