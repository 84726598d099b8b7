"""The tables of README.md and docs/status.md are what publish.py makes of docs/benchmark."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from publish import PublishError, publish, section

ROOT = Path(__file__).parents[2]


def test_pages_show_the_figures() -> None:
    assert publish(ROOT, write=False) == [], "run `python test/bench/publish.py --write`"


def copy_of_pages(tmp_path: Path) -> Path:
    for name in ("README.md", "docs/status.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs" / "benchmark", tmp_path / "docs" / "benchmark")
    return tmp_path


def test_a_changed_table_is_found_and_rewritten(tmp_path: Path) -> None:
    root = copy_of_pages(tmp_path)
    status = root / "docs" / "status.md"
    text = status.read_text()
    status.write_text(text.replace(" GB/s |", " GB/s, about |", 1))
    assert publish(root, write=False) == ["docs/status.md"]
    publish(root, write=True)
    assert status.read_text() == text


def test_changed_figures_are_found(tmp_path: Path) -> None:
    root = copy_of_pages(tmp_path)
    path = root / "docs" / "benchmark" / "tinyllama-1.1b.json"
    report = json.loads(path.read_text())
    report["rows"][1]["engines"]["tern"]["decode 128"] = [1.0, 1.0, 1.0]
    path.write_text(json.dumps(report))
    assert publish(root, write=False) == ["README.md", "docs/status.md"]


def test_figures_that_no_page_shows_are_an_error(tmp_path: Path) -> None:
    root = copy_of_pages(tmp_path)
    figures = root / "docs" / "benchmark"
    shutil.copy(figures / "tinyllama-1.1b.json", figures / "other.json")
    with pytest.raises(PublishError, match="other.json"):
        publish(root, write=False)
    status = root / "docs" / "status.md"
    status.write_text(status.read_text() + "\n<!-- figures: speeds other -->\n<!-- end of figures -->\n")
    publish(root, write=True)
    table = section(root, "speeds", "tinyllama-1.1b")
    assert status.read_text().count(table) == 2


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("<!-- figures: sizes tinyllama-1.1b -->\n<!-- end of figures -->", "sizes"),
        ("<!-- figures: speeds missing -->\n<!-- end of figures -->", "missing.json"),
        ("<!-- figures: speeds tinyllama-1.1b -->", "no end"),
    ],
)
def test_wrong_sections_are_errors(tmp_path: Path, marker: str, message: str) -> None:
    root = copy_of_pages(tmp_path)
    readme = root / "README.md"
    readme.write_text(readme.read_text() + "\n" + marker + "\n")
    with pytest.raises(PublishError, match=message):
        publish(root, write=False)


def test_long_prompts_and_the_machine_have_their_cells(tmp_path: Path) -> None:
    tern = {"decode 2048": 8.0, "decode 128": 10.0, "prefill 512": 90.0, "prefill 128": 100.0}
    tern |= {"latency p50": 100.0, "latency p99": 110.0, "start to first token": 20.0, "peak resident": 5e6}
    peer = {name: value / 2 for name, value in tern.items()} | {"latency p50": 200.0, "latency p99": 300.0}
    row = {
        "shape": "s", "encoding": "tq2_0", "threads": 2, "bandwidth": [1e9],
        "jitter": {"compute": [1.01, 1.03, 1.02], "read": [1.2, 1.1, 1.3]},
        "engines": {
            "tern": {name: [value] for name, value in {**tern, "weight bytes per token": 5e7}.items()},
            "llama.cpp": {name: [value] for name, value in peer.items()},
        },
    }  # fmt: skip
    figures = tmp_path / "docs" / "benchmark"
    figures.mkdir(parents=True)
    (figures / "s.json").write_text(json.dumps({"date": "2026-11-22", "machine": "one", "rows": [row]}))
    speeds = section(tmp_path, "speeds", "s").split("\n\n")[0].splitlines()[2:]
    assert [line.split(" | ")[2] for line in speeds] == ["decode 128", "decode 2048", "prefill 128", "prefill 512"]
    assert speeds[0].endswith("| 2.00 | 50% of 1.0 GB/s |")
    assert "| 1.10 / 1.50 | 1.02, 1.20 | 20.0 / 10.0 | 5.00 / 2.50 |" in section(tmp_path, "steps", "s")
    summary = section(tmp_path, "summary", "s")
    assert "| TQ2_0: generate behind 2,048 tokens, one run | 8 | 4 | 2.00 |" in summary
    assert summary.endswith("Medians where not one run, 2026-11-22, one.")


def test_latency_is_that_of_one_setting_of_the_peer(tmp_path: Path) -> None:
    metrics = {
        "start to first token": [20.0],
        "peak resident": [5e6],
        "decode 128": [1.0],
        "weight bytes per token": [1.0],
    }
    engines = {
        "tern": {**metrics, "latency p50": [10.0], "latency p99": [11.0]},
        "llama.cpp": {**metrics, "latency p50": [20.0], "latency p99": [40.0]},
        "llama.cpp, not repacked": {**metrics, "latency p50": [24.0], "latency p99": [30.0]},
    }
    figures = tmp_path / "docs" / "benchmark"
    figures.mkdir(parents=True)
    row = {"shape": "s", "encoding": "e", "threads": 1, "bandwidth": [1e9], "engines": engines}
    (figures / "s.json").write_text(json.dumps({"date": "d", "machine": "m", "sources": "abc", "rows": [row]}))
    assert section(tmp_path, "steps", "s").endswith("\n\nd, m, sources abc.")
    assert "| 10.0 / 24.0 | 11.0 / 30.0 | 1.10 / 1.25 |" in section(tmp_path, "steps", "s")


def test_models_are_named_where_there_are_several(tmp_path: Path) -> None:
    root = copy_of_pages(tmp_path)
    path = root / "docs" / "benchmark" / "tinyllama-1.1b.json"
    report = json.loads(path.read_text())
    report["rows"] += [{**row, "shape": "bitnet-2b-4t"} for row in report["rows"]]
    path.write_text(json.dumps(report))
    for kind in ("speeds", "steps"):
        header, _, *lines = section(root, kind, "tinyllama-1.1b").split("\n\n")[0].splitlines()
        assert header.startswith("| model | type | threads |")
        assert lines[0].startswith("| tinyllama-1.1b |")
        assert lines[-1].startswith("| bitnet-2b-4t |")
