"""The ternc program: options, exit statuses, outputs that are whole or absent."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from programs import BIN, assert_input_error, assert_usage_error, run, succeed, tern_logits
from synthetic_gguf import write_model


@pytest.fixture
def gguf(small_gguf: Path, tmp_path: Path) -> Path:
    """A copy in a folder of the test's own, with an empty folder `out` beside it."""
    (tmp_path / "out").mkdir()
    return Path(shutil.copy(small_gguf, tmp_path / "model.gguf"))


# ---- usage ----------------------------------------------------------------------------------------


def test_help_and_version_go_to_stdout() -> None:
    assert "--quantize" in succeed("ternc", "--help").text
    assert "tern" in succeed("ternc", "--version").text
    assert "x86_64-avx2" in succeed("ternc", "--list-targets").text.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["model.gguf"],
        ["model.gguf", "-o", "-"],
        ["-o", "out/m.tern"],
        ["model.gguf", "other.gguf", "-o", "out/m.tern"],
        ["model.gguf", "-o", "out/m.tern", "--fly"],
        ["model.gguf", "-o", "out/m.tern", "--kv=q4"],
        ["model.gguf", "-o", "out/m.tern", "--kv=f64"],
        ["model.gguf", "-o", "out/m.tern", "--max-batch=0"],
        ["model.gguf", "-o", "out/m.tern", "--max-batch=513"],
        ["model.gguf", "-o", "out/m.tern", "--max-batch=x"],
        ["model.gguf", "-o", "out/m.tern", "--emit=wat"],
        ["model.gguf", "-o", "out/m.tern", "--emit=ptx"],
        ["model.gguf", "-o", "out/m.tern", "--progress=on"],
        ["model.gguf", "-o", "out/m.tern", "-j", "x"],
        ["model.gguf", "-o", "out/m.tern", "--calibration=f"],
        ["model.gguf", "--emit=tern-ir", "--json"],
        ["model.gguf", "--emit=asm", "--target=x86_64-avx2,x86_64-avx512vnni"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str], gguf: Path) -> None:
    assert_usage_error(run("ternc", *arguments, cwd=gguf.parent))
    assert not list((gguf.parent / "out").iterdir())


