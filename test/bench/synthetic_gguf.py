"""Writes GGUF models of real shapes with random weights, for measuring speed.

    python test/bench/synthetic_gguf.py tinyllama-1.1b tq2_0 build/bench/tinyllama-tq2_0.gguf

Linear weights have the type asked for; embeddings and head are Q8_0 or, in shapes with large vocabularies, Q6_K. Speed does not depend on the
values; they are scaled so that activations stay finite. Tensors are written one at a time, so memory
stays small whatever the model's size. The vocabulary has the real size and made-up words.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "train"))
from gguf_metadata import Hyperparameters

VERSION = 2  # of what is written for a shape and a type


@dataclass(frozen=True)
class Shape:
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    architecture: str = "llama"
    embedding: Type = Type.Q8_0  # and the head's
    tied: bool = False
    rope_base: float = 10000.0

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def kv_size(self) -> int:
        return self.kv_heads * self.head_size


SHAPES = {
    "tinyllama-1.1b": Shape(2048, 5632, 22, 32, 4, 32000, 2048),
    "llama-3.2-1b": Shape(2048, 8192, 16, 32, 8, 128256, 131072, "llama", Type.Q6_K, True, 500000.0),
    "qwen2.5-1.5b": Shape(1536, 8960, 28, 12, 2, 151936, 32768, "qwen2", Type.Q6_K, True, 1000000.0),
    "tiny": Shape(256, 768, 2, 4, 2, 1000, 4096),  # to try things out
    "bitnet-2b-4t": Shape(2560, 6912, 30, 20, 5, 128256, 4096, "bitnet", Type.Q6_K, True, 500000.0),
}
TYPES = {
    "tq2_0": Type.TQ2_0,
    "tq1_0": Type.TQ1_0,
    "q4_0": Type.Q4_0,
    "q8_0": Type.Q8_0,
    "q2_k": Type.Q2_K,
    "q3_k": Type.Q3_K,
    "q4_k": Type.Q4_K,
    "q5_k": Type.Q5_K,
    "q6_k": Type.Q6_K,
    "iq4_nl": Type.IQ4_NL,
    "mxfp4": Type.MXFP4,
}
# Where the f16 scales of a block lie, and the deviation of a random block under scales of 1.
SCALES = {
    Type.TQ2_0: ([64], math.sqrt(2 / 3)),
    Type.TQ1_0: ([52], math.sqrt(2 / 3)),
    Type.Q4_0: ([0], 4.6),
    Type.Q8_0: ([0], 74.0),
    Type.Q2_K: ([80, 82], 14.0),
    Type.Q3_K: ([108], 42.0),
    Type.Q4_K: ([0, 2], 320.0),
    Type.Q5_K: ([0, 2], 660.0),
    Type.Q6_K: ([208], 1370.0),
    Type.IQ4_NL: ([0], 70.0),
}


def matrices(shape: Shape, kind: Type) -> Iterator[tuple[str, int, int, Type]]:
    """Name, rows, columns and type of every matrix, in file order."""
    yield "token_embd.weight", shape.vocabulary, shape.hidden, shape.embedding
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        yield prefix + "attn_q.weight", shape.hidden, shape.hidden, kind
        yield prefix + "attn_k.weight", shape.kv_size, shape.hidden, kind
        yield prefix + "attn_v.weight", shape.kv_size, shape.hidden, kind
        yield prefix + "attn_output.weight", shape.hidden, shape.hidden, kind
        yield prefix + "ffn_gate.weight", shape.feed_forward, shape.hidden, kind
        yield prefix + "ffn_up.weight", shape.feed_forward, shape.hidden, kind
        yield prefix + "ffn_down.weight", shape.hidden, shape.feed_forward, kind
    if not shape.tied:
        yield "output.weight", shape.vocabulary, shape.hidden, shape.embedding


def vectors(shape: Shape) -> Iterator[tuple[str, int, float]]:
    """Name, size and value of every vector."""
    for layer in range(shape.layers):
        prefix = f"blk.{layer}."
        yield prefix + "attn_norm.weight", shape.hidden, 1
        yield prefix + "ffn_norm.weight", shape.hidden, 1
        if shape.architecture == "qwen2":
            yield prefix + "attn_q.bias", shape.hidden, 0.1
            yield prefix + "attn_k.bias", shape.kv_size, 0.1
            yield prefix + "attn_v.bias", shape.kv_size, 0.1
        if shape.architecture == "bitnet":
            yield prefix + "attn_sub_norm.weight", shape.hidden, 1
            yield prefix + "ffn_sub_norm.weight", shape.feed_forward, 1
    yield "output_norm.weight", shape.hidden, 1


def random_blocks(random: np.random.Generator, rows: int, columns: int, kind: Type) -> np.ndarray:
    """Packed rows: random codes, and scales that keep the variance of what passes through."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows, columns // elements, size), np.uint8)
    if kind == Type.TQ2_0:  # 64 bytes of codes 0, 1, 2 in two bits each
        codes = random.integers(0, 3, (4, rows, columns // elements, 64), np.uint8)
        blocks[..., :64] = codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6
    if kind == Type.MXFP4:  # a power of two, then codes of deviation 5
        blocks[..., 0] = 127 - round(math.log2(2.5 * math.sqrt(columns)))
        return blocks.reshape(rows, -1)
    places, deviation = SCALES[kind]
    scale = np.float16(1 / (deviation * math.sqrt(columns)))
    for place in places:
        blocks[..., place : place + 2] = np.frombuffer(scale.tobytes(), np.uint8)
    return blocks.reshape(rows, -1)


def write_metadata(writer: gguf.GGUFWriter, name: str, shape: Shape) -> None:
    writer.add_name(f"synthetic {name}")
    Hyperparameters(
        max(shape.context, 4096), shape.hidden, shape.feed_forward, shape.layers, shape.heads, shape.kv_heads, 1e-5, shape.vocabulary
    ).write(writer)  # fmt: skip
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_tokenizer_model("llama")
    control = [b"<unk>", b"<s>", b"</s>"]
    byte_tokens = [f"<0x{byte:02X}>".encode() for byte in range(256)]
    words = [f"\u2581w{index}".encode() for index in range(shape.vocabulary - 259)]
    writer.add_token_list(control + byte_tokens + words)
    writer.add_token_scores([0.0] * 259 + [-float(index) for index in range(len(words))])
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.NORMAL] * len(words)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def write_model(name: str, type_name: str, path: Path, zeros: bool = False) -> None:
    """The same file every time; it appears under its name when it is complete. With `zeros` all tensors are zero, and
    the file takes next to no space on disk."""
    shape, kind = SHAPES[name], TYPES[type_name]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    writer = gguf.GGUFWriter(partial, shape.architecture)
    write_metadata(writer, name, shape)
    for tensor, rows, columns, stored in matrices(shape, kind):
        elements, size = gguf.GGML_QUANT_SIZES[stored]
        row_bytes = columns // elements * size
        writer.add_tensor_info(tensor, (rows, row_bytes), np.dtype(np.uint8), rows * row_bytes, stored)
    for tensor, size, _ in vectors(shape):
        writer.add_tensor_info(tensor, (size,), np.dtype(np.float32), size * 4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if zeros:
        sizes = [info.nbytes for infos in writer.tensors for info in infos.values()]
        end = sum(writer.ggml_pad(size, writer.data_alignment) for size in [writer.fout[0].tell(), *sizes])
        writer.close()
        os.truncate(partial, end)
    else:
        random = np.random.default_rng(1)
        for _, rows, columns, stored in matrices(shape, kind):
            writer.write_tensor_data(random_blocks(random, rows, columns, stored))
        for _, size, value in vectors(shape):
            writer.write_tensor_data(np.full(size, value, np.float32))
        writer.close()
    partial.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a GGUF model with random weights.")
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES, help="of the linear weights")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    write_model(options.shape, options.type, options.output)


if __name__ == "__main__":
    main()
