"""The documentation against the tree: links, paths, test names and options that it mentions exist."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(os.environ.get("TERN_BIN_DIR", ROOT / "build" / "bin"))
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("schema/*.md"), *ROOT.glob("examples/*/*.md")]
)
FOLDERS = ("compiler", "targets", "schema", "runtime", "tools", "test", "examples", "docs", "cmake")
SUBCOMMANDS = ["run", "chat", "logits", "embed", "tokenize", "detokenize", "bench", "eval", "inspect", "verify"]


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{target} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{target} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_paths_exist(page: Path) -> None:
    for path in re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`", page.read_text()):
        if "NAME" in path or "FAMILY" in path:
            continue
        assert (ROOT / path).exists(), f"{path} does not exist"


def test_status_names_tests_that_exist() -> None:
    status = (ROOT / "docs" / "status.md").read_text()
    python = "\n".join(path.read_text() for path in ROOT.glob("test/**/*.py"))
    native = "\n".join(path.read_text() for path in ROOT.glob("test/unit/**/*.cpp"))
    for name in set(re.findall(r"\b(test_\w+)\b(?!\.py)", status)):
        assert f"def {name}(" in python, f"{name} does not exist"
    for file in set(re.findall(r"\b(\w+Test\.cpp|test_\w+\.py)\b", status)):
        assert list(ROOT.glob(f"test/**/{file}")), f"{file} does not exist"
    for suite in set(re.findall(r"`(\w+)\.\*`", status)):
        assert re.search(rf"TEST(_[FP])?\({suite},", native), f"no test suite {suite}"


def options_of(*command: str | Path) -> set[str]:
    """Option names in a program's help; CLI11 writes '-h,--help', LLVM '--emit=<KIND>' and '-j <N>'."""
    text = subprocess.run([*command, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return set(re.findall(r"^\s+(?:-\w,)?(--?[a-z][\w-]*)", text, re.MULTILINE))


def documented_options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])(--[a-z][\w-]*|-[a-zA-Z])(?![\w-])", text))


def test_every_option_is_documented_and_every_documented_option_exists() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()
    compiler, rest = page.split("## tern: run, measure, inspect")
    existing = options_of(BIN / "ternc") - {"--help", "--help-list", "--version", "--help-hidden", "--help-list-hidden"}
    assert existing <= documented_options(compiler)
    assert documented_options(compiler) <= existing | {"--help"}

    existing = {option for name in SUBCOMMANDS for option in options_of(BIN / "tern", name)} - {"--help", "-h"}
    documented = documented_options(rest.split("## tern-opt")[0])
    assert existing <= documented
    assert documented <= existing