@pytest.mark.parametrize(
    ("option", "fragments"),
    [
        ("--target=x86_64-avx1024", ["x86_64-avx1024", "x86_64-avx2"]),
        ("--target=aarch64-neon", ["aarch64-neon"]),
        ("--quantize=int3", ["int3"]),
        ("--quantize=budget:3GB", ["budget"]),
        ("--quantize=[=int8", ["["]),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(option: str, fragments: list[str], gguf: Path) -> None:
    result = run("ternc", "model.gguf", "-o", "out/m.tern", option, cwd=gguf.parent)
    assert result.status in (1, 2) and result.out == b"" and len(result.err.splitlines()) == 1, result
    for fragment in fragments:
        assert fragment in result.err, result
    assert not list((gguf.parent / "out").iterdir())


# ---- what it writes -------------------------------------------------------------------------------------


def test_success_is_silent_and_leaves_one_file(gguf: Path) -> None:
    result = succeed("ternc", "model.gguf", "-o", "out/m.tern", cwd=gguf.parent)
    assert result.out == b"" and result.err == "", result
    assert os.listdir(gguf.parent / "out") == ["m.tern"]


def test_json_reports_on_stdout_and_timing_on_stderr(gguf: Path) -> None:
    result = succeed("ternc", "model.gguf", "-o", "out/m.tern", "--json", "--timing", cwd=gguf.parent)
    report = json.loads(result.text)
    assert report["output_bytes"] == (gguf.parent / "out" / "m.tern").stat().st_size
    assert report["variants"][0]["kernels"] and report["stage_seconds"]
    assert "total" in result.err


@pytest.mark.parametrize(
    ("kind", "fragment"),
    [
        ("tern-ir", "tern.rms_norm"),
        ("quantized-ir", "tern.linear"),
        ("fused-ir", "tern.kernel"),
        ("plan-ir", "plan.call"),
        ("stmt", "for"),
        ("llvm", "define"),
        ("asm", "vmulps"),
    ],
)
def test_emit_shows_each_stage(kind: str, fragment: str, gguf: Path) -> None:
    shown = succeed("ternc", "model.gguf", f"--emit={kind}", "--target=x86_64-avx2", cwd=gguf.parent)
    assert fragment in shown.text
    succeed("ternc", "model.gguf", f"--emit={kind}", "--target=x86_64-avx2", "-o", "out/stage", cwd=gguf.parent)
    assert (gguf.parent / "out" / "stage").read_bytes() == shown.out


def test_emit_obj_is_an_image_without_imports(gguf: Path) -> None:
    image = succeed("ternc", "model.gguf", "--emit=obj", "-o", "out/kernels.so", cwd=gguf.parent)
    assert image.out == b""
    path = gguf.parent / "out" / "kernels.so"
    assert path.read_bytes()[:4] == b"\x7fELF"
    undefined = subprocess.run(["nm", "-D", "-u", path], capture_output=True, text=True, check=True)
    assert undefined.stdout.strip() == ""


def test_several_targets_share_weights(gguf: Path, tmp_path: Path) -> None:
    one = gguf.parent / "out" / "one.tern"
    two = gguf.parent / "out" / "two.tern"
    succeed("ternc", gguf, "-o", one, "--target=x86_64-avx2")
    succeed("ternc", gguf, "-o", two, "--target=x86_64-avx512vnni,x86_64-avx2")
    first, second = (json.loads(succeed("tern", "inspect", path, "--json").text) for path in (one, two))
    assert [variant["target"] for variant in second["variants"]] == ["x86_64-avx512vnni", "x86_64-avx2"]
    if {encoding["layout"] for encoding in first["encodings"]} == {e["layout"] for e in second["encodings"]}:
        assert second["weight_bytes"] == first["weight_bytes"]
    tern_logits(two, [1, 2, 3], tmp_path)


@pytest.mark.parametrize(("kv", "element"), [("f32", "f32"), ("f16", "f16"), ("q8", "i8")])
def test_max_batch_and_kv_type_reach_the_artifact(kv: str, element: str, gguf: Path) -> None:
    options = ["--max-batch=7", f"--kv={kv}"]
    succeed("ternc", "model.gguf", "-o", "out/m.tern", *options, cwd=gguf.parent)
    report = json.loads(succeed("tern", "inspect", gguf.parent / "out" / "m.tern", "--json").text)
    assert report["max_batch"] == 7 and {cache["type"] for cache in report["kv_caches"]} == {element}
    for option in options:
        assert option in report["metadata"]["tern.options"]


def test_the_kernel_cache_is_used(gguf: Path) -> None:
    environment = {"TERN_CACHE_DIR": str(gguf.parent / "cache")}

    def from_cache() -> list[bool]:
        command = ["model.gguf", "-o", "out/m.tern", "--json"]
        report = json.loads(succeed("ternc", *command, cwd=gguf.parent, environment=environment).text)
        return [kernel["from_cache"] for kernel in report["variants"][0]["kernels"]]

    assert not any(from_cache())
    assert all(from_cache())


def test_a_damaged_cache_entry_does_no_harm(gguf: Path, tmp_path: Path) -> None:
    environment = {"TERN_CACHE_DIR": str(gguf.parent / "cache")}
    command = ["model.gguf", "-o", "out/m.tern"]
    succeed("ternc", *command, cwd=gguf.parent, environment=environment)
    good = (gguf.parent / "out" / "m.tern").read_bytes()
    for entry in (gguf.parent / "cache").rglob("*"):
        if entry.is_file():
            entry.write_bytes(entry.read_bytes()[: entry.stat().st_size // 2])
    succeed("ternc", *command, cwd=gguf.parent, environment=environment)
    assert (gguf.parent / "out" / "m.tern").read_bytes() == good


# ---- files that cannot be read or written -------------------------------------------------------------


def assert_nothing_written(folder: Path) -> None:
    assert not list(folder.iterdir())


def test_unreadable_models_exit_with_1(gguf: Path) -> None:
    (gguf.parent / "empty.gguf").touch()
    (gguf.parent / "text.gguf").write_text("This is no model. " * 100)
    for source in ("none.gguf", ".", "empty.gguf", "text.gguf"):
        result = run("ternc", source, "-o", "out/m.tern", cwd=gguf.parent)
        assert_input_error(result, source)
        assert_nothing_written(gguf.parent / "out")


def limit_private_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["keep", "int4"])
def test_a_model_larger_than_the_memory_it_may_take(policy: str, tmp_path: Path) -> None:
    """1.2 GB of weights, 1 GB for all private memory, heap and stacks included."""
    model = tmp_path / "large.gguf"
    write_model("tinyllama-1.1b", "q8_0", model, zeros=True)
    assert model.stat().st_size > 1 << 30
    artifact = tmp_path / "large.tern"
    command = [model, "-o", artifact, "--target=x86_64-avx2", f"--quantize={policy}"]
    succeed("ternc", *command, preexec=limit_private_memory)
    succeed("tern", "verify", artifact)


def test_an_unwritable_output_exits_with_1(gguf: Path) -> None:
    assert_input_error(run("ternc", "model.gguf", "-o", "none/m.tern", cwd=gguf.parent), "none/m.tern")
    assert_input_error(run("ternc", "model.gguf", "-o", "out", cwd=gguf.parent), "out")
    assert_nothing_written(gguf.parent / "out")


@pytest.mark.parametrize("kind", ["tern", "tern-ir", "asm", "obj"])
def test_a_device_is_not_replaced(kind: str, gguf: Path, full_device: Path) -> None:
    result = run("ternc", gguf, f"--emit={kind}", "-o", full_device)
    assert full_device.is_char_device()
    assert_input_error(result, str(full_device))


def test_standard_output_that_is_full_exits_with_1(gguf: Path, full_device: Path) -> None:
    with full_device.open("wb") as full:
        for options in (["--emit=tern-ir"], ["-o", gguf.parent / "out" / "m.tern", "--json"]):
            command = [BIN / "ternc", gguf, *options]
            result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
            assert result.returncode == 1 and result.stderr.count(b"\n") == 1, result
            assert result.stderr.startswith(b"ternc: "), result


def limit_file_size() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_write_that_fails_leaves_no_file(gguf: Path) -> None:
    """The artifact is larger than the limit, the kernels in the cache are not."""
    result = run("ternc", "model.gguf", "-o", "out/m.tern", cwd=gguf.parent, preexec=limit_file_size)
    assert_input_error(result, "m.tern")
    assert_nothing_written(gguf.parent / "out")


def test_a_full_disk_leaves_no_file(gguf: Path) -> None:
    small = gguf.parent / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        result = run("ternc", "model.gguf", "-o", "small/m.tern", cwd=gguf.parent)
        assert_input_error(result, "m.tern")
        assert_nothing_written(small)
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["compiling", "packing"])
def test_an_interrupted_compiler_leaves_no_file(moment: str, ending: signal.Signals, gguf: Path) -> None:
    """Interrupted when the first kernel is in the cache, or when the output has been begun."""
    cache, out = gguf.parent / "cache", gguf.parent / "out"
    environment = dict(os.environ)
    if moment == "compiling":
        environment["TERN_CACHE_DIR"] = str(cache)
    # The tests may have been started by nohup, or in the background, where signals are ignored.
    command: list[str | Path] = ["env", "--default-signal", BIN / "ternc", gguf, "-o", out / "m.tern", "-j1"]
    watched = cache if moment == "compiling" else out
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, start_new_session=True) as process:
        while process.poll() is None and not (watched.exists() and any(watched.iterdir())):
            pass
        process.send_signal(ending)
        status = process.wait()
    assert status in (-ending, 128 + ending) or (status == 0 and moment == "packing")
    written = os.listdir(out)
    if moment == "packing" and written == ["m.tern"]:  # the file was complete before the signal came
        succeed("tern", "verify", out / "m.tern")
    else:
        assert written == []
