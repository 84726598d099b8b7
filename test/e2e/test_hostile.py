"""Damaged and hostile files: one line on stderr and exit status 1, or no difference; never a crash.

The positions of the damage are random with a seed of 1 unless TERN_TEST_SEED says otherwise; a
failure shows the damage, and the damaged file stays in pytest's temporary folder.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
from conftest import BuildModel, Compile
from models import ModelSpec
from programs import Result, assert_input_error, run, succeed

SEED = int(os.environ.get("TERN_TEST_SEED", "1"))


def generator(purpose: str) -> np.random.Generator:
    return np.random.default_rng([SEED, *purpose.encode()])


def flip_bits(data: bytes, start: int, end: int, count: int, purpose: str) -> Iterator[tuple[str, bytes]]:
    """`count` copies of data with one to three bits flipped between start and end, with a description."""
    random = generator(purpose)
    for _ in range(count):
        damaged = bytearray(data)
        bits = random.integers(start * 8, end * 8, random.integers(1, 4))
        for bit in bits:
            damaged[bit // 8] ^= 1 << (bit % 8)
        yield f"seed {SEED}, flipped bits {bits.tolist()}", bytes(damaged)


def assert_handled(result: Result, damage: str) -> None:
    """Either it worked or it was refused in one line."""
    if result.status != 0:
        assert result.status == 1, f"{damage}: {result}"
        lines = result.err.splitlines()
        assert result.out == b"" and len(lines) == 1 and lines[0].isprintable(), f"{damage}: {result}"


# ---- GGUF -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gguf_bytes(build_model: BuildModel) -> bytes:
    return build_model(ModelSpec("hostile", layers=1, hidden=40, heads=2, feed_forward=33)).path.read_bytes()


@pytest.fixture(scope="module")
def header_end(gguf_bytes: bytes, tmp_path_factory: pytest.TempPathFactory) -> int:
    path = tmp_path_factory.mktemp("header") / "m.gguf"
    path.write_bytes(gguf_bytes)
    return int(gguf.GGUFReader(path).data_offset)


def compile_damaged(data: bytes, folder: Path, *options: str) -> Result:
    """Runs ternc on the bytes; whatever happens there is no output file unless it succeeded."""
    source, output = folder / "damaged.gguf", folder / "out.tern"
    source.write_bytes(data)
    output.unlink(missing_ok=True)
    result = run("ternc", source, "-o", output, *options)
    assert sorted(os.listdir(folder)) == sorted(["damaged.gguf"] + ["out.tern"] * (result.status == 0)), result
    return result


def test_truncated_gguf_is_refused(gguf_bytes: bytes, header_end: int, tmp_path: Path) -> None:
    size = len(gguf_bytes)
    random = generator("truncated gguf")
    cuts = [0, 1, 3, 4, 7, 8, 15, 16, 23, 24, 40, header_end - 1, header_end, header_end + 1, size - 1]
    cuts += random.integers(24, size, 25).tolist()
    for cut in cuts:
        result = compile_damaged(gguf_bytes[:cut], tmp_path)
        assert result.status == 1, f"cut at {cut} of {size}: {result}"
        assert_handled(result, f"cut at {cut} of {size}")


def test_flipped_bits_in_a_gguf_header_are_handled(gguf_bytes: bytes, header_end: int, tmp_path: Path) -> None:
    """--emit=tern-ir stops after the import, which is all that reads the header."""
    source = tmp_path / "damaged.gguf"
    for damage, data in flip_bits(gguf_bytes, 0, 2000, 60, "start of the header"):
        source.write_bytes(data)
        result = run("ternc", source, "--emit=tern-ir", "-o", tmp_path / "ir")
        assert_handled(result, damage)
        assert result.status == 0 or sorted(os.listdir(tmp_path)) == ["damaged.gguf"], f"{damage}: {result}"
        (tmp_path / "ir").unlink(missing_ok=True)
    tensors = gguf_bytes.index(b"token_embd.weight")
    for damage, data in flip_bits(gguf_bytes, tensors - 8, header_end, 60, "tensor table"):
        source.write_bytes(data)
        assert_handled(run("ternc", source, "--emit=tern-ir", "-o", "/dev/null"), damage)


def test_flipped_bits_in_a_gguf_file_are_handled_to_the_end(gguf_bytes: bytes, tmp_path: Path) -> None:
    for damage, data in flip_bits(gguf_bytes, 0, len(gguf_bytes), 12, "whole file"):
        assert_handled(compile_damaged(data, tmp_path), damage)


def test_spliced_gguf_is_handled(gguf_bytes: bytes, header_end: int, tmp_path: Path) -> None:
    random = generator("spliced gguf")
    for _ in range(15):
        at, source = random.integers(0, header_end, 2)
        length = int(random.integers(1, 400))
        data = bytearray(gguf_bytes)
        data[at : at + length] = gguf_bytes[source : source + length]
        assert_handled(compile_damaged(bytes(data), tmp_path), f"seed {SEED}: {length} bytes at {source} over {at}")


def replace_number(data: bytes, key: bytes, value: bytes) -> bytes:
    """Overwrites what follows the key and its 4-byte type."""
    at = data.index(key) + len(key) + 4
    return data[:at] + value + data[at + len(value) :]


def tensor_record(data: bytes, name: bytes) -> int:
    """Where the dimension count of a two-dimensional tensor's record lies."""
    return data.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)


