"""Targets: the bundled model on each, against the others, and on AArch64 under an emulator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import HOME_ASSISTANT, ROOT
from programs import BIN, assert_input_error, run, succeed
from reference_sampler import assert_drawn_tokens

SENTENCES = ["dim the kitchen lights to 30 percent", "it is a bit cold in the bedroom, make it 21.5 degrees", "hello"]
CHAT = ["--chat", "-t", "0", "-n", "48"]
X86_TARGETS = ["x86_64-baseline", "x86_64-avx2", "x86_64-avxvnni", "x86_64-avx512vnni", "x86_64-avx512vbmi"]
AARCH64_TERN = Path(os.environ.get("TERN_AARCH64_BIN", ROOT / "build" / "aarch64" / "bin")) / "tern"
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


def compiled(target: str, folder: Path) -> Path:
    artifact = folder / f"{target}.tern"
    succeed("ternc", HOME_ASSISTANT, "-o", artifact, f"--target={target}")
    return artifact


def logits(command: list[str], artifact: Path, folder: Path) -> np.ndarray:
    output = folder / "logits.npy"
    subprocess.run([*command, "logits", artifact, "--tokens", "5,300,17,999,42", "-o", output], check=True)
    return np.load(output)


def test_every_target_is_listed_and_compiles(tmp_path: Path) -> None:
    listed = succeed("ternc", "--list-targets").text.split()
    assert listed == [*X86_TARGETS, "aarch64-dotprod"]
    for target in listed:
        report = json.loads(succeed("tern", "inspect", compiled(target, tmp_path), "--json").text)
        assert [variant["target"] for variant in report["variants"]] == [target]


@pytest.mark.parametrize("target", X86_TARGETS)
def test_x86_targets_agree(target: str, tmp_path: Path) -> None:
    artifact = compiled(target, tmp_path)
    result = run("tern", "run", artifact, *CHAT, "-p", SENTENCES[0])
    if result.status != 0:
        assert_input_error(result, "this CPU cannot run the artifact", target)
        pytest.skip(f"this CPU cannot run {target}")
    reference = compiled("x86_64-baseline", tmp_path)
    for sentence in SENTENCES:
        expected = succeed("tern", "run", reference, *CHAT, "-p", sentence).text
        assert succeed("tern", "run", artifact, *CHAT, "-p", sentence).text == expected
    tern = [str(BIN / "tern")]
    ours, theirs = logits(tern, artifact, tmp_path), logits(tern, reference, tmp_path)
    assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(theirs).max()


def test_the_runtime_takes_the_best_variant(tmp_path: Path) -> None:
    artifact = tmp_path / "all.tern"
    succeed("ternc", HOME_ASSISTANT, "-o", artifact, "--target=" + ",".join(X86_TARGETS[::-1]))
    single = compiled("host", tmp_path)
    best = json.loads(succeed("tern", "inspect", single, "--json").text)["variants"][0]["target"]
    report = json.loads(
        succeed("tern", "bench", artifact, "--runs", "1", "--prompt", "4", "--generate", "2", "--json", "-").text
    )
    assert report["target"] == best
    assert artifact.stat().st_size < single.stat().st_size + 4 * 400_000, "variants share weights"


def test_aarch64_under_an_emulator(tmp_path: Path) -> None:
    if not AARCH64_TERN.exists() or EMULATOR is None:
        pytest.skip("needs qemu-aarch64 and the runtime built for AArch64: tools/build.sh aarch64")
    artifact = compiled("aarch64-dotprod", tmp_path)
    emulated = [EMULATOR, str(AARCH64_TERN)]
    native = compiled("host", tmp_path)
    for sentence in SENTENCES:
        command = [*emulated, "run", str(artifact), *CHAT, "-p", sentence]
        output = subprocess.run(command, check=True, capture_output=True).stdout.decode()
        assert output == succeed("tern", "run", native, *CHAT, "-p", sentence).text
    assert_drawn_tokens(emulated, artifact, tmp_path, top_k=100, top_p=0.9, min_p=0.02)
    ours, theirs = logits(emulated, artifact, tmp_path), logits([str(BIN / "tern")], native, tmp_path)
    assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(theirs).max()
    assert_input_error(run("tern", "run", artifact, *CHAT, "-p", "x"), "aarch64-dotprod is for another architecture")
