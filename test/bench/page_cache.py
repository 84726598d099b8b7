"""Files in the page cache, in the same state for all programs that map them.

How fast mapped pages are read, and how long it takes to map them, depends on how they came into the page cache: written or
read, in one go or piece by piece after the kernel had given some up. A start of 30 ms took 65 with another copy of the file.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

PROT_READ, MAP_SHARED = 1, 1
MAP_FAILED = ctypes.c_void_p(-1).value


def read_whole(path: Path) -> None:
    """Into the page cache."""
    with path.open("rb") as file, open(os.devnull, "wb") as nothing:
        shutil.copyfileobj(file, nothing, 1 << 20)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """The file's pages as one read in sequence leaves them, locked meanwhile. False, with a message: they could not be."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mlock.argtypes = libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    size = path.stat().st_size
    _, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (most, most))
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what is not written yet is not given up
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        read_whole(path)
        address = libc.mmap(None, size, PROT_READ, MAP_SHARED, file.fileno(), 0)
    if address == MAP_FAILED:
        raise OSError(ctypes.get_errno(), "cannot be mapped", str(path))
    try:
        locked = libc.mlock(address, size) == 0
        if not locked:
            reason = os.strerror(ctypes.get_errno())
            print(f"{path}: cannot be locked in memory ({reason}); figures may vary more", file=sys.stderr)
        yield locked
    finally:
        libc.munmap(address, size)
