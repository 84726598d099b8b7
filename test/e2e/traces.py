"""Reads what `tern bench --trace` writes: Chrome's trace event format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_trace(path: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Events of each track by its name, and the whole file."""
    trace = json.loads(path.read_text())
    names = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"}
    tracks: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for event in trace["traceEvents"]:
        if event["ph"] != "M":
            assert event["ph"] == "X" and event["pid"] == 1 and event["dur"] >= 0 and event["ts"] >= 0
            tracks[names[event["tid"]]].append(event)
    return tracks, trace
