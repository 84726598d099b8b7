"""ggml's own quantizers, from the shared library inside `llama-cpp-python`.

For the types that the `gguf` package cannot encode or decode.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import llama_cpp
import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as Type


@cache
def library() -> ctypes.CDLL:
    ggml = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    ]
    return ggml


def function_name(action: str, kind: Type) -> str:
    """dequantize_row_q4_K, quantize_row_iq4_nl_ref: K-quants have a capital K."""
    return f"{action}_row_{kind.name.lower().replace('_k', '_K')}"


def quantize_q2_0(values: np.ndarray) -> bytes:
    """Blocks of 64 values; `gguf` does not know the type."""
    data = ctypes.create_string_buffer(values.size // 64 * 18)
    library().quantize_row_q2_0_ref(ctypes.c_void_p(values.ctypes.data), data, ctypes.c_int64(values.size))
    return data.raw


def dequantize_q2_0(data: bytes) -> np.ndarray:
    values = np.empty(len(data) // 18 * 64, np.float32)
    library().dequantize_row_q2_0(data, ctypes.c_void_p(values.ctypes.data), ctypes.c_int64(values.size))
    return values


def ggml_quantize(values: np.ndarray, kind: Type, importance: np.ndarray | None = None) -> bytes:
    """Rows of float32, a multiple of the block each, in one piece; `importance` has one float32 a column."""
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[-1])
    elements, size = GGML_QUANT_SIZES[kind]
    data = ctypes.create_string_buffer(rows.size // elements * size)
    if kind == Type.Q8_K:  # not a storage type of ggml_quantize_chunk
        quantize = getattr(library(), function_name("quantize", kind) + "_ref")
        quantize(ctypes.c_void_p(rows.ctypes.data), data, ctypes.c_int64(rows.size))
        return data.raw
    matrix = None if importance is None else importance.ctypes.data
    written = library().ggml_quantize_chunk(kind.value, rows.ctypes.data, data, 0, rows.shape[0], rows.shape[1], matrix)
    assert written == len(data.raw)
    return data.raw


def ggml_dequantize(data: bytes, kind: Type, count: int) -> np.ndarray:
    values = np.empty(count, np.float32)
    dequantize = getattr(library(), function_name("dequantize", kind))
    dequantize(data, ctypes.c_void_p(values.ctypes.data), ctypes.c_int64(count))
    return values
