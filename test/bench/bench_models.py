"""The models that are compared: GGUF files of real shapes, written or quantized once, and their artifacts.

What a file holds is named by its encoding, a key of ENCODINGS: a type of `synthetic_gguf`, or one that llama.cpp's own
quantizer makes of a Q8_0 file.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from synthetic_gguf import TYPES, VERSION, write_model

# From llama.h, llama_ftype.
LLAMA_FTYPES = {"q4_k_m": 15, "q5_k_m": 17, "q2_0": 41}


@dataclass(frozen=True)
class Encoding:
    """What is compared: the file, and what is made of it for Tern."""

    file: str  # of TYPES or LLAMA_FTYPES
    options: tuple[str, ...] = ()  # of ternc
    brief: bool = False  # few tokens: llama.cpp computes them one value at a time


ENCODINGS = {name: Encoding(name) for name in [*TYPES, *LLAMA_FTYPES]} | {
    "q2_0": Encoding("q2_0", brief=True),
    "ternary-b3": Encoding("tq1_0", ("--quantize=*blk*=ternary-b3",)),
}


@dataclass(frozen=True)
class Model:
    shape: str
    encoding: str
    gguf: Path
    artifact: Path
    compile_seconds: float


def quantize(source: Path, target: Path, ftype: int) -> None:
    """llama.cpp's own quantizer; the file appears under its name when it is complete."""
    import llama_cpp

    silent = llama_cpp.llama_log_callback(lambda level, text, user_data: None)
    llama_cpp.llama_log_set(silent, None)
    partial = target.with_name(target.name + ".partial")
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = ftype
    parameters.allow_requantize = True
    if llama_cpp.llama_model_quantize(str(source).encode(), str(partial).encode(), parameters) != 0:
        sys.exit(f"llama.cpp cannot quantize {source} to {target}")
    partial.rename(target)


def gguf_file(shape: str, file: str, folder: Path) -> Path:
    path = folder / f"{shape}-{file}-v{VERSION}.gguf"
    if path.exists():
        return path
    print(f"writing {path}", file=sys.stderr)
    if file in TYPES:
        write_model(shape, file, path)
    else:
        quantize(gguf_file(shape, "q8_0", folder), path, LLAMA_FTYPES[file])
    return path


def prepare(shape: str, encoding: str, folder: Path, programs: Path) -> Model:
    """The file is kept for the next time; the artifact is always that of this compiler."""
    recipe = ENCODINGS[encoding]
    gguf = gguf_file(shape, recipe.file, folder)
    artifact = folder / f"{shape}-{encoding}.tern"
    start = time.perf_counter()
    subprocess.run([programs / "ternc", gguf, "-o", artifact, *recipe.options], check=True, stdout=subprocess.DEVNULL)
    return Model(shape, encoding, gguf, artifact, time.perf_counter() - start)
