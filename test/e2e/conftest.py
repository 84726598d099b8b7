"""Fixtures: models built and compiled once per session, in a folder of the session's own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from models import BuiltModel, ModelSpec, build
from programs import BIN, ternc

ROOT = Path(__file__).parents[2]
HOME_ASSISTANT = ROOT / "examples" / "home-assistant" / "home-assistant.gguf"

BuildModel = Callable[[ModelSpec], BuiltModel]
Compile = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels compiled by the tests stay out of the user's cache; workers and runs share them."""
    if "TERN_CACHE_DIR" not in os.environ:
        os.environ["TERN_CACHE_DIR"] = str(BIN.parent / "e2e-kernel-cache")
    yield


@pytest.fixture(scope="session")
def build_model(tmp_path_factory: pytest.TempPathFactory) -> BuildModel:
    """Builds a model once per session."""
    built: dict[ModelSpec, BuiltModel] = {}

    def get(spec: ModelSpec) -> BuiltModel:
        if spec not in built:
            built[spec] = build(spec, tmp_path_factory.mktemp(spec.name))
        return built[spec]

    return get


@pytest.fixture(scope="session")
def compile_gguf(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """compile_gguf(path, *options): the artifact, compiled once per session and set of options."""
    compiled: dict[tuple[Path, tuple[str, ...]], Path] = {}

    def get(path: Path, *options: str) -> Path:
        key = (path, options)
        if key not in compiled:
            compiled[key] = ternc(path, tmp_path_factory.mktemp(path.stem) / f"{path.stem}.tern", *options)
        return compiled[key]

    return get


@pytest.fixture(scope="session")
def home_assistant(compile_gguf: Compile) -> Path:
    """The bundled model, compiled for this CPU."""
    return compile_gguf(HOME_ASSISTANT)


@pytest.fixture(scope="session")
def small_gguf(build_model: BuildModel) -> Path:
    """A small F32 model for tests that are not about numbers."""
    return build_model(ModelSpec("small")).path


@pytest.fixture(scope="session")
def small_artifact(compile_gguf: Compile, small_gguf: Path) -> Path:
    return compile_gguf(small_gguf)


@pytest.fixture
def full_device(tmp_path: Path) -> Path:
    """A device of the test's own that answers every write with ENOSPC, as /dev/full does."""
    path = tmp_path / "full"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        with path.open("wb", buffering=0) as device:
            device.write(b"x")
    except PermissionError as error:
        pytest.skip(f"cannot make a device that is always full: {error}")
    except OSError:
        return path
    raise AssertionError(f"{path} accepts writes")
