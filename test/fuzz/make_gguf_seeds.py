"""Writes the seed corpus of the GGUF fuzzer: small valid files with every kind of record.

python test/fuzz/make_gguf_seeds.py test/fuzz/corpus/gguf
"""

import struct
import sys
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType, GGUFWriter
from gguf.quants import quantize

# By name: number in GGUF, elements, bytes. I2_S has 32 bytes behind its codes, which begin with its scale.
UNKNOWN_TYPES = {"i2_s": (36, 256, 96), "q2_0": (42, 256, 72)}


def finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def every_value_type(path: Path) -> None:
    writer = GGUFWriter(path, "llama")
    for kind in GGUFValueType:
        if kind not in (GGUFValueType.STRING, GGUFValueType.ARRAY):
            writer.add_key_value(f"k.{kind.name.lower()}", 1, kind)
    writer.add_string("k.string", "text")
    writer.add_array("k.strings", ["a", "", "bc"])
    writer.add_array("k.ints", [1, -2, 3])
    writer.add_array("k.floats", [0.5, 1.5])
    writer.add_array("k.bools", [True, False])
    finish(writer)


def every_block_format(path: Path) -> None:
    writer = GGUFWriter(path, "llama")
    values = np.linspace(-1, 1, 512, dtype=np.float32).reshape(2, 256)
    for kind in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "TQ2_0"):
        number = GGMLQuantizationType[kind]
        writer.add_tensor(f"t.{kind.lower()}", quantize(values, number), raw_dtype=number)
    writer.add_tensor("rank1", np.zeros(3, np.float32))
    writer.add_tensor("rank4", np.zeros((2, 1, 2, 3), np.float32))
    finish(writer)


def random_blocks(path: Path) -> None:
    """One row of every type with blocks, any bits in it."""
    writer = GGUFWriter(path, "llama")
    random = np.random.default_rng(1)
    kinds = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ4_NL MXFP4 TQ1_0 TQ2_0 NVFP4 IQ2_XXS"
    for kind in kinds.split():
        number = GGMLQuantizationType[kind]
        elements, size = GGML_QUANT_SIZES[number]
        data = random.integers(0, 256, (1, 256 // elements * size), dtype=np.uint8)
        writer.add_tensor(f"t.{kind.lower()}", data, raw_dtype=number)
    finish(writer)


def types_unknown_to_the_writer(path: Path) -> None:
    """I2_S and Q2_0: written as bytes, their shape and type put into the header afterwards."""
    writer = GGUFWriter(path, "bitnet")
    for name, (_, _, size) in UNKNOWN_TYPES.items():
        writer.add_tensor(name, np.arange(size, dtype=np.int8).reshape(1, -1))
    finish(writer)
    data = bytearray(path.read_bytes())
    for name, (number, elements, _) in UNKNOWN_TYPES.items():
        entry = struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", 2)
        struct.pack_into("<QQI", data, data.index(entry) + len(entry), elements, 1, number)
    path.write_bytes(data)


def aligned(path: Path) -> None:
    writer = GGUFWriter(path, "qwen2")
    writer.add_custom_alignment(256)
    writer.add_tensor("a", np.ones(5, np.float32))
    writer.add_tensor("b", np.ones(5, np.float16))
    finish(writer)


def split_part(path: Path) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_uint16("split.no", 0)
    writer.add_uint16("split.count", 2)
    writer.add_int32("split.tensors.count", 2)
    writer.add_tensor("a", np.ones(4, np.float32))
    finish(writer)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for write in (
        every_value_type,
        every_block_format,
        random_blocks,
        types_unknown_to_the_writer,
        aligned,
        split_part,
    ):
        write(folder / f"{write.__name__}.gguf")
    version2 = bytearray((folder / "aligned.gguf").read_bytes())
    version2[4] = 2
    (folder / "version2.gguf").write_bytes(version2)


if __name__ == "__main__":
    main()