def overwrite(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def hostile_ggufs(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Single lies, each with a word its error must hold."""
    u64, u32 = (lambda value: struct.pack("<Q", value)), (lambda value: struct.pack("<I", value))
    tensor = tensor_record(data, b"blk.0.attn_q.weight")  # u32 dimensions, u64 x 2, u32 type, u64 offset
    yield "'GGML'", b"GGML" + data[4:]
    yield "version", overwrite(data, 4, u32(4))
    yield "tensor", overwrite(data, 8, u64(1 << 60))
    yield "metadata", overwrite(data, 16, u64(1 << 60))
    yield "blk.0.attn_q.weight", overwrite(data, tensor, u32(5))
    yield "blk.0.attn_q.weight", overwrite(data, tensor + 4, u64(1 << 63) + u64(1 << 63))
    yield "blk.0.attn_q.weight", overwrite(data, tensor + 4, u64(0))
    yield "blk.0.attn_q.weight", overwrite(data, tensor + 20, u32(99))
    yield "blk.0.attn_q.weight", overwrite(data, tensor + 24, u64(1 << 62))
    yield "blk.0.attn_q.weight", overwrite(data, tensor + 24, u64(3))
    yield "blk.0.attn_q.weight", data.replace(b"blk.0.attn_k.weight", b"blk.0.attn_q.weight")
    yield "blk.0.attn_k.weight", data.replace(b"blk.0.attn_k.weight", b"blk.0.attn_x.weight")
    yield "architecture", data.replace(b"general.architecture", b"general.architectura")
    yield "embedding_length", replace_number(data, b"llama.embedding_length", u32(0))
    yield "block_count", replace_number(data, b"llama.block_count", u32(0xFFFFFFFF))
    yield "blk.1.", replace_number(data, b"llama.block_count", u32(2))
    yield "head_count", replace_number(data, b"llama.attention.head_count", u32(0))
    yield "epsilon", data.replace(b"layer_norm_rms_epsilon", b"layer_norm_rms_epsilom")


def test_lies_in_a_gguf_are_named(gguf_bytes: bytes, tmp_path: Path) -> None:
    for number, (word, data) in enumerate(hostile_ggufs(gguf_bytes)):
        result = compile_damaged(data, tmp_path)
        assert result.status == 1, f"lie {number} ({word}): {result}"
        assert_input_error(result, "damaged.gguf", word)


def test_an_unknown_architecture_is_answered_with_the_known(gguf_bytes: bytes, tmp_path: Path) -> None:
    at = gguf_bytes.index(b"general.architecture") + len(b"general.architecture") + 4 + 8
    result = compile_damaged(overwrite(gguf_bytes, at, b"mamba"), tmp_path)
    assert_input_error(result, "mamba", "llama", "qwen2")


# ---- artifacts ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifact(build_model: BuildModel, compile_gguf: Compile) -> Path:
    return compile_gguf(build_model(ModelSpec("hostile", layers=1, hidden=40, heads=2, feed_forward=33)).path)


@pytest.fixture(scope="module")
def artifact_bytes(artifact: Path) -> bytes:
    return artifact.read_bytes()


def table_end(data: bytes) -> int:
    """Where the FlatBuffer ends and its digest begins."""
    return 4 + struct.unpack_from("<I", data)[0]


def redigest(data: bytes | bytearray) -> bytes:
    """With the digest that makes a changed table part look intact."""
    end = table_end(bytes(data))
    return bytes(data[:end]) + hashlib.sha256(data[:end]).digest() + bytes(data[end + 32 :])


def logits_of(path: Path, folder: Path) -> tuple[Result, bytes]:
    output = folder / "logits.npy"
    output.unlink(missing_ok=True)
    result = run("tern", "logits", path, "--tokens", "1,2,3", "--threads=1", "-o", output)
    return result, output.read_bytes() if output.exists() else b""


def test_truncated_artifacts_are_refused(artifact_bytes: bytes, tmp_path: Path) -> None:
    size, path = len(artifact_bytes), tmp_path / "damaged.tern"
    cuts = [0, 1, 4, 8, 11, 12, 100, table_end(artifact_bytes), table_end(artifact_bytes) + 32, size - 1]
    cuts += generator("truncated artifact").integers(1, size, 20).tolist()
    for cut in cuts:
        path.write_bytes(artifact_bytes[:cut])
        for command in (["verify", path], ["run", path, "--tokens", "1"], ["inspect", path]):
            result = run("tern", *command)
            assert result.status == 1, f"cut at {cut} of {size}: {result}"
            assert_handled(result, f"cut at {cut} of {size}")


def test_flipped_bits_in_an_artifact_are_detected_or_harmless(
    artifact: Path, artifact_bytes: bytes, tmp_path: Path
) -> None:
    """verify finds each; what it lets pass (padding) changes no logit; nothing crashes."""
    path = tmp_path / "damaged.tern"
    _, expected = logits_of(artifact, tmp_path)
    end = table_end(artifact_bytes)
    damages = [
        *flip_bits(artifact_bytes, 0, end + 32, 60, "table"),
        *flip_bits(artifact_bytes, end + 32, len(artifact_bytes), 60, "segments"),
    ]
    undetected = 0
    for damage, data in damages:
        path.write_bytes(data)
        verified = run("tern", "verify", path)
        assert_handled(verified, damage)
        result, logits = logits_of(path, tmp_path)
        assert_handled(result, damage)
        if verified.status == 0:
            undetected += 1
            assert logits == expected, f"{damage}: verify found nothing, the logits differ"
    assert undetected < len(damages) / 2, "most of a file is not padding"


def test_hostile_tables_are_refused_or_harmless(artifact_bytes: bytes, tmp_path: Path) -> None:
    """Flips with a matching digest reach every structural check. Nothing is executed here: a table
    that describes its own kernels wrongly is hostile code."""
    path = tmp_path / "hostile.tern"
    for damage, data in flip_bits(artifact_bytes, 4, table_end(artifact_bytes), 150, "redigested table"):
        path.write_bytes(redigest(data))
        for command in (["verify", path], ["inspect", path, "--json"], ["tokenize", path]):
            assert_handled(run("tern", *command, stdin=b"hello world <|im_end|>"), damage)


def test_spliced_artifacts_are_refused(
    artifact_bytes: bytes, build_model: BuildModel, compile_gguf: Compile, tmp_path: Path
) -> None:
    other = compile_gguf(
        build_model(ModelSpec("hostile-other", layers=1, hidden=40, heads=2, seed=5)).path
    ).read_bytes()
    path = tmp_path / "spliced.tern"
    end = table_end(artifact_bytes) + 32
    for data in (
        artifact_bytes + b"\0",
        artifact_bytes + artifact_bytes,
        artifact_bytes[:end] + other[end:],
        other[: table_end(other) + 32] + artifact_bytes[table_end(other) + 32 :],
        artifact_bytes[: len(artifact_bytes) // 2] + other[len(artifact_bytes) // 2 : len(artifact_bytes)],
    ):
        path.write_bytes(data)
        result = run("tern", "verify", path)
        assert result.status == 1, result
        assert_handled(result, "splice")
        assert_handled(run("tern", "run", path, "--tokens", "1"), "splice")


def test_an_artifact_for_a_newer_reader_is_refused(artifact_bytes: bytes, tmp_path: Path) -> None:
    """Makes the root table's field 1, minimum_reader, the same word as field 4, max_batch = 64."""
    data = bytearray(artifact_bytes)
    table = 4 + struct.unpack_from("<I", data, 4)[0]
    fields = table - struct.unpack_from("<i", data, table)[0] + 4
    data[fields + 2 : fields + 4] = data[fields + 8 : fields + 10]
    path = tmp_path / "newer.tern"
    path.write_bytes(redigest(data))
    for command in (["run", path, "--tokens", "1"], ["verify", path], ["inspect", path]):
        assert_input_error(run("tern", *command), "newer.tern", "64", "update")


def test_another_magic_is_refused(artifact_bytes: bytes, tmp_path: Path) -> None:
    data = bytearray(artifact_bytes)
    data[8:12] = b"TERM"
    path = tmp_path / "magic.tern"
    path.write_bytes(redigest(data))
    assert_input_error(run("tern", "run", path, "--tokens", "1"), "magic.tern", "TERN")


def test_code_for_another_cpu_is_refused(artifact_bytes: bytes, tmp_path: Path) -> None:
    """The features are an exact list: one that no CPU has makes the artifact one for another CPU."""
    data = bytearray(artifact_bytes)
    assert data.count(b"fma\0") == 1
    at = data.index(b"fma\0")
    data[at : at + 3] = b"fmz"
    path = tmp_path / "other-cpu.tern"
    path.write_bytes(redigest(data))
    assert_input_error(run("tern", "run", path, "--tokens", "1"), "other-cpu.tern", "CPU", "fmz")
    report = succeed("tern", "inspect", path)
    assert "fmz" in report.text
    succeed("tern", "verify", path)
