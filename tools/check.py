"""Builds and runs every test, and ends with the line `N passed, N failed, N skipped`.

Suites: unit (GoogleTest by ctest), sanitize (runtime and parsers under AddressSanitizer and UBSan), lit (IR and
emitted kernels), emulated (kernels for AArch64 under qemu), pytest (end to end), style (formatting and static checks,
one test each). --all adds the tests marked slow and clang-tidy. The Python references are installed while the project
builds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
LOGS = BUILD / "check"
BUILD_ENV = ROOT / ".venv" / "build" / "bin"
TEST_ENV = ROOT / ".venv" / "test" / "bin"
JOBS = os.cpu_count() or 1
SUITE_LIMIT_SECONDS = 40 * 60
SHOWN_LINES = 40


@dataclass
class Counts:
    passed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = f"{self.passed} passed, {len(self.failures)} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


def say(text: str) -> None:
    print(text, flush=True)


def run(name: str, command: list[str | Path], environment: dict[str, str] | None = None) -> tuple[int, Path]:
    """Runs a command from the project's root with its output in a log; 124 if it took too long."""
    log = LOGS / f"{name}.log"
    with log.open("w") as output:
        try:
            status = subprocess.run(
                command,
                check=False,
                cwd=ROOT,
                env=os.environ | {"TERN_BIN_DIR": str(BUILD / "bin")} | (environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=SUITE_LIMIT_SECONDS,
            ).returncode
        except subprocess.TimeoutExpired:
            output.write(f"\nstopped after {SUITE_LIMIT_SECONDS} s\n")
            status = 124
    return status, log


def tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-SHOWN_LINES:])


def read_junit(report: Path) -> Counts:
    """Counts of a JUnit report as ctest, lit and pytest write it, with the text of each failure."""
    counts = Counts()
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '')}.{case.get('name', '')}".strip(".")
        trouble = case.find("failure") if case.find("failure") is not None else case.find("error")
        if trouble is not None or case.get("status") == "fail":
            text = (trouble.text if trouble is not None else None) or case.findtext("system-out") or ""
            counts.failures.append("\n".join([name, *text.splitlines()[-SHOWN_LINES:]]))
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            counts.skipped += 1
        else:
            counts.passed += 1
    return counts


def junit_suite(
    name: str, command: list[str | Path], report: Path, environment: dict[str, str] | None = None
) -> Counts:
    report.unlink(missing_ok=True)
    status, log = run(name, command, environment)
    if not report.exists():
        return Counts(failures=[f"{name} wrote no report (status {status})\n{tail(log)}"])
    counts = read_junit(report)
    if status != 0 and not counts.failures:
        counts.failures.append(f"{name} ended with status {status}\n{tail(log)}")
    if counts.passed == 0 and not counts.failures:
        counts.failures.append(f"{name} ran no test\n{tail(log)}")
    return counts


def ctest(name: str, folder: Path, environment: dict[str, str] | None = None) -> Counts:
    report = LOGS / f"{name}.xml"
    command: list[str | Path] = [
        BUILD_ENV / "ctest",
        "--test-dir",
        folder,
        "--parallel",
        str(JOBS),
        "--output-on-failure",
    ]
    return junit_suite(name, [*command, "--timeout", "900", "--output-junit", report], report, environment)


def unit() -> Counts:
    return ctest("unit", BUILD)


