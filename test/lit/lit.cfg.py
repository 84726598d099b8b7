"""lit configuration: IR by stage and emitted kernels.

    .venv/build/bin/lit test/lit                     the programs in build/bin
    TERN_BIN_DIR=build/dev/bin .venv/build/bin/lit ...   another build

FileCheck and `not` are LLVM 22's; TERN_LLVM_BIN names their folder where it is not Debian's.
"""

import os
import sys
from pathlib import Path

import lit.formats

config.name = "tern"
config.test_format = lit.formats.ShTest(execute_external=False)
config.recursiveExpansionLimit = 8
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs"]
config.test_source_root = str(Path(__file__).parent)

root = Path(__file__).resolve().parents[2]
programs = Path(os.environ.get("TERN_BIN_DIR", root / "build" / "bin")).resolve()
config.test_exec_root = str(programs.parent / "test" / "lit")
if not (programs / "tern-opt").exists():
    lit_config.fatal(f"no tern-opt in {programs}: build it, or set TERN_BIN_DIR to the folder that has it")

llvm = os.environ.get("TERN_LLVM_BIN", "/usr/lib/llvm-22/bin")
config.environment["PATH"] = os.pathsep.join([str(programs), llvm, os.environ["PATH"]])
config.environment["TMPDIR"] = os.environ.get("TMPDIR", "/tmp")
config.environment["TERN_CACHE_DIR"] = ""  # kernels are compiled, never taken from a cache
config.substitutions += [
    ("%root", str(root)),
    ("%tablegen", f"mlir-tblgen -I {root} -I {Path(llvm).parent / 'include'}"),
    ("%loops", f"{sys.executable} {root / 'test/lit/CodeGen/Inputs/innermost_loops.py'}"),
]
