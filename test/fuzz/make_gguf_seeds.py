"""Writes the seed corpus of the GGUF fuzzer: small valid files with every kind of record.

python test/fuzz/make_gguf_seeds.py test/fuzz/corpus/gguf
"""

import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
from gguf.quants import quantize


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
    for write in (every_value_type, every_block_format, aligned, split_part):
        write(folder / f"{write.__name__}.gguf")
    version2 = bytearray((folder / "aligned.gguf").read_bytes())
    version2[4] = 2
    (folder / "version2.gguf").write_bytes(version2)


if __name__ == "__main__":
    main()
