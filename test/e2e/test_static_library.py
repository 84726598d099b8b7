"""--emit=static-library: the example program, built by a plain C compiler, gives the tokens of `tern run`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import HOME_ASSISTANT, ROOT, Compile
from programs import BIN, assert_input_error, assert_usage_error, run, succeed

RUNTIME = BIN.parent / "runtime" / "libtern.a"
EXAMPLE = ROOT / "examples" / "linked-kernels" / "main.c"
PROMPT = ["1", "2", "3"]


def emit(folder: Path, name: str, *options: str, model: Path = HOME_ASSISTANT) -> None:
    succeed("ternc", model, "--emit=static-library", "-o", folder / name, *options)


def build(
    folder: Path, *options: str, source: Path = EXAMPLE, program: str = "app", libraries: str = "-lmodel"
) -> Path:
    """As docs/linking-kernels.md says, with warnings as errors."""
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", str(source), "-I", str(ROOT / "runtime" / "include")]
    command += ["-I", ".", "-L", ".", *libraries.split(), str(RUNTIME.resolve()), "-pthread", "-Wl,--gc-sections"]
    subprocess.run([*command, *options, "-o", program], cwd=folder, check=True)
    return folder / program


def generate(program: Path, artifact: Path, count: int = 16) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, artifact, str(count), *PROMPT], capture_output=True, text=True, check=False)


def greedy_tokens(artifact: Path, count: int = 16) -> list[int]:
    """Greedy by `tern logits`, where an end token stops nothing."""
    tokens = [int(token) for token in PROMPT]
    for _ in range(count):
        output = artifact.with_suffix(".npy")
        succeed("tern", "logits", artifact, "--tokens", ",".join(map(str, tokens)), "-o", output)
        tokens.append(int(np.load(output)[-1].argmax()))
    return tokens[len(PROMPT) :]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    emit(folder, "model")
    build(folder)
    return folder


def test_the_example_gives_the_tokens_of_tern(built: Path) -> None:
    result = generate(built / "app", built / "model.tern")
    assert result.returncode == 0, result.stderr
    assert [int(line) for line in result.stdout.split()] == greedy_tokens(built / "model.tern")


def test_the_artifact_is_the_same_as_without(built: Path, home_assistant: Path) -> None:
    assert (built / "model.tern").read_bytes() == home_assistant.read_bytes()


def test_the_library_defines_nothing_but_its_kernels(built: Path) -> None:
    """Its memset and memcpy are made for the target's CPU; an application that called them would end on another."""
    lines = subprocess.run(
        ["nm", "-g", "libmodel.a"], cwd=built, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    symbols = [line.split() for line in lines if line and not line.endswith(":")]
    assert symbols and all(re.fullmatch(r"model_kernel_\d+", symbol[-1]) and symbol[-2] == "T" for symbol in symbols)


def test_no_code_is_loaded(built: Path, tmp_path: Path) -> None:
    """Under a policy against new executable memory the program runs, and without the linked kernels it does not."""
    text = EXAMPLE.read_text().replace("int main(int argc, char **argv) {", "#include <sys/prctl.h>\n" + (
        "int main(int argc, char **argv) {\n  if (prctl(65, 1, 0, 0, 0) != 0) return 77; /* PR_SET_MDWE */\n"))  # fmt: skip
    for name in ("model.h", "libmodel.a", "model.tern"):
        shutil.copyfile(built / name, tmp_path / name)
    (tmp_path / "linked.c").write_text(text)
    (tmp_path / "loaded.c").write_text(text.replace("options.linked_code = &model_code;", "(void)model_code;"))
    linked = generate(build(tmp_path, source=tmp_path / "linked.c", program="linked"), tmp_path / "model.tern")
    if linked.returncode == 77:
        pytest.skip("this kernel has no PR_SET_MDWE")
    assert linked.returncode == 0, linked.stderr
    loaded = generate(build(tmp_path, source=tmp_path / "loaded.c", program="loaded"), tmp_path / "model.tern")
    assert loaded.returncode == 1 and "link the kernels into the program" in loaded.stderr


def test_another_artifact_is_refused(built: Path, compile_gguf: Compile, small_gguf: Path) -> None:
    others = [
        compile_gguf(small_gguf),
        compile_gguf(HOME_ASSISTANT, "--kv=f32"),
        compile_gguf(HOME_ASSISTANT, "--target=x86_64-baseline"),
    ]
    for other in others:
        result = generate(built / "app", other)
        assert result.returncode == 1 and result.stdout == ""
        assert "linked kernels are not those" in result.stderr or "no variant" in result.stderr, result.stderr


def test_two_models_in_one_program(built: Path, tmp_path: Path) -> None:
    """Both from one target, with kernels in common; names that are no C identifiers become such."""
    emit(tmp_path, "model")
    emit(tmp_path, "2nd-model", "--kv=f32")
    header = (tmp_path / "2nd-model.h").read_text()
    assert "_2nd_model_kernel_0" in header and "_2nd_model_code" in header
    source = tmp_path / "two.c"
    text = EXAMPLE.read_text().replace('#include "model.h"', '#include "model.h"\n#include "2nd-model.h"')
    source.write_text(text.replace("= &model_code;", "= argv[1][0] == '2' ? &_2nd_model_code : &model_code;"))
    build(tmp_path, source=source, libraries="-lmodel -l2nd-model")
    expected = generate(built / "app", built / "model.tern").stdout
    for name in ("model.tern", "2nd-model.tern"):
        result = subprocess.run(
            ["./app", name, "16", *PROMPT], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert len(result.stdout.split()) == 16
        if name == "model.tern":
            assert result.stdout == expected


def test_the_bytes_are_reproducible(built: Path, tmp_path: Path) -> None:
    emit(tmp_path, "model.tern", "-j1")  # the same as -o model
    for name in ("model.tern", "model.h", "libmodel.a"):
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes(), name


def test_what_makes_no_sense_is_refused(built: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    several = run(
        "ternc", HOME_ASSISTANT, "--emit=static-library", "-o", output, "--target=x86_64-avx2,x86_64-baseline"
    )
    assert_usage_error(several, "one target at a time")
    assert_usage_error(run("ternc", HOME_ASSISTANT, "--emit=static-library"), "-o")
    assert_usage_error(run("ternc", HOME_ASSISTANT, "--emit=static-library", "-o", "-"), "standard output")
    module = tmp_path / "m.mlir"
    succeed("ternc", HOME_ASSISTANT, "--emit=tern-ir", "-o", module)
    assert_input_error(run("ternc", module, "--emit=static-library", "-o", output), "no weights to pack")
    assert_input_error(
        run("ternc", HOME_ASSISTANT, "--emit=static-library", "-o", tmp_path / "absent" / "model"), "absent"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.mlir"]


@pytest.mark.parametrize("taken", ["model.tern", "model.h", "libmodel.a"])
def test_a_name_that_is_taken_leaves_all_three_files(taken: str, tmp_path: Path) -> None:
    names = {"model.tern", "model.h", "libmodel.a"}
    for name in names - {taken}:
        (tmp_path / name).write_text("earlier")
    (tmp_path / taken).mkdir()
    assert_input_error(run("ternc", HOME_ASSISTANT, "--emit=static-library", "-o", tmp_path / "model"), taken)
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names - {taken}:
        assert (tmp_path / name).read_text() == "earlier"
