"""I2_S, the ternary type of bitnet.cpp: files written here by its published layout, in both block sizes.

No installed library reads or writes the type. A tensor is its 2-bit codes, a quarter of each block in each bit pair
(the first in the highest), then 32 bytes that begin with one float32 scale.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from conftest import BuildModel
from models import BuiltModel, ModelSpec, gguf_tensors
from programs import assert_input_error, assert_usage_error, run, succeed, tern_logits, ternc
from references import lowest_cosine, random_tokens, torch_logits

I2_S = 36
TERNARY = ModelSpec("i2s", hidden=256, feed_forward=384, heads=4, head_size=64, ternary=True)
BITNET = replace(TERNARY, name="i2s-bitnet", family="bitnet-silu", tied=True)


def pack(values: np.ndarray, block: int) -> np.ndarray:
    scale = np.abs(values).max()
    codes = np.rint(values / scale).astype(np.int64).reshape(-1, 4, block // 4) + 1
    data = (codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]).astype(np.uint8)
    return np.concatenate([data.reshape(-1), np.frombuffer(struct.pack("<f28x", scale), np.uint8)])


def write(model: BuiltModel, path: Path, block: int) -> bytearray:
    """The model's file again, with the linear weights as I2_S. The writer knows no such type: it writes them as bytes,
    and their shape and type are put into the header afterwards."""
    writer = gguf.GGUFWriter(path, model.spec.traits.name)
    for field in gguf.GGUFReader(model.path).fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            value, kind = field.contents(), field.types[0]
            if kind == gguf.GGUFValueType.ARRAY:
                writer.add_array(field.name, value)
            else:
                writer.add_key_value(field.name, value, kind)
    shapes: dict[str, tuple[int, ...]] = {}
    for _, _, name, values, *_ in gguf_tensors(model.spec, model.torch_model):
        if "blk." in name and values.ndim == 2:
            shapes[name] = values.shape
            writer.add_tensor(name, pack(values, block).view(np.int8).reshape(1, -1))
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = bytearray(path.read_bytes())
    for name, shape in shapes.items():
        entry = struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", 2)
        at = data.index(entry) + len(entry)
        struct.pack_into("<QQI", data, at, shape[1], shape[0], I2_S)
    path.write_bytes(data)
    return data


@pytest.mark.parametrize("block", [128, 64])
@pytest.mark.parametrize("spec", [TERNARY, BITNET], ids=lambda spec: spec.name)
def test_i2s_matches_pytorch(spec: ModelSpec, block: int, build_model: BuildModel, tmp_path: Path) -> None:
    model = build_model(spec)
    path = tmp_path / "i2s.gguf"
    write(model, path, block)
    artifact = ternc(path, tmp_path / "i2s.tern", f"--i2s-block={block}")
    inspected = json.loads(succeed("tern", "inspect", artifact, "--json").text)
    encodings = {entry["encoding"] for entry in inspected["tensors"]}
    assert f"ternary:g{block}:f32" in encodings
    assert ("--i2s-block=64" in inspected["metadata"]["tern.options"]) == (block == 64)
    tokens = random_tokens(64, spec.vocabulary)
    expected = torch_logits(model, tokens)
    assert lowest_cosine(tern_logits(artifact, tokens, tmp_path), expected) >= 0.999
    exact = ternc(path, tmp_path / "f32.tern", f"--i2s-block={block}", "--quantize=f32", "--kv=f32")
    actual = tern_logits(exact, tokens, tmp_path)
    assert np.abs(actual - expected).max() <= 1e-4 * np.abs(expected).max()
    other = ternc(path, tmp_path / "other.tern", f"--i2s-block={192 - block}")
    assert lowest_cosine(tern_logits(other, tokens, tmp_path), expected) < 0.9, "the block size matters"


def test_i2s_blocks_are_refused_where_they_make_no_sense(
    build_model: BuildModel, small_gguf: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.tern"
    assert_usage_error(run("ternc", small_gguf, "-o", out, "--i2s-block=32"), "64")
    assert_input_error(run("ternc", small_gguf, "-o", out, "--i2s-block=64"), "I2_S")
    path = tmp_path / "i2s.gguf"
    model = build_model(TERNARY)
    data = write(model, path, 128)
    weights = {name: values for _, _, name, values, *_ in gguf_tensors(TERNARY, model.torch_model)}
    packed = pack(weights["blk.0.attn_q.weight"], 128).tobytes()
    scale = data.index(packed) + len(packed) - 32
    struct.pack_into("<f", data, scale, float("nan"))
    path.write_bytes(data)
    assert_input_error(run("ternc", path, "-o", out), "blk.0.attn_q.weight", "scale")
    path.write_bytes(data[:-40])
    assert_input_error(run("ternc", path, "-o", out), "i2s.gguf")
    assert not out.exists()
