"""--weights=auto|map|copy: where the weights of a running program lie, by the kernel's own account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import BuildModel, Compile
from models import ModelSpec
from programs import assert_usage_error, mappings, run, succeed, waiting_chat, weight_bytes

HUGE_PAGE = 2 << 20
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.fixture(scope="module")
def artifact(build_model: BuildModel, compile_gguf: Compile) -> Path:
    """About 10 MB of weights."""
    return compile_gguf(build_model(ModelSpec("wide", hidden=384, feed_forward=1024, vocabulary=3000)).path)


def resident(entries: list[dict[str, int | str]], file: Path) -> int:
    return 1024 * sum(int(entry["Rss"]) for entry in entries if entry["name"] == str(file))


def test_copied_weights_lie_in_huge_pages(artifact: Path) -> None:
    if not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text():
        pytest.skip("this system has no transparent huge pages")
    size = weight_bytes(artifact)
    assert size > 4 * HUGE_PAGE
    with waiting_chat(artifact, "--weights=copy") as pid:
        entries = mappings(pid)
    huge = 1024 * max(int(entry["AnonHugePages"]) for entry in entries)
    assert huge >= size // HUGE_PAGE * HUGE_PAGE
    with waiting_chat(artifact, "--weights=map") as pid:
        entries = mappings(pid)
    assert 1024 * max(int(entry["AnonHugePages"]) for entry in entries) < size // 2


def test_mapped_weights_are_the_pages_of_the_file(artifact: Path) -> None:
    """Nobody writes to them, so the system can share and drop them."""
    with waiting_chat(artifact, "--weights=map") as pid:
        entries = mappings(pid)
    assert resident(entries, artifact) > 0.7 * weight_bytes(artifact)  # rows of the embedding are read as needed
    for entry in entries:
        if entry["name"] == str(artifact):
            assert entry["Anonymous"] == 0
    with waiting_chat(artifact, "--weights=copy") as pid:
        private = 1024 * sum(int(entry["Anonymous"]) for entry in mappings(pid))
    assert private > weight_bytes(artifact)


@pytest.mark.parametrize("mode", ["auto", "map", "stream:50M"])
def test_huge_pages_are_asked_for_where_a_file_is_used_in_place(mode: str, artifact: Path) -> None:
    """What is looked up here and there while weights are streamed is not to take 2 MB a place."""
    if not HUGE_PAGES.exists():
        pytest.skip("this system has no transparent huge pages")
    with waiting_chat(artifact, f"--weights={mode}") as pid:
        flags = [str(entry["VmFlags"]).split() for entry in mappings(pid) if entry["name"] == str(artifact)]
    assert flags and all(("hg" in flag) is not mode.startswith("stream") for flag in flags)


def test_auto_maps_a_file(artifact: Path) -> None:
    mapped = {}
    for mode in ("auto", "map", "copy"):
        options = ["--prompt", 4, "--generate", 1, "--runs", 1, f"--weights={mode}", "--json", "-"]
        mapped[mode] = json.loads(succeed("tern", "bench", artifact, *options).text)["mapped_weight_bytes"]
    assert mapped["auto"] == mapped["map"] == weight_bytes(artifact) and mapped["copy"] == 0


@pytest.mark.parametrize("mode", ["", "fast", "MAP", "map,copy", "stream"])
def test_other_modes_are_wrong_usage(mode: str, artifact: Path) -> None:
    assert_usage_error(run("tern", "run", artifact, "--tokens", "1", f"--weights={mode}"), "--weights", "map")
