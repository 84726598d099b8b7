"""The files of figures: on what machine, when and with which versions they were measured, and their rows."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def versions(programs: Path) -> dict[str, str]:
    """Of Tern's programs, and of the sources beside this file, of which it should be made; those not in a git checkout."""
    tern = subprocess.run([programs / "tern", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {"tern": tern.strip()}
    if shutil.which("git"):
        command = ["git", "describe", "--always", "--dirty"]
        commit = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if commit.returncode == 0:
            found["sources"] = commit.stdout.strip()
    return found


def machine() -> str:
    return f"{os.cpu_count()} processors of {cpu_name()}"


def write_figures(path: Path, rows: list[dict[str, Any]], **also: str) -> None:
    """The file appears under its name when it is complete; `also`: what else was measured with, and where if not here."""
    report = {
        "machine": machine(),
        **also,
        "date": datetime.date.today().isoformat(),
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(report, indent=1) + "\n")
    partial.rename(path)
