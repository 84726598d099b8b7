"""Options of ternc that make no sense, for the targets and inputs of today or at all, are refused with the reason."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from programs import BIN, assert_input_error, assert_usage_error, run, succeed


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


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("-j 0", "-j"),
        ("-j1025", "-j"),
        ("-j -1", "-j"),
        ("--target=x86_64-avx2,x86_64-avx2", "target x86_64-avx2"),
        ("--quantize=int4 --imatrix=", "--imatrix"),
        ("--imatrix=", "--imatrix"),
        ("--quantize=int4 --calibration=", "--calibration"),
        ("--i2s-block=32", "--i2s-block"),
        ("--quantize=f16 --quantize=f32", "--quantize"),
        ("--kv=f16 --kv=f16", "--kv"),
        ("--timing --timing", "--timing"),
        ("-j1 -j2", "-j"),
        ("--x86-asm-syntax=intel", "x86-asm-syntax"),  # LLVM's, of the compiler's process, which generates no code
        ("--debug-pass=Structure", "debug-pass"),
    ],
)
def test_values_without_sense_are_wrong_usage(options: str, named: str, small_gguf: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.tern"
    result = run("ternc", small_gguf, "-o", output, *options.split())
    assert_usage_error(result, named)
    assert len(result.err.splitlines()) == 1 and not output.exists(), result


@pytest.mark.parametrize("name", ["", "{folder}/", "{folder}/.tern"])
def test_a_library_needs_a_name(name: str, small_gguf: Path, tmp_path: Path) -> None:
    output = name.format(folder=tmp_path)
    assert_usage_error(run("ternc", small_gguf, "--emit=static-library", "-o", output, cwd=tmp_path), "-o")
    assert not list(tmp_path.iterdir())


def test_the_list_of_targets_goes_alone(small_gguf: Path, tmp_path: Path, full_device: Path) -> None:
    assert_usage_error(run("ternc", "--list-targets", small_gguf), "--list-targets")
    assert_usage_error(run("ternc", "--list-targets", "-o", tmp_path / "x"), "--list-targets", "-o")
    several = run("ternc", "--list-targets", "--json", "-j2", "--target=none", "--dim=x")
    assert_usage_error(several, "goes alone, without --dim, --json, --target, -j;")
    with full_device.open("wb") as full:
        result = subprocess.run([BIN / "ternc", "--list-targets"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert result.returncode == 1 and result.stderr.startswith(b"ternc: standard output: "), result


@pytest.mark.parametrize(
    ("kind", "unused", "used"),
    [
        ("tern-ir", ["--quantize=int4:g256", "--target=host", "--max-batch=7"], []),
        ("quantized-ir", ["--target=host", "--max-batch=7"], ["--quantize=f16"]),
        ("quantized-ir", ["--max-batch=7"], ["--quantize=bits:20", "--target=host"]),
        ("fused-ir", ["--max-batch=7"], ["--quantize=f16", "--target=host"]),
        ("plan-ir", [], ["--quantize=f16", "--target=host", "--max-batch=7"]),
    ],
)
def test_options_that_a_stage_does_not_show_are_named(
    kind: str, unused: list[str], used: list[str], small_gguf: Path
) -> None:
    result = succeed("ternc", small_gguf, f"--emit={kind}", *unused, *used)
    for option in unused:
        assert option.split("=")[0] in result.err, result
    for option in used:
        assert option.split("=")[0] not in result.err, result
    if unused:
        assert succeed("ternc", small_gguf, f"--emit={kind}", *used).out == result.out


def test_the_cache_of_a_module_in_text_form_is_in_it(small_gguf: Path, tmp_path: Path) -> None:
    module = tmp_path / "m.mlir"
    succeed("ternc", small_gguf, "--emit=tern-ir", "-o", module)
    assert "--kv" in succeed("ternc", module, "--emit=fused-ir", "--kv=f32").err


def test_modules_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.mlir").write_text("garbage\nmore")
    assert_input_error(run("ternc", "bad.mlir", "--emit=fused-ir", cwd=tmp_path), "bad.mlir", "1:1", "garbage")
    assert_input_error(run("ternc", "none.mlir", "--emit=fused-ir", cwd=tmp_path), "none.mlir", "could not open")


def test_an_unknown_kind_is_answered_with_the_known(small_gguf: Path, tmp_path: Path) -> None:
    for kind in ("", "TERN", "fused"):
        result = run("ternc", small_gguf, "-o", tmp_path / "x", f"--emit={kind}")
        assert_usage_error(result, f"'{kind}'", "static-library", "plan-ir")