def sanitize() -> Counts:
    status, log = run("build-asan", [ROOT / "tools" / "build.sh", "asan"])
    if status != 0:
        return Counts(failures=[f"building the asan preset failed\n{tail(log)}"])
    options = {
        "ASAN_OPTIONS": "strict_string_checks=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    return ctest("sanitize", BUILD / "asan", options)


def emulated() -> Counts:
    report = LOGS / "emulated.xml"
    runner = f"qemu-aarch64-static {BUILD / 'aarch64' / 'bin' / 'kernel-runner'}"
    command: list[str | Path] = [
        BUILD / "bin" / "kernels_test",
        "--gtest_filter=*aarch64*",
        f"--gtest_output=xml:{report}",
    ]
    return junit_suite("emulated", command, report, {"TERN_AARCH64_RUNNER": runner})


def lit() -> Counts:
    report = LOGS / "lit.xml"
    command: list[str | Path] = [BUILD_ENV / "lit", "-j", str(JOBS), "--xunit-xml-output", report, "-v", "test/lit"]
    return junit_suite("lit", command, report)


def pytest(everything: bool) -> Counts:
    report = LOGS / "pytest.xml"
    command: list[str | Path] = [TEST_ENV / "python", "-m", "pytest", "-q", "-n", str(JOBS), f"--junitxml={report}"]
    if not everything:
        command += ["-m", "not slow"]
    return junit_suite("pytest", command, report, {"OMP_NUM_THREADS": "1"})


def tracked(*patterns: str) -> list[str]:
    command = ["git", "ls-files", "--", *patterns]
    listing = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [line for line in listing.splitlines() if (ROOT / line).exists()]


def style(everything: bool) -> Counts:
    sources = tracked("*.cpp", "*.h", "*.c")
    checks: dict[str, list[str | Path]] = {
        "clang-format": ["clang-format-22", "--dry-run", "--Werror", *sources],
        "ruff": [TEST_ENV / "ruff", "check", "--no-cache", "."],
        "ruff format": [TEST_ENV / "ruff", "format", "--check", "--no-cache", "."],
        "shell": ["bash", "-n", *tracked("*.sh", ".ci/run")],
    }
    if everything:
        units = [path for path in tracked("runtime/*.cpp", "compiler/*.cpp", "targets/*.cpp", "tools/*.cpp")]
        checks["clang-tidy"] = ["run-clang-tidy-22", "-quiet", "-p", BUILD, "-j", str(JOBS), *units]
    counts = Counts()
    for name, command in checks.items():
        status, log = run(name, command)
        if status == 0:
            counts.passed += 1
        else:
            counts.failures.append(f"{name}\n{tail(log)}")
    return counts


def build() -> bool:
    """The release build with all tests, while the Python references are installed in the background."""
    nice: list[str | Path] = ["nice", "-n", "15"] if shutil.which("nice") else []
    # A suite needs every reference: the suites wait for the installation, whatever the build does.
    with (LOGS / "bootstrap.log").open("w") as log:
        references = subprocess.Popen(
            [*nice, ROOT / "tools" / "bootstrap.sh", "test"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        command: list[str | Path] = [ROOT / "tools" / "build.sh", "release", "-DTERN_BUILD_TESTS=ON"]
        cross: list[str | Path] = [ROOT / "tools" / "build.sh", "aarch64", "tern", "kernel-runner"]
        built = all(subprocess.run(one, check=False, cwd=ROOT).returncode == 0 for one in (command, cross))
        installed = references.wait() == 0
    if not installed:
        say(f"check: installing the references failed\n{tail(LOGS / 'bootstrap.log')}")
    return built and installed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="slow tests and clang-tidy too")
    parser.add_argument("--only", metavar="SUITE", action="append", help="run only these suites")
    arguments = parser.parse_args()
    suites: dict[str, Callable[[], Counts]] = {
        "unit": unit,
        "lit": lit,
        "emulated": emulated,
        "pytest": lambda: pytest(arguments.all),
        "sanitize": sanitize,
        "style": lambda: style(arguments.all),
    }
    chosen = arguments.only or list(suites)
    if unknown := sorted(set(chosen) - set(suites)):
        parser.error(f"unknown suite {', '.join(unknown)}; known are {', '.join(suites)}")

    LOGS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    total = Counts()
    if chosen == ["style"] or build():  # style alone needs nothing that is built
        say(f"check: ready after {time.monotonic() - started:.0f} s")
        for name in chosen:
            began = time.monotonic()
            counts = suites[name]()
            for failure in counts.failures:
                say(f"FAILED {name}: {failure}\n")
            say(f"check: {name}: {counts} ({time.monotonic() - began:.0f} s)")
            total.passed += counts.passed
            total.skipped += counts.skipped
            total.failures += counts.failures
    else:
        total.failures.append("build")
    say(f"check: {time.monotonic() - started:.0f} s in all")
    say(str(total))
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
