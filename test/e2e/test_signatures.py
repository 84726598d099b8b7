"""`--require-key` against signatures that OpenSSL makes, by the commands of docs/signing.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from programs import BIN, Result, assert_input_error, assert_usage_error, run, succeed

EXECUTING = [
    ["run", "--tokens", "1,2,3", "-n", "4"],
    ["logits", "--tokens", "1,2,3", "-o", "logits.npy"],
    ["embed", "--tokens", "1,2,3", "-o", "hidden.npy"],
    ["bench", "--prompt", "4", "--generate", "2", "--runs", "1"],
    ["eval", "--context", "16", "--text", str(ROOT / "README.md"), "--chunks", "1"],
    ["chat"],
    ["verify"],
]


def shell(script: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{BIN.resolve()}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-euc", script], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def signed(home_assistant: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command of the page has been run, and another pair of keys."""
    folder = tmp_path_factory.mktemp("signed")
    shutil.copyfile(home_assistant, folder / "model.tern")
    page = (ROOT / "docs" / "signing.md").read_text()
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    shell(commands, folder)
    shell("openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out other.pub.pem", folder)
    shell("openssl genpkey -algorithm x25519 | openssl pkey -pubout -out x25519.pub.pem", folder)
    shell("openssl genpkey -algorithm rsa | openssl pkey -pubout -out rsa.pub.pem", folder)
    return folder


def attempt(arguments: list[str], model: Path, key: Path, folder: Path) -> Result:
    return run("tern", arguments[0], model, *arguments[1:], "--require-key", key, cwd=folder, stdin=b"hello\n")


def refused(model: Path, key: Path, *fragments: str) -> None:
    """By everything that executes a model; nothing of it has been written or printed."""
    for arguments in EXECUTING:
        assert_input_error(attempt(arguments, model, key, model.parent), *fragments)
    assert not (model.parent / "logits.npy").exists()


@pytest.fixture
def copy(signed: Path, tmp_path: Path) -> Path:
    """A signed model that a test may damage."""
    for name in ("model.tern", "model.tern.sig"):
        shutil.copyfile(signed / name, tmp_path / name)
    return tmp_path / "model.tern"


@pytest.mark.parametrize("arguments", EXECUTING, ids=lambda arguments: arguments[0])
def test_a_signed_model_runs_as_without(arguments: list[str], signed: Path, tmp_path: Path) -> None:
    result = attempt(arguments, signed / "model.tern", signed / "key.pub.pem", tmp_path)
    assert result.status == 0, result
    if arguments[0] == "run":
        plain = succeed("tern", "run", signed / "model.tern", *arguments[1:], "-t", "0")
        assert (
            attempt([*arguments, "-t", "0"], signed / "model.tern", signed / "key.pub.pem", tmp_path).out == plain.out
        )
    if arguments[0] == "verify":
        assert "signed by" in result.text


def test_another_key_is_refused(signed: Path) -> None:
    refused(signed / "model.tern", signed / "other.pub.pem", "model.tern.sig", "other.pub.pem", "another key")


def test_an_unsigned_model_is_refused(signed: Path, copy: Path) -> None:
    copy.with_name("model.tern.sig").unlink()
    refused(copy, signed / "key.pub.pem", "model.tern.sig", "No such file", "not signed")


def test_damaged_signatures_are_refused(signed: Path, copy: Path) -> None:
    signature = copy.with_name("model.tern.sig")
    whole = signature.read_bytes()
    for position in (0, 31, 32, 63):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        signature.write_bytes(damaged)
        assert_input_error(attempt(["verify"], copy, signed / "key.pub.pem", copy.parent), "no signature of this file")
    for bytes_ in (b"", whole[:63], whole + b"\n"):
        signature.write_bytes(bytes_)
        refused(copy, signed / "key.pub.pem", "model.tern.sig", "64 bytes")


def header_size(model: Path) -> int:
    return int.from_bytes(model.read_bytes()[:4], "little") + 36


