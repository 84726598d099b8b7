"""The peer benchmark (test/bench): one small run of all of it, its report, and its client of other programs' servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from engines import build_tool
from page_cache import held
from programs import BIN
from report import bandwidth_share, better_peer, ratio, roofline_table, table
from server import ServerError, measure_server

COMPARE = Path(__file__).parents[1] / "bench" / "compare.py"


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COMPARE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def test_engines_are_compared_on_the_same_file(tmp_path: Path) -> None:
    figures, plot = tmp_path / "figures.json", tmp_path / "plot.svg"
    options = ["--shapes", "tiny", "--encodings", "q4_0", "q2_0", "--threads", "2", "--repetitions", "2"]
    files = ["--folder", tmp_path / "models", "--bin", BIN, "--json", figures, "--plot", plot]
    result = compare(*options, *files, "--latency", "10", "--long", "1")
    assert result.returncode == 0, result.stderr
    report = json.loads(figures.read_text())
    assert [row["encoding"] for row in report["rows"]] == ["q4_0", "q2_0"]
    for row in report["rows"]:
        assert len(row["bandwidth"]) == 2
        for kind in ("compute", "read"):
            assert len(row["jitter"][kind]) == 2 and min(row["jitter"][kind]) >= 1
            assert min(row["jitter"][f"{kind} p50"]) > 0 and len(row["jitter"][f"{kind} max"]) == 2
        assert set(row["engines"]) == {"tern", "llama.cpp", "llama.cpp, not repacked"}
        for name, metrics in row["engines"].items():
            brief = {"prefill 8", "decode 8"}
            whole = {"prefill 128", "prefill 512", "decode 128", "decode 2048"}
            speeds = brief if row["encoding"] == "q2_0" else whole
            assert speeds | {"latency p99", "load"} <= set(metrics), name
            assert {"start to first token", "peak resident"} <= set(metrics), name
            long = {"prefill 512", "decode 2048", "prefill 2048"}
            for metric, values in metrics.items():
                assert len(values) == (1 if metric in long else 2) and min(values) > 0, metric
    assert result.stdout == table(report["rows"]) + "\n"
    assert plot.read_text().startswith("<?xml")
    shown = compare("--show", figures)
    assert shown.stdout == result.stdout


def test_held_files_stay_in_the_page_cache(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())

    def survives_a_request_to_drop_it() -> bool:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                return os.preadv(file.fileno(), [bytearray(1 << 20)], 0, os.RWF_NOWAIT) == 1 << 20
            except BlockingIOError:
                return False
            except OSError as error:
                pytest.skip(f"the file system does not tell what is in memory: {error}")

    if survives_a_request_to_drop_it():
        pytest.skip("files of this file system are always in memory")
    with held(path) as locked:
        assert survives_a_request_to_drop_it() or not locked


def test_roofline_has_a_line_for_each_encoding(tmp_path: Path) -> None:
    figures = tmp_path / "roofline.json"
    command = [sys.executable, COMPARE.with_name("roofline.py"), "--shape", "tiny", "--encodings", "ternary", "q4_k"]
    command += ["--rounds", "2", "--threads", "1", "2", "--bin", BIN, "--folder", tmp_path, "--json", figures]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    lines = [line.split(" | ") for line in result.stdout.splitlines()]
    assert [cells[0] for cells in lines] == ["| encoding", "|---|---|---|---|---|", "| ternary", "| q4_k"]
    rows = json.loads(figures.read_text())["rows"]
    assert [(row["encoding"], row["threads"]) for row in rows] == [
        ("ternary", 1), ("ternary", 2), ("q4_k", 1), ("q4_k", 2),
    ]  # fmt: skip
    for row in rows:
        for amount in ("read", "read_limit", "operations"):
            assert len(row[amount]) == 2 and min(row[amount]) > 0
        assert len(row["operations_limit"]) in (0, 2)


def test_rooflines_are_medians_with_the_shares_of_their_own_rounds() -> None:
    row = {"encoding": "q4_k", "threads": 1, "read": [10e9, 30e9, 20e9], "read_limit": [20e9, 40e9, 80e9]}
    row |= {"operations": [200e9, 400e9, 300e9], "operations_limit": []}
    lines = roofline_table(
        [row, {**row, "encoding": "q5_k", "threads": 2, "operations_limit": [4e11] * 3}]
    ).splitlines()
    assert lines[2] == "| q4_k | 20.0 (50%) | 300.0 |  |  |"
    assert lines[3] == "| q5_k |  |  | 20.0 (50%) | 300.0 (75%) |"


def row_of(tern: dict[str, float], repacked: dict[str, float], plain: dict[str, float]) -> dict:
    engines = {"tern": tern, "llama.cpp": repacked, "llama.cpp, not repacked": plain}
    return {
        "shape": "s", "encoding": "e", "threads": 1, "bandwidth": [20e9, 10e9, 12e9],
        "engines": {name: {metric: [value] for metric, value in values.items()} for name, values in engines.items()},
    }  # fmt: skip


def test_ratios_are_to_the_better_setting() -> None:
    row = row_of(
        {"decode 128": 30, "load": 1, "weight bytes per token": 2e8},
        {"decode 128": 20, "load": 4},
        {"decode 128": 10, "load": 2},
    )
    assert better_peer(row, "decode 128") == "llama.cpp" and ratio(row, "decode 128") == 1.5
    assert better_peer(row, "load") == "llama.cpp, not repacked" and ratio(row, "load") == 0.5
    assert bandwidth_share(row) == pytest.approx(30 * 2e8 / 12e9)


def test_jitter_stands_beside_the_machines_own() -> None:
    row = row_of(
        {"latency p50": 10, "latency p99": 15, "decode 128": 100, "weight bytes per token": 2e8},
        {"latency p50": 20, "latency p99": 50},
        {"latency p50": 20, "latency p99": 40},
    )
    cells = "| s e | 1 | latency p99 over p50 | 1.50 | 2.00 | not repacked | 0.75 |"
    assert table([row]).splitlines()[-1] == f"{cells}  |"
    row["jitter"] = {"compute": [1.1, 1.3, 1.2], "read": [1.4]}
    assert table([row]).splitlines()[-1] == f"{cells} the machine: 1.20 computing, 1.40 reading |"


def test_the_machines_steps_are_as_long_as_asked(tmp_path: Path) -> None:
    program, file = build_tool("jitter", tmp_path), tmp_path / "bytes"
    file.write_bytes(bytes(1 << 22))
    for mode in ("map", "copy"):
        command = [program, file, mode, "2", "50", "2"]
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        trial = report["trial"]
        assert report["products"] / trial["products"] == pytest.approx(2 / trial["milliseconds"], rel=1e-4)
        for kind in ("compute", "read"):
            times = report[kind]
            assert 0 < times["p50"] <= times["p99"] <= times["max"]
    for wrong in ([file, "map", "0", "50", "2"], [tmp_path / "none", "map", "1", "50", "2"]):
        failed = subprocess.run([program, *wrong], stderr=subprocess.PIPE, text=True, check=False)
        assert failed.returncode != 0 and failed.stderr


class FakeClock:
    """A second later at each look, or, `stopped`, only at the first."""

    def __init__(self, stopped: bool = False) -> None:
        self.looks, self.stopped = 0, stopped

    def __call__(self) -> float:
        self.looks += 1
        return float(min(self.looks, 2) if self.stopped else self.looks)


class FakeServer(BaseHTTPRequestHandler):
    """OpenAI's completions and Ollama's generate, as their documentations have them. `server.kind` says which."""

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def usage(self, tokens: int) -> dict[str, int]:
        return {"prompt_tokens": 128, "completion_tokens": tokens}

    def stream(self, tokens: int, kind: str) -> None:
        # Two pieces of text to a token: it is tokens that count.
        events: list[dict[str, Any]] = [{"choices": [{"text": f" {i}"}]} for i in range(2 * tokens)]
        if kind == "refusing":
            events = [{"error": {"message": "out of memory"}}]
        elif kind == "silent" or (kind == "silent at first" and len(self.server.requests) == 1):  # type: ignore[attr-defined]
            events = [{"choices": [{"text": ""}]}]
        elif kind not in ("no usage in streams", "no usage"):
            events.append({"choices": [], "usage": self.usage(tokens)})
        self.send_response(200)
        self.end_headers()
        for event in events:
            self.wfile.write(f"data: {json.dumps(event) if kind != 'garbled' else 'x'}\n\n".encode())
        self.wfile.write(b"data:[DONE]\n\n")

    def do_GET(self) -> None:
        if self.path == "/api/version" and self.server.kind.startswith("ollama"):  # type: ignore[attr-defined]
            self.answer(b'{"version": "0.9.0"}')
        elif self.path == "/api/version" and self.server.kind == "another's version":  # type: ignore[attr-defined]
            self.answer(b"5")
        else:
            self.answer(b"not found", 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)  # type: ignore[attr-defined]
        if body["model"] != "m":
            self.answer(b'{"error": "model not found"}', 404)
        elif self.path == "/api/generate":
            figures = {
                "prompt_eval_count": 100,
                "prompt_eval_duration": 10**9,
                "eval_count": 1 if self.server.kind == "ollama, one token" else 30,  # type: ignore[attr-defined]
                "eval_duration": 0 if self.server.kind == "ollama, no time" else 2 * 10**9,  # type: ignore[attr-defined]
            }
            self.answer(json.dumps({"response": "x", "done": True, **figures}).encode())
        elif self.path == "/v1/completions":
            tokens, kind = body["max_tokens"], self.server.kind  # type: ignore[attr-defined]
            if body.get("stream"):
                self.stream(tokens, kind)
            else:
                usage = {} if kind == "no usage" else {"usage": self.usage(tokens)}
                self.answer(json.dumps({"choices": [{"text": "x"}], **usage}).encode())
        else:
            self.answer(b"not found", 404)


@contextmanager
def serving(kind: str) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeServer)
    server.kind, server.requests = kind, []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_ollama_is_measured_by_its_own_figures() -> None:
    with serving("ollama") as server:
        speeds = measure_server(f"http://127.0.0.1:{server.server_port}/", "m", repetitions=2)
        assert speeds == {"prefill, tokens/s": [100.0, 100.0], "decode, tokens/s": [15.0, 15.0]}
        prompts = [request["prompt"] for request in server.requests]  # type: ignore[attr-defined]
        assert len(set(prompts)) == 3, "a prompt cache would answer"


def test_answers_of_one_token_have_no_speed() -> None:
    with serving("ollama, one token") as server, pytest.raises(ServerError, match="fewer than two tokens"):
        measure_server(f"http://127.0.0.1:{server.server_port}", "m", repetitions=1)


def test_answers_that_took_no_time_have_no_speed() -> None:
    with serving("ollama, no time") as server, pytest.raises(ServerError, match="eval_duration is 0"):
        measure_server(f"http://127.0.0.1:{server.server_port}", "m", repetitions=1)


def test_a_server_is_measured_into_a_file(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    with serving("ollama") as server:
        url = f"http://127.0.0.1:{server.server_port}"
        result = compare("--server", url, "m", "--repetitions", "2", "--json", figures)
        assert result.returncode == 0, result.stderr
        assert "decode, tokens/s: 15.0 (15.0 to 15.0)" in result.stdout
    report = json.loads(figures.read_text())
    assert report["machine"].startswith("the server's, asked from") and not {"tern", "sources"} & set(report)
    (row,) = report["rows"]
    assert row == {"server": url, "model": "m", "prefill, tokens/s": [100.0] * 2, "decode, tokens/s": [15.0] * 2}
    assert compare("--show", figures).stdout == result.stdout
    plotted = compare("--show", figures, "--plot", tmp_path / "plot.svg")
    assert plotted.returncode == 2 and "--plot does not go with" in plotted.stderr
    for other in (["--long"], ["--threads", "1", "2"], ["--bin", BIN]):  # those given as they are by default too
        result = compare("--server", url, "m", *other)
        assert result.returncode == 2 and f"{other[0]} does not go with --server" in result.stderr


@pytest.mark.parametrize("kind", ["openai", "no usage in streams", "silent at first", "another's version"])
def test_openai_servers_are_measured_by_the_times_of_their_pieces(kind: str) -> None:
    with serving(kind) as server:
        speeds = measure_server(f"http://127.0.0.1:{server.server_port}/v1", "m", repetitions=2, clock=FakeClock())
        assert speeds["prefill, tokens/s"] == [128.0, 128.0], "one second until the first piece"
        assert speeds["decode, tokens/s"] == pytest.approx([31 / 63] * 2), "63 seconds until the last"
        request = server.requests[0]  # type: ignore[attr-defined]
        assert request["stream"] and request["max_tokens"] == 32 and request["temperature"] == 0
        streamed = [request for request in server.requests if request.get("stream")]  # type: ignore[attr-defined]
        assert len({request["prompt"] for request in streamed}) == len(streamed), "a prompt cache would answer"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("garbled", "another form"),
        ("no usage", "how many tokens"),
        ("silent", "fewer than two pieces"),
        ("refusing", "out of memory"),
    ],
)
def test_answers_that_say_nothing_are_errors(kind: str, message: str) -> None:
    with serving(kind) as server, pytest.raises(ServerError, match=message):
        measure_server(f"http://127.0.0.1:{server.server_port}", "m", repetitions=1, clock=FakeClock())


def test_pieces_that_come_at_once_are_an_error() -> None:
    with serving("openai") as server, pytest.raises(ServerError, match="at once"):
        measure_server(f"http://127.0.0.1:{server.server_port}", "m", repetitions=1, clock=FakeClock(stopped=True))


@pytest.mark.parametrize("kind", ["ollama", "openai"])
def test_servers_that_refuse_are_errors(kind: str) -> None:
    with serving(kind) as server, pytest.raises(ServerError, match="404"):
        measure_server(f"http://127.0.0.1:{server.server_port}", "other", repetitions=1)
    with pytest.raises(ServerError, match="refused"):
        measure_server(f"http://127.0.0.1:{server.server_port}", "m", repetitions=1)
