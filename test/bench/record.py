"""The files of figures: on what machine, when and with which versions they were measured, and their rows."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def tern_version(programs: Path) -> str:
    tern = subprocess.run([programs / "tern", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    return f"{tern.strip()} {commit.stdout.strip()}".strip()


def write_figures(path: Path, programs: Path, rows: list[dict[str, Any]], **also: str) -> None:
    """The file appears under its name when it is complete."""
    report = {
        "tern": tern_version(programs),
        **also,
        "machine": f"{os.cpu_count()} processors of {cpu_name()}",
        "date": datetime.date.today().isoformat(),
        "rows": rows,
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    partial.rename(path)