def change(model: Path, offset: int) -> None:
    data = bytearray(model.read_bytes())
    data[offset] ^= 1
    model.write_bytes(data)


@pytest.mark.parametrize("where", [0, 4, 8, 100, -40, -1], ids=str)
def test_a_header_changed_after_signing_is_refused(where: int, signed: Path, copy: Path) -> None:
    change(copy, where if where >= 0 else header_size(copy) + where)
    result = attempt(["run", "--tokens", "1"], copy, signed / "key.pub.pem", copy.parent)
    assert_input_error(result, "model.tern")
    assert "no signature of this file" in result.err or "ends within its header" in result.err


def test_code_and_weights_changed_after_signing_are_refused(signed: Path, copy: Path) -> None:
    """Both where they begin and where they end; without the key a changed weight is not looked at."""
    whole = copy.read_bytes()
    image = whole.index(b"\x7fELF")
    change(copy, image + 5000)
    refused(copy, signed / "key.pub.pem", "digest")
    for offset in (len(whole) - 1, next(i for i in range(image - 1, 0, -1) if whole[i])):
        copy.write_bytes(whole)
        change(copy, offset)
        if offset > header_size(copy):
            refused(copy, signed / "key.pub.pem", "digest")
    copy.write_bytes(whole)
    assert attempt(["verify"], copy, signed / "key.pub.pem", copy.parent).status == 0


def test_another_signed_model_under_the_name_is_refused(signed: Path, copy: Path, small_artifact: Path) -> None:
    shutil.copyfile(small_artifact, copy)
    refused(copy, signed / "key.pub.pem", "no signature of this file")


def test_keys_that_are_none_say_why(signed: Path, tmp_path: Path) -> None:
    def says(key: Path, *fragments: str) -> None:
        assert_input_error(attempt(["verify"], signed / "model.tern", key, tmp_path), key.name, *fragments)

    says(signed / "key.pem", "private key", "-pubout")
    says(signed / "x25519.pub.pem", "no Ed25519 key")
    says(signed / "rsa.pub.pem", "no Ed25519 key")
    says(signed / "model.tern.sig", "no public key in PEM form")
    says(tmp_path / "absent.pem", "No such file")
    says(tmp_path, "cannot be read")
    damaged = tmp_path / "damaged.pem"
    damaged.write_text((signed / "key.pub.pem").read_text().replace("M", "!", 1))
    says(damaged, "base64")
    assert_usage_error(run("tern", "verify", signed / "model.tern", "--require-key", ""), "--require-key")


def test_files_that_are_no_artifacts_are_refused(signed: Path, copy: Path) -> None:
    for data in (b"", b"\x00", b"\xff\xff\xff\x7f" + b"x" * 100):
        copy.write_bytes(data)
        refused(copy, signed / "key.pub.pem", "ends within its header")


@pytest.mark.parametrize("name", ["model.tern.sig", "sig", "ed25519.pub.pem"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["logits", "--tokens", "1", "-o"],
        ["embed", "--tokens", "1", "-o"],
        ["bench", "--prompt", "4", "--generate", "2", "--runs", "1", "--json"],
        ["bench", "--prompt", "4", "--generate", "2", "--runs", "1", "--trace"],
        ["eval", "--context", "16", "--text", str(ROOT / "README.md"), "--chunks", "1", "--save-logits"],
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[-1]}",
)
def test_neither_signature_nor_key_is_replaced(
    arguments: list[str], name: str, signed: Path, copy: Path, tmp_path: Path
) -> None:
    (tmp_path / "sig").symlink_to("model.tern.sig")
    shutil.copyfile(signed / "key.pub.pem", tmp_path / "ed25519.pub.pem")
    before = (tmp_path / name).read_bytes()
    options = ["--require-key", tmp_path / "ed25519.pub.pem"]
    result = run("tern", arguments[0], "model.tern", *options, *arguments[1:], name, cwd=tmp_path)
    assert_input_error(result, name, "another file")
    assert (tmp_path / name).read_bytes() == before
