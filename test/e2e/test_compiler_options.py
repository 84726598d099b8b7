"""Options of ternc that make no sense for the targets and inputs of today are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import assert_usage_error, run


@pytest.mark.parametrize("target", ["host", "x86_64-avx2", "aarch64-dotprod"])
@pytest.mark.parametrize(("kind", "reason"), [("wat", "WebAssembly"), ("ptx", "CUDA")])
def test_text_of_other_machines_is_refused(
    kind: str, reason: str, target: str, small_gguf: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    result = run("ternc", small_gguf, "-o", output, f"--emit={kind}", f"--target={target}")
    assert_usage_error(result, f"--emit={kind}", reason, target, "asm")
    assert not output.exists()


def test_gguf_models_have_no_symbolic_dimensions(small_gguf: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.tern"
    result = run("ternc", small_gguf, "-o", output, "--dim", "sequence=128")
    assert_usage_error(result, "--dim", "sequence", "no symbolic dimensions", "--max-batch")
    assert not output.exists()


@pytest.mark.parametrize("text", ["", "x", "=1", "x=", "x=0", "x=-1", "x=1.5", "x=many"])
def test_malformed_dimensions_are_wrong_usage(text: str, small_gguf: Path, tmp_path: Path) -> None:
    assert_usage_error(run("ternc", small_gguf, "-o", tmp_path / "m.tern", f"--dim={text}"), "--dim", "NAME=VALUE")


@pytest.mark.parametrize(
    "target",
    ["aarch64-neon", "aarch64-i8mm", "wasm32-simd128", "wasm32-relaxed", "wasm64-relaxed", "cuda-sm90", "x", ""],
)
def test_targets_that_are_not_built_are_answered_with_the_known(target: str, small_gguf: Path, tmp_path: Path) -> None:
    result = run("ternc", small_gguf, "-o", tmp_path / "m.tern", f"--target={target}")
    assert_usage_error(result, f"'{target}'", "x86_64-avx2")


def test_calibration_is_refused_with_the_way_around(small_gguf: Path, tmp_path: Path) -> None:
    options = ["-o", tmp_path / "m.tern", "--quantize=int4", "--calibration", "text.txt"]
    assert_usage_error(run("ternc", small_gguf, *options), "not built", "--imatrix")
